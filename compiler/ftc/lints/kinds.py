"""The kinds of personal data and secrets that are known: one line each, one function each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from ftc.lints.scan import Scan


class Match(NamedTuple):
    """A stretch of a text; `what` names it for people, `public` says that it is known to be harmless.

    Harmless are addresses and numbers reserved for documentation, and placeholders.
    """

    start: int
    end: int
    what: str
    public: bool = False


Finder = Callable[[Scan], Iterable[Match]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind: where its finder is, and the package it needs, if any."""

    finder: str
    package: str | None = None


KINDS: dict[str, Kind] = {
    "secret": Kind("ftc.lints.secret_formats:secrets"),
    "iban": Kind("ftc.lints.personal_formats:ibans"),
    "credit_card": Kind("ftc.lints.personal_formats:credit_cards"),
    "us_ssn": Kind("ftc.lints.personal_formats:us_ssns"),
    "email": Kind("ftc.lints.personal_formats:emails"),
    "ip_address": Kind("ftc.lints.personal_formats:ip_addresses"),
    "phone": Kind("ftc.lints.phone_numbers:phones", package="phonenumbers"),
}
"""Where two kinds overlap in a text, the one that stands first here has it."""


def label(kind: str) -> str:
    """What stands in a text where something of this kind was."""
    return f"[{kind.upper()}]"


def is_installed(package: str) -> bool:
    """Whether a package that a kind or a lint needs is there."""
    return find_spec(package) is not None


@cache
def finder(kind: str) -> Finder:
    """The function that finds a kind; its package is there."""
    module, _, name = KINDS[kind].finder.partition(":")
    found: Finder = getattr(import_module(module), name)
    return found


def available(kinds: Iterable[str]) -> tuple[str, ...]:
    """Those kinds whose packages are installed, in the table's order."""
    wanted = set(kinds)
    return tuple(
        name
        for name, kind in KINDS.items()
        if name in wanted and (kind.package is None or is_installed(kind.package))
    )


class Found(NamedTuple):
    """A match with its kind."""

    kind: str
    match: Match


def detect(scan: Scan, kinds: Sequence[str]) -> list[Found]:
    """Everything of some kinds (in the table's order) in a text, by place and without overlaps."""
    found: list[Found] = []
    for kind in kinds:
        for match in finder(kind)(scan):
            if all(match.end <= other.match.start or other.match.end <= match.start for other in found):
                found.append(Found(kind, match))
    found.sort(key=lambda one: one.match.start)
    return found


def replaced(text: str, found: Sequence[Found]) -> str:
    """The text with a label in the place of everything found in it."""
    return "".join(_pieces(text, found, 0, len(text)))


def excerpt(text: str, start: int, end: int, *, width: int = 60) -> str:
    """A stretch of a text on one line, with a little around a short one; what is personal is masked.

    It is looked for in the whole text, so that nothing is left of what a cut goes through.
    """
    around = max(0, width - (end - start)) // 2
    first, last = max(0, start - around), min(len(text), end + around, start + max(width, around + 1))
    found = detect(Scan(text), available(KINDS))
    last = max([last, *(match.end for _, match in found if match.start < last)])
    shown = " ".join("".join(_pieces(text, found, first, last)).split())
    return f"{'…' if first else ''}{shown}{'…' if last < len(text) else ''}"


def _pieces(text: str, found: Sequence[Found], first: int, last: int) -> Iterator[str]:
    at = first
    for kind, match in found:
        if match.end <= first or match.start >= last:
            continue
        yield text[at : max(match.start, at)]
        yield label(kind)
        at = match.end
    yield text[at : max(last, at)]
