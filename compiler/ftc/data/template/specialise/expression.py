"""What a template makes of the free strings of a conversation, as expressions that any row can fill in.

An expression is evaluated in two ways. On plain strings it gives what the template gives, by the very
methods of `str` that the template calls. On traced strings it gives, besides, the origin of every
character, by the very methods that a traced rendering calls.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from ftc.data.template.provenance import MARK, Run, Traced, join
from ftc.data.template.trace_json import traced_string


@dataclass(frozen=True, slots=True)
class Given:
    """A free string of the row, by its number."""

    number: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """Text that is the same in every row of a shape, with the origin of its characters."""

    text: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """Expressions one after the other; no two of `Fixed` touch."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """An operation on expressions and constants (numbers, None)."""

    operation: str
    arguments: tuple[Any, ...]


Expression = Given | Fixed | Joined | Applied
Row = Sequence[str]
Evaluation = Callable[[Row], Any]

STRIPS = frozenset({"strip", "lstrip", "rstrip"})
CUTS = STRIPS | {"removeprefix", "removesuffix"}
"""Methods whose result is one stretch of the text."""
PIECES = frozenset({"split", "rsplit", "splitlines", "partition", "rpartition"})
"""Methods whose result is a list of stretches of the text."""
CASES = frozenset({"lower", "upper", "casefold", "swapcase", "capitalize", "title"})
TEXTS = CUTS | CASES | {"replace"}
FLAGS = frozenset(
    {"startswith", "endswith", "isspace", "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum"}
    | {"islower", "isupper", "istitle", "isascii", "isidentifier", "isprintable"}
)
NUMBERS = frozenset({"find", "rfind", "count"})
METHODS = TEXTS | PIECES | FLAGS | NUMBERS
"""The methods of `str` that may be called on a free string."""

_Function = Callable[..., Any]


def _item(sequence: Sequence[Any], index: int) -> Any:
    return sequence[index]


def _slice(sequence: Any, start: int | None, stop: int | None, step: int | None) -> Any:
    return sequence[start:stop:step]


def _at_least(sequence: Sequence[Any], count: int) -> bool:
    return len(sequence) >= count


def _json(text: str, ascii_only: bool) -> str:
    return (encode_basestring_ascii if ascii_only else encode_basestring)(text)[1:-1]


def _traced_json(text: Traced, ascii_only: bool) -> Traced:
    encoded = traced_string(text, ensure_ascii=ascii_only)
    return encoded.cut(1, len(encoded) - 1)


_ALIKE: dict[str, _Function] = {
    "at_least": _at_least,
    "contains": operator.contains,
    "eq": operator.eq,
    "ge": operator.ge,
    "gt": operator.gt,
    "item": _item,
    "le": operator.le,
    "length": len,
    "lt": operator.lt,
    "minus": operator.sub,
    "plus": operator.add,
    "slice": _slice,
    "truth": bool,
}
_PLAIN: dict[str, _Function] = (
    {name: getattr(str, name) for name in METHODS} | _ALIKE | {"json": _json, "join": str.join}
)
_TRACED: dict[str, _Function] = _ALIKE | {"json": _traced_json, "join": join}


def joined(parts: Sequence[Expression]) -> Expression:
    """Expressions one after the other, as simply as can be written."""
    flat: list[Expression] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Joined) else (part,):
            last = flat[-1] if flat else None
            if isinstance(piece, Fixed) and isinstance(last, Fixed):
                flat[-1] = Fixed(last.text + piece.text, last.runs + piece.runs)
            elif not isinstance(piece, Fixed) or piece.text or any(run[1] == MARK for run in piece.runs):
                flat.append(piece)
    return flat[0] if len(flat) == 1 else Joined(tuple(flat)) if flat else Fixed("", ())


def stripped(expression: Expression, method: str, chars: tuple[Any, ...]) -> Expression:
    """`strip`, `lstrip` or `rstrip` of an expression; of a chain, of its ends alone where that is sure."""
    sides = [method] if method != "strip" else ["lstrip", "rstrip"]
    if not all(char is None or isinstance(char, Fixed) for char in chars):
        return Applied(method, (expression, *chars))
    for side in sides:
        reached = _stripped_end(expression, side, chars) if isinstance(expression, Joined) else None
        if reached is None:
            return Applied(method, (expression, *chars))
        expression = reached
    return expression


def _stripped_end(chain: Joined, side: str, chars: tuple[Any, ...]) -> Expression | None:
    """A chain stripped at one end; None where characters further inside might go as well."""
    parts = list(chain.parts)
    end, next_ = (0, 1) if side == "lstrip" else (-1, -2)
    last, before = parts[end], parts[next_]
    if isinstance(last, Fixed):
        left = traced(Applied(side, (last, *chars)), ())
        parts[end] = Fixed(str.__str__(left), left.runs)
        return joined(parts) if left else None
    edge = before.text[-1 if side == "rstrip" else 0 :][:1] if isinstance(before, Fixed) else ""
    if not edge or not traced(Applied(side, (Fixed(edge, ()), *chars)), ()):
        return None
    parts[end] = Applied(side, (last, *chars))
    return joined(parts)


def plain(expression: Any) -> Evaluation:
    """The function that evaluates an expression on a row's free strings."""
    if isinstance(expression, Given):
        return operator.itemgetter(expression.number)
    if isinstance(expression, Joined):
        parts = [plain(part) for part in expression.parts]
        return lambda row: "".join([part(row) for part in parts])
    if isinstance(expression, Applied):
        return _application(_PLAIN[expression.operation], expression.arguments)
    value = expression.text if isinstance(expression, Fixed) else expression
    return lambda _row: value


def _application(function: _Function, arguments: tuple[Any, ...]) -> Evaluation:
    first, rest = plain(arguments[0]), arguments[1:]
    if any(isinstance(argument, (Given, Joined, Applied)) for argument in rest):
        others = [plain(argument) for argument in rest]
        return lambda row: function(first(row), *[other(row) for other in others])
    constants = tuple(argument.text if isinstance(argument, Fixed) else argument for argument in rest)
    if isinstance(arguments[0], Given):
        number = arguments[0].number
        if not constants:
            return lambda row: function(row[number])
        if len(constants) == 1:
            constant = constants[0]
            return lambda row: function(row[number], constant)
    return lambda row: function(first(row), *constants)


def traced(expression: Any, row: Sequence[Traced]) -> Any:
    """An expression on traced strings: the same value, with the origin of its characters."""
    if isinstance(expression, Given):
        return row[expression.number]
    if isinstance(expression, Fixed):
        return Traced(expression.text, expression.runs)
    if isinstance(expression, Joined):
        return join("", [traced(part, row) for part in expression.parts])
    if not isinstance(expression, Applied):
        return expression
    arguments = [traced(argument, row) for argument in expression.arguments]
    if expression.operation in METHODS:
        return getattr(arguments[0], expression.operation)(*arguments[1:])
    return _TRACED[expression.operation](*arguments)


def strings_of(expression: Any) -> frozenset[int]:
    """The numbers of the free strings in an expression."""
    if isinstance(expression, Given):
        return frozenset({expression.number})
    inner = expression.parts if isinstance(expression, Joined) else ()
    inner = expression.arguments if isinstance(expression, Applied) else inner
    return frozenset().union(*(strings_of(part) for part in inner))


def cut_of(expression: Any) -> int | None:
    """The free string of which an expression is one stretch, for every row; None for any other."""
    if isinstance(expression, Given):
        return expression.number
    if not isinstance(expression, Applied):
        return None
    inner = expression.arguments[0]
    if expression.operation in CUTS:
        return cut_of(inner)
    if expression.operation == "slice" and expression.arguments[3] in (None, 1):
        return cut_of(inner)
    if expression.operation != "item":
        return None
    if isinstance(inner, Applied) and inner.operation in PIECES:
        return cut_of(inner.arguments[0])
    return cut_of(inner)
