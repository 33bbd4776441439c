"""Gates: conditions on a metric after training, read from a short text and judged on two numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isclose
from typing import Literal, cast

Comparison = Literal[">=", ">", "<=", "<"]
FORMS = '">= 0.8", ">= base + 0.05" or "<= base * 1.02"'

_TOKEN = re.compile(r"\s*(?:(?P<compare>>=|<=|==|=|>|<)|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
                    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>[-+*/%])|(?P<other>\S))")  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """The metric after training compared with `factor` times the base's value, plus `offset`."""

    comparison: Comparison
    factor: float
    offset: float

    @property
    def relative(self) -> bool:
        """Whether the base's value has a say."""
        return self.factor != 0

    def bound(self, base: float | None) -> float | None:
        """What the value is compared with; None where the base has no value and it has a say."""
        if not self.relative:
            return self.offset
        return None if base is None else self.factor * base + self.offset

    def holds(self, value: float, base: float | None) -> bool:
        """Whether a value satisfies it; never where the base lacks a value that has a say.

        What differs in rounding alone is equal: 0.6 + 0.05 is 0.65.
        """
        bound = self.bound(base)
        if bound is None:
            return False
        equal = isclose(value, bound, rel_tol=1e-9, abs_tol=1e-12)
        if self.comparison in (">=", "<=") and equal:
            return True
        return not equal and (value > bound if self.comparison in (">=", ">") else value < bound)


@dataclass(frozen=True)
class GateMistake:
    """What is wrong with a gate's text, at which of its characters, and what to write."""

    message: str
    start: int
    end: int
    help: str = f"write {FORMS}"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def _token(found: re.Match[str]) -> _Token:
    kind = found.lastgroup or "other"
    return _Token(kind, found.group(kind), *found.span(kind))


def parse(text: str) -> Condition | GateMistake:
    """The condition that a text such as `>= base + 0.05` states, or where it goes wrong.

    The form is a comparison, then a number, or `base`, perhaps times a number, perhaps plus or minus one.
    """
    tokens = [_token(found) for found in _TOKEN.finditer(text)]
    if not tokens:
        return GateMistake("the gate is empty", 0, len(text))
    first, rest = tokens[0], tokens[1:]
    if first.text not in (">=", ">", "<=", "<"):
        return _no_comparison(first)
    if not rest:
        return GateMistake("the gate does not say what to compare with", len(text), len(text))
    amount = _amount(rest, len(text))
    if isinstance(amount, GateMistake):
        return amount
    return Condition(cast("Comparison", first.text), *amount)


def _no_comparison(first: _Token) -> GateMistake:
    if first.text in ("=", "=="):
        message = "a measured value hardly ever equals another"
        return GateMistake(message, first.start, first.end, 'write ">=" or "<="')
    return GateMistake("a gate begins with a comparison: >=, >, <= or <", first.start, first.end)


def _amount(tokens: list[_Token], length: int) -> tuple[float, float] | GateMistake:
    """Factor of the base and offset."""
    tokens = list(tokens)
    product = _product(tokens, length, allow_sign=True)
    if isinstance(product, GateMistake) or not tokens:
        return product
    sign = tokens.pop(0)
    if sign.text not in ("+", "-"):
        return GateMistake(f"`{sign.text}` cannot stand here", sign.start, sign.end)
    second = _product(tokens, length, allow_sign=False)
    if isinstance(second, GateMistake):
        return second
    if tokens:
        return GateMistake("a gate has two terms at most", tokens[0].start, tokens[-1].end)
    way = 1.0 if sign.text == "+" else -1.0
    return product[0] + way * second[0], product[1] + way * second[1]


def _product(tokens: list[_Token], length: int, *, allow_sign: bool) -> tuple[float, float] | GateMistake:
    """A number, `base`, or the two multiplied; what is read is taken off the front."""
    way = 1.0
    if allow_sign and tokens and tokens[0].text in ("+", "-"):
        way = 1.0 if tokens.pop(0).text == "+" else -1.0
    factor, number, more = 0, way, True
    while more:
        if not tokens:
            return GateMistake("the gate ends too early", length, length)
        token = tokens.pop(0)
        if token.kind == "number":
            number *= float(token.text)
        elif token.text == "base" and not factor:
            factor = 1
        else:
            return _no_amount(token)
        more = bool(tokens) and tokens[0].text == "*"
        if more:
            tokens.pop(0)
    if tokens and tokens[0].text in ("%", "/"):
        token = tokens[0]
        return GateMistake(f"`{token.text}` cannot stand in a gate", token.start, token.end,
                           "multiply instead: 5 % more than the base is base * 1.05")  # fmt: skip
    return (number, 0.0) if factor else (0.0, number)


def _no_amount(token: _Token) -> GateMistake:
    if token.kind == "word" and token.text != "base":
        message = f"a gate knows no `{token.text}`"
        return GateMistake(message, token.start, token.end, "the value before training is called `base`")
    return GateMistake(f"a number or `base` must stand here, not `{token.text}`", token.start, token.end)
