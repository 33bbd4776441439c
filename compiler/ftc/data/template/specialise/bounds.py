"""How much a rendering can take, whatever its free strings are: bounds by which no limit can be passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ftc.data.template.specialise.expression import CASES, PIECES, Applied, Expression, Fixed, Given, Joined

_LONGEST_ESCAPE = 12  # of a character outside the basic plane, as two escapes
_LONGEST_CASE = 3  # `ΐ`.upper() has three characters
SPARE = 1024
"""Characters below which `template.limits` takes the length of a replacement to be larger than it is."""
_UNITS = 1024
_UNITS_OF_TEXT = 4
_UNITS_OF_PIECES = 192
"""A turn costs 1,024 units. `template.limits` charges two for a character at most, and a turn for 8 items."""


@dataclass(frozen=True, slots=True)
class Bound:
    """At most `rate` for each character of all free strings together, and `constant`."""

    rate: int
    constant: int

    def __call__(self, characters: int) -> int:
        """The bound for free strings of so many characters together."""
        return self.rate * characters + self.constant

    def most(self, other: Bound) -> Bound:
        """A bound for both."""
        return Bound(max(self.rate, other.rate), max(self.constant, other.constant))


@dataclass(frozen=True, slots=True)
class Extent:
    """A text's length is at most each free string's length times its rate, together, and `constant`."""

    rates: Counter[int]
    constant: int

    def times(self, factor: int) -> Extent:
        """Of a text in which each character becomes `factor`, and there may be one more."""
        rates = Counter({number: rate * factor for number, rate in self.rates.items()})
        return Extent(rates, (self.constant + 1) * factor)


def total(extents: Iterable[Extent]) -> Extent:
    """Of several texts, one after the other."""
    rates: Counter[int] = Counter()
    constant = 0
    for extent in extents:
        rates.update(extent.rates)
        constant += extent.constant
    return Extent(rates, constant)


def bound_of(extent: Extent) -> Bound:
    """The bound by the length of all free strings together."""
    return Bound(max(extent.rates.values(), default=0), extent.constant)


def extent(expression: Any) -> Extent:
    """The extent of a text; of a list's texts together; for an answer, of the text that is asked about."""
    if isinstance(expression, Given):
        return Extent(Counter({expression.number: 1}), 0)
    if isinstance(expression, Fixed):
        return Extent(Counter(), len(expression.text))
    if isinstance(expression, Joined):
        return total(map(extent, expression.parts))
    if isinstance(expression, Applied):
        return _applied(expression.operation, expression.arguments)
    return Extent(Counter(), 0)


def _applied(operation: str, arguments: tuple[Any, ...]) -> Extent:
    if operation == "join":
        separator, pieces = arguments
        return extent(pieces).times(1 + len(separator.text))
    inner = extent(arguments[0])
    if operation == "json":
        return inner.times(_LONGEST_ESCAPE)
    if operation == "replace":
        return inner.times(_growth(arguments[1], arguments[2]))
    return inner.times(_LONGEST_CASE) if operation in CASES else inner


def _growth(old: Any, new: Any) -> int:
    """How many characters `replace` makes of one, at most; a match takes the room of its own length."""
    room = len(old.text) if isinstance(old, Fixed) else 0
    return max(1, -(-len(new.text) // room)) if room else 1 + len(new.text)


def longest(expressions: Sequence[Expression]) -> Bound:
    """Of any text among expressions."""
    bounds = [bound_of(extent(expression)) for expression in expressions]
    return Bound(max(one.rate for one in bounds), max(one.constant for one in bounds))


def work(looks: Sequence[Expression], turns: int) -> Bound:
    """The units that a rendering costs, by the expressions it works for and the turns it takes besides."""
    costs = total(extent(look).times(_units(look)) for look in looks)
    found = bound_of(costs)
    return Bound(found.rate, found.constant + turns * _UNITS)


def units(turns: int) -> int:
    """What so many turns are worth."""
    return turns * _UNITS


def _units(expression: Expression) -> int:
    pieces = isinstance(expression, Applied) and expression.operation in PIECES
    return _UNITS_OF_PIECES if pieces else _UNITS_OF_TEXT
