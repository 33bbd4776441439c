"""Hashes that decide what becomes of a row: of its keys or its id and the seed, so nothing else moves it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftc.data.rendering.conversation import PLAIN, ROLES
from ftc.plan.steps import SplitStep

UInt64 = NDArray[np.uint64]
Flags = NDArray[np.bool_]

_ROLES = {role: encode_basestring_ascii(role) for role in ROLES}
_JSON = json.JSONEncoder(ensure_ascii=True, sort_keys=True, default=str)

ENDING = ("messages", "chosen")
"""Keys whose conversations end with the answer."""

SPACE = 1 << 64
"""Hashes are whole numbers below this."""


def key_hash(seed: int, values: Sequence[Any]) -> int:
    """The hash of a row's key values: the first eight bytes of SHA-256 over their JSON and the seed."""
    text = f"[{seed}, [{', '.join(map(_written, values))}]]"
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def _written(value: Any) -> str:
    """A value's JSON; that of texts and of plain messages, which most are, is put together here."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    messages = _plain_messages(value) if type(value) is list and value else None
    return _JSON.encode(value) if messages is None else f"[{', '.join(messages)}]"


def _plain_messages(messages: list[Any]) -> list[str] | None:
    """The JSON of each message; None where one is not plain."""
    found = []
    for message in messages:
        if type(message) is not dict or tuple(message) != PLAIN:
            return None
        role, content = message.values()
        if type(role) is not str or type(content) is not str:
            return None
        spoken = _ROLES.get(role) or encode_basestring_ascii(role)
        found.append(f'{{"content": {encode_basestring_ascii(content)}, "role": {spoken}}}')
    return found


def row_hash(split: SplitStep, row: Mapping[str, Any]) -> int:
    """The hash of a row by the split's keys; a conversation counts without its last answer."""
    values = [_asked(row[key]) if key in ENDING else row[key] for key in split.keys]
    return key_hash(split.seed, values)


def to_json(value: Any) -> str:
    """A row's values as JSON with sorted keys; what JSON does not have, such as a date, is text."""
    return _JSON.encode(value)


def _asked(messages: Any) -> Any:
    """The messages before the last answer, so that two answers to one prompt are on the same side."""
    if type(messages) is not list:
        if isinstance(messages, str):
            try:
                messages = json.loads(messages)
            except ValueError:
                return messages
        if not isinstance(messages, Sequence):
            return messages
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if (type(message) is dict or isinstance(message, Mapping)) and message.get("role") == "assistant":
            return messages[:place]
    return messages


def id_hashes(seed: int, use: str, ids: Iterable[str]) -> UInt64:
    """The hashes of rows by their ids; another `use` of the seed gives others."""
    start = sha256(f"{seed}\0{use}\0".encode())
    digests = []
    for id_ in ids:
        digest = start.copy()
        digest.update(id_.encode())
        digests.append(digest.digest()[:8])
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def below(fraction: float) -> int:
    """The hash below which a fraction of all rows lies."""
    return round(fraction * SPACE)


def smallest(hashes: UInt64, count: int) -> Flags:
    """Exactly `count` of the rows, those with the smallest hashes (the first of equal ones); all if fewer."""
    if count >= len(hashes):
        return np.ones(len(hashes), dtype=np.bool_)
    if count <= 0:
        return np.zeros(len(hashes), dtype=np.bool_)
    last = np.partition(hashes, count - 1)[count - 1]
    chosen: Flags = hashes < last
    chosen[np.flatnonzero(hashes == last)[: count - int(chosen.sum())]] = True
    return chosen
