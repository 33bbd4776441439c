"""recipe.lock read again, and how it differs from what the inputs are now, in words."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ftc.artifact.inputs_lock import FORMAT, Entries, Path, Value

NAMED = ("sources", "suites", "rewards", "metrics")
"""Tables whose members are inputs of their own, each with a name."""

SUBJECTS = {
    "model": "the base model",
    "teacher": "the teacher",
    "packages": "the packages",
    "query": "the query",
    "split": "the query of the split",
    "template": "the chat template",
    "base": "the base recipe",
    "sources": "the source `{}`",
    "suites": "the suite `{}`",
    "rewards": "the reward `{}`",
    "metrics": "the metric `{}`",
}
"""What an input is called, by its table."""

PARTS = {
    "sql": "its SQL is",
    "parameters": "the values of its parameters are",
    "sha256": "its content is",
    "jinja": "its text is",
    "training": "the text that TRL trains with is",
}
"""What an entry with a digest is about."""

SHORT = 12
"""Digits of a commit or a digest that are shown."""


class UnreadableLockError(Exception):
    """A recipe.lock that cannot be read; the message says why."""


def read_entries(text: str) -> Entries:
    """The entries of a lock. Raises UnreadableLockError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        merged = "<<<<<<<" in text and ">>>>>>>" in text
        why = "it has marks of a merge conflict in it" if merged else f"it is not TOML: {error}"
        raise UnreadableLockError(why) from None
    if tables.get("format") != FORMAT:
        raise UnreadableLockError(f"its format is {tables.get('format')!r}, and this release reads {FORMAT}")
    return dict(_flat(tables, ()))


def _flat(tables: Mapping[str, Any], above: Path) -> Iterator[tuple[Path, Value]]:
    for name, value in tables.items():
        path = (*above, name)
        if isinstance(value, dict):
            yield from _flat(value, path)
        elif isinstance(value, (str, int)) and not isinstance(value, bool):
            yield path, value
        else:
            raise UnreadableLockError(f"`{'.'.join(path)}` is neither a text nor a whole number")


def input_of(path: Path) -> str:
    """The input which an entry is about, as `--update` names it, such as `model` and `sources.NAME`."""
    return ".".join(path[:2]) if path[0] in NAMED else path[0]


def inputs_of(entries: Iterable[Path]) -> tuple[str, ...]:
    """The inputs of a lock, sorted."""
    return tuple(sorted({input_of(path) for path in entries if path != ("format",)}))


@dataclass(frozen=True)
class Difference:
    """An input which is not what the lock has; `said` has a phrase for each of its entries that differ."""

    input: str
    subject: str
    said: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What differs, in one sentence without its full stop."""
        return f"{self.subject}: {'; '.join(self.said)}"


def differences(locked: Mapping[Path, Value], now: Mapping[Path, Value]) -> tuple[Difference, ...]:
    """How the inputs differ from the lock, one by one."""
    changed = [path for path in sorted({*locked, *now}) if locked.get(path) != now.get(path)]
    found = []
    for name in inputs_of(changed):
        paths = tuple(path for path in changed if input_of(path) == name)
        found.append(Difference(name, subject(name), _said(name, paths, locked, now)))
    return tuple(found)


def subject(name: str) -> str:
    """An input in words."""
    table, _, member = name.partition(".")
    return SUBJECTS.get(table, f"`{table}`").format(member)


def _said(
    name: str, paths: tuple[Path, ...], locked: Mapping[Path, Value], now: Mapping[Path, Value]
) -> tuple[str, ...]:
    if name != "packages" and not any(input_of(path) == name for path in locked):
        return ("it is not in the lock",)
    if name != "packages" and not any(input_of(path) == name for path in now):
        return ("it is in the lock, and the recipe has none",)
    told = {path for path in paths if not _follows(path, paths)}
    return tuple(_phrase(path, locked.get(path), now.get(path)) for path in paths if path in told)


def _follows(path: Path, paths: tuple[Path, ...]) -> bool:
    """Whether an entry differs only because others do: the digest of several files beside theirs."""
    return path[-1] == "sha256" and any("files" in other and other[:-2] == path[:-1] for other in paths)


def _phrase(path: Path, old: Value | None, new: Value | None) -> str:
    """What differs in one entry; entries of the base recipe say which of its inputs it is."""
    inner = path[1:] if path[0] == "base" else path[2:] if path[0] == "rewards" else ()
    if len(inner) > 1:
        return f"{subject(input_of(inner))} of it: {_phrase(inner, old, new)}"
    key = path[-1]
    if path[0] == "packages":
        return _package(key, old, new)
    if "files" in path[:-1]:
        what = "is new" if old is None else "is gone" if new is None else "has other content"
        return f"`{key}` {what}"
    if key == "rows":
        return f"{_count(new)} rows, and the lock has {_count(old)}"
    if key == "revision":
        return f"it is at {_short(new)}, and the lock has {_short(old)}"
    if key in PARTS:
        settings = key == "sha256" and path[0] == "base"
        return f"{'its settings are' if settings else PARTS[key]} not as in the lock"
    return f"its {key} is {_shown(new)}, and the lock has {_shown(old)}"


def _package(name: str, old: Value | None, new: Value | None) -> str:
    if new is None:
        return f"{name} is not installed, and the lock has {old}"
    return f"{name} is {new}, and the lock has {'none' if old is None else old}"


def _count(value: Value | None) -> str:
    return f"{value:,}" if isinstance(value, int) else "none"


def _short(value: Value | None) -> str:
    return "none" if value is None else str(value)[:SHORT]


def _shown(value: Value | None) -> str:
    return "none" if value is None else f"`{value}`"
