"""The shape of a conversation: all of it that is not free.

Free are the strings that people and models write, which is every string of a message but its role and
the `type` of its parts; and numbers, as they are written. The shape is the rest: the messages' keys in
order, roles, types, truth values, nulls, which numbers are whole, the layout of nested values, the
tools, the row's own variables. Two conversations of one shape differ in nothing but what is free.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import inf
from typing import Any

from ftc.data.rendering.conversation import PLAIN
from ftc.data.template.values import REASONING_FIELDS, Path

_FIXED_FIELDS = frozenset({"role", "type"})
_REASONING = frozenset(REASONING_FIELDS)
_SPECIAL = _FIXED_FIELDS | _REASONING
_FREE, _END, _TEXT = object(), object(), object()

Place = tuple[int, Path]
"""A message, and the path of a string in it; every name of the reasoning is its first."""


class UnusualError(Exception):
    """A value that plain JSON does not have, or a conversation that is better left to the full proof."""


def conversation_shape(messages: Sequence[Mapping[str, Any]]) -> tuple[tuple[Any, ...], list[str]]:
    """The shape of messages, and their free strings in order.

    The shape is prefix-free: a name is followed by what tells the kind of its value, a list or table by
    its length. Raises UnusualError.
    """
    shape: list[Any] = []
    free: list[str] = []
    for message in messages:
        if type(message) is not dict:
            raise UnusualError
        if tuple(message) == PLAIN:
            role, content = message.values()
            if type(role) is type(content) is str:
                shape += ("role", _TEXT, role, "content", _FREE, _END)
                free.append(content)
                continue
        reasoning = 0
        for name, value in message.items():
            if type(value) is str and name not in _SPECIAL:
                shape += (name, _FREE)
                free.append(value)
            elif value is not None:  # a null is dropped before a template sees it
                reasoning += name in _REASONING
                shape.append(name)
                _nested(name, value, shape, free)
        if reasoning > 1:
            raise UnusualError
        shape.append(_END)
    return tuple(shape), free


def _nested(name: Any, value: Any, shape: list[Any], free: list[str]) -> None:
    kind = type(value)
    if kind is str:
        if name in _FIXED_FIELDS:
            shape += (_TEXT, value)
        else:
            shape.append(_FREE)
            free.append(value)
    elif kind is dict:
        shape += (dict, len(value))
        for key, item in value.items():
            if type(key) is not str:
                raise UnusualError
            shape.append(key)
            _nested(key, item, shape, free)
    elif kind is list:
        shape += (list, len(value))
        for item in value:
            _nested(None, item, shape, free)
    elif kind in (int, float):
        shape.append(kind)
        free.append(_written(value))
    elif kind is bool or value is None:
        shape.append(value)
    else:
        raise UnusualError


def _written(number: float) -> str:
    """A number as a template and JSON write it; of those that JSON writes otherwise, raises UnusualError."""
    if number != number or number in (inf, -inf):
        raise UnusualError
    try:
        return repr(number)
    except ValueError as error:  # too many digits
        raise UnusualError from error


def place_of(message: int, path: Path) -> Place:
    """The place of a string of a message."""
    return message, (REASONING_FIELDS[0], *path[1:]) if path[0] in _REASONING else path


def places(messages: Sequence[Mapping[str, Any]]) -> dict[Place, str]:
    """The free strings by their places, in the order of `conversation_shape`."""
    found: dict[Place, str] = {}
    for number, message in enumerate(messages):
        for name, value in message.items():
            _find(number, (name,), name, value, found)
    return found


def _find(number: int, path: Path, name: Any, value: Any, found: dict[Place, str]) -> None:
    if isinstance(value, str) and name not in _FIXED_FIELDS:
        found[place_of(number, path)] = value
    elif type(value) in (int, float):
        found[place_of(number, path)] = repr(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _find(number, (*path, key), key, item, found)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _find(number, (*path, place), None, item, found)


def surroundings(tools: Any, variables: Mapping[str, Any]) -> bytes:
    """A digest of all that a template is given besides the messages; raises UnusualError."""
    if tools is None and not variables:
        return b""
    try:
        # Version 2 writes values alone, whatever other objects refer to them.
        return sha256(marshal.dumps((tools, dict(variables)), 2)).digest()
    except ValueError as error:
        raise UnusualError from error
