"""The recipe in the making: settings with where they came from, and a verdict on every key of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from ftc.diagnostics import Finding
from ftc.importing.document import Document, dotted, leaves
from ftc.recipe.layers import Key

Kind = Literal["carried", "not_needed", "not_carried", "unknown"]
Where = tuple[str, ...]
"""A setting of the recipe: `("train", "epochs")`."""

OFF: tuple[Any, ...] = (None, False, "", "none", "no")
EMPTY = "empty, which is the default"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a key: the recipe's keys that have it now, or why there is none and what to write."""

    kind: Kind
    to: tuple[str, ...] = ()
    why: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of the recipe, a word on where it came from, and the keys that it came from."""

    value: Any
    comment: str = ""
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Home:
    """Where relative paths begin: those of the file's in `here`, those of the recipe's in `recipe`."""

    here: Path
    recipe: Path
    file: Path


@dataclass
class Draft:
    """What is known so far.

    `read` are settings by their place, in the order in which they came; `verdicts` belong to the file's keys.
    `objective` is the recipe's objective where it must be named.
    """

    peer: str
    document: Document
    home: Home
    objective: str | None = None
    settings: dict[Where, Setting] = field(default_factory=dict)
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    prefix: Key = ()

    def within(self, *path: str | int) -> Draft:
        """The same draft, with keys beneath a table of the file."""
        at = (*self.prefix, *path)
        return replace(self, prefix=at)

    def path(self, key: str) -> Key:
        """The whole path of a key."""
        return (*self.prefix, key)

    def get(self, key: str) -> Any:
        """The value of a key; None where it is absent or empty."""
        return self.document.get(*self.path(key))

    def table(self) -> Mapping[str, Any]:
        """The table of the file whose keys are read."""
        here = self.document.get(*self.prefix) if self.prefix else self.document.values
        return here if isinstance(here, dict) else {}

    def has(self, key: str) -> bool:
        """Whether the key stands in the file with a value, and nothing is said of it yet."""
        return self.get(key) is not None and not self.judged(self.path(key))

    def judged(self, path: Key) -> bool:
        """Whether a key, or a table around it, has its verdict."""
        return any(path[:end] in self.verdicts for end in range(1, len(path) + 1))

    def touched(self, path: Key) -> bool:
        """Whether the key has its verdict, or a key in its table."""
        return self.judged(path) or any(one[: len(path)] == path for one in self.verdicts)

    def judge(self, keys: str | Iterable[str], verdict: Verdict) -> None:
        """Give keys that stand in the file their verdict; the first one holds, but settings add up."""
        for key in (keys,) if isinstance(keys, str) else keys:
            path = self.path(key)
            old = self.verdicts.get(path)
            if old is not None and old.kind == verdict.kind == "carried":
                self.verdicts[path] = replace(old, to=tuple(dict.fromkeys(old.to + verdict.to)))
            elif key in self.table() and not self.judged(path):
                self.verdicts |= dict.fromkeys(self._whole(path), verdict)

    def _whole(self, path: Key) -> tuple[Key, ...]:
        """The key itself, or what is left of its table where something of that is judged."""
        if not self.touched(path):
            return (path,)
        return tuple(one for one in leaves(self.document.get(*path), path) if not self.judged(one))

    def carry(self, keys: str | Iterable[str], to: str, value: Any, why: str = "") -> None:
        """The keys are the setting `to` of the recipe now."""
        names = (keys,) if isinstance(keys, str) else tuple(keys)
        there = [key for key in names if key in self.table()]
        paths = tuple(self.path(key) for key in there)
        words = ", ".join(_shown(path, self.document.get(*path)) for path in paths)
        comment = f"{words} ({why})" if why and words else why or words
        self.settings[tuple(to.split("."))] = Setting(value, comment, paths)
        self.judge(there, Verdict("carried", (to,), why))

    def goes(self, keys: str | Iterable[str], to: Iterable[str], why: str = "") -> None:
        """The keys are in settings that stand in the recipe already."""
        self.judge(keys, Verdict("carried", tuple(to), why))

    def state(self, to: str, value: Any, why: str = "") -> None:
        """Write a default of the peer's out, as ftc has another one."""
        self.settings[tuple(to.split("."))] = Setting(value, why or f"{self.peer}'s default")

    def put(self, to: str, value: Any) -> None:
        """Write a setting that speaks for itself."""
        self.settings[tuple(to.split("."))] = Setting(value)

    def fine(self, keys: str | Iterable[str], why: str) -> None:
        """The keys have nothing to do in ftc."""
        self.judge(keys, Verdict("not_needed", why=why))

    def lose(self, keys: str | Iterable[str], why: str, instead: str = "") -> None:
        """The keys have no counterpart."""
        self.judge(keys, Verdict("not_carried", why=why, instead=instead))

    def number(self, key: str) -> float | None:
        """A number, which YAML may have taken for text (`2e-5`); another value is judged."""
        value = self.get(key)
        if value is None:
            self.fine(key, EMPTY)
            return None
        found = as_number(value)
        if found is None:
            self.lose(key, "it is not a number")
        return found

    def whole(self, key: str) -> int | None:
        """A whole number; another value is judged."""
        found = self.number(key)
        if found is None or found == int(found):
            return None if found is None else int(found)
        self.lose(key, "it is not a whole number")
        return None

    def flag(self, key: str) -> bool | None:
        """A truth value; another value is judged."""
        value = self.get(key)
        if value is None:
            self.fine(key, EMPTY)
            return None
        words = {"true": True, "false": False}
        found = value if isinstance(value, bool) else words.get(str(value).lower())
        if found is None:
            self.lose(key, "it is neither true nor false")
        return found

    def text(self, key: str) -> str | None:
        """A text, or a number as one; another value is judged."""
        value = self.get(key)
        if value is None or value == "":
            self.fine(key, EMPTY)
            return None
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
        self.lose(key, "it is not a text")
        return None

    def texts(self, key: str) -> list[str] | None:
        """Texts in a list, or separated by commas; another value is judged."""
        value = self.get(key)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if value is None or value == []:
            self.fine(key, EMPTY)
            return None
        if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
            return list(dict.fromkeys(value))
        self.lose(key, "it is not a list of texts")
        return None

    def refuse(self, key: str, message: str, help_line: str) -> None:
        """There can be no recipe, because of what a key says (FTC125)."""
        self.findings.append(
            Finding("FTC125", message, self.document.span(self.path(key)), help=(help_line,))
        )
        self.lose(key, message, help_line)

    def open(self) -> Iterator[Key]:
        """The paths of the file of which nothing is said yet."""
        return (path for path in leaves(self.table(), self.prefix) if not self.judged(path))


def as_number(value: Any) -> float | int | None:
    """A finite number, also from a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    if not isfinite(found):
        return None
    return value if isinstance(value, int) else found


def plain(value: float) -> float | int:
    """A number without a needless fraction: 3 for 3.0."""
    return int(value) if value == int(value) else value


def _shown(path: Key, value: Any) -> str:
    """A key with its value where that is short."""
    if isinstance(value, bool):
        return f"{dotted(path)}: {str(value).lower()}"
    short = isinstance(value, (int, float, str)) and len(str(value)) <= 40 and "\n" not in str(value)
    return f"{dotted(path)}: {value}" if short else dotted(path)
