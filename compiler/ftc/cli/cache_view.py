"""The cache on one screen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ftc.cli.layout import clip, number, pad, plural, size, table, wrap
from ftc.cli.terminal import Terminal, escape
from ftc.facts.cache import Damaged
from ftc.facts.cache_care import Collected, Entry, by_kind

TITLES = {
    "data": "compiled rows",
    "sources": "rows of sources",
    "sequences": "training sequences",
    "columns": "columns of sources",
    "gguf": "converted models",
    "describe": "columns of queries",
    "fetched": "fetched files",
    "pinned": "pinned digests",
    "remote": "lists of remote files",
    "digest": "digests of files",
}
"""What the entries of a kind are; a kind that is not here is shown by its name."""

SHORT = 12
SHOWN = 8
"""Entries of a kind that are listed unless --verbose."""

AGES = ((60, "minute"), (3600, "hour"), (86400, "day"))


def instant(seconds: float) -> str:
    """A time in ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def ago(seconds: float) -> str:
    """How long ago something was, for people."""
    if seconds < 60:
        return "just now"
    unit, word = [entry for entry in AGES if seconds >= entry[0]][-1]
    return f"{plural(int(seconds // unit), word)} ago"


def _title(kind: str) -> str:
    return TITLES.get(kind, kind)


def _summary(kinds: dict[str, list[Entry]], now: float) -> list[str]:
    rows = [("", "entries", "size", "last used")]
    for kind, found in kinds.items():
        weight = size(sum(entry.bytes for entry in found))
        rows.append((_title(kind), number(len(found)), weight, ago(now - found[0].used)))
    every = [entry for found in kinds.values() for entry in found]
    rows.append(("in all", number(len(every)), size(sum(entry.bytes for entry in every)), ""))
    return table(rows, right=(1, 2))


def _entry_line(entry: Entry, now: float, width: int) -> str:
    recipe = Path(entry.users[0]) if entry.users else None
    more = f" and {len(entry.users) - 1} more" if len(entry.users) > 1 else ""
    used = f"used {ago(now - entry.used)}"
    line = f"  {entry.key[:SHORT]}  {pad(size(entry.bytes), 7, right=True)}  {pad(used, 19)}"
    name = f"{'/'.join(recipe.parts[-2:])}{more}" if recipe else f"made {ago(now - entry.made)}"
    return escape(clip(f"{line}  {name}", width))


def list_lines(root: Path, found: Sequence[Entry], terminal: Terminal) -> list[str]:
    """Kinds with their sizes, and the entries that are directories."""
    now = time.time()
    head = f"{terminal.style(str(root), 'strong')}"
    if not found:
        return [head, "", "nothing is kept here"]
    kinds = by_kind(found)
    lines = [head, "", *(escape(line) for line in _summary(kinds, now))]
    for kind, several in kinds.items():
        large = [entry for entry in several if entry.path.suffix != ".json"]
        shown = large if terminal.verbose else large[:SHOWN]
        if shown:
            lines += ["", terminal.style(_title(kind), "dim")]
            lines += [_entry_line(entry, now, terminal.width) for entry in shown]
        if len(shown) < len(large):
            lines.append(f"  and {len(large) - len(shown)} more; --verbose lists them")
    return lines


def _counted(found: Sequence[Entry]) -> str:
    count = len(found)
    return f"{number(count)} {'entry' if count == 1 else 'entries'}"


def collected_lines(done: Collected, terminal: Terminal, *, dry: bool) -> list[str]:
    """What went, by kind, and what stayed because it is used."""
    said = "would remove" if dry else "removed"
    weight = size(sum(entry.bytes for entry in done.removed))
    lines = [f"{said} {_counted(done.removed)}, {weight}"]
    for kind, found in by_kind(done.removed).items():
        lines.append(f"  {_title(kind)}: {number(len(found))}, {size(sum(e.bytes for e in found))}")
    if done.left_over:
        count = len(done.left_over)
        lines.append(f"  and what killed processes left ({number(count)})")
    if done.in_use:
        lines += wrap(f"{_counted(done.in_use)} stay, as a running command uses them", terminal.width)
    return lines


def verified_lines(
    seen: Sequence[Entry], damaged: Sequence[Damaged], terminal: Terminal, *, dry: bool
) -> list[str]:
    """The damaged entries with what is wrong, or that there is none."""
    lines = []
    for one in damaged:
        head = f"{terminal.style('damaged', 'error')}  {_title(one.kind)} {one.key[:SHORT]}"
        lines.append(f"{head}: {escape(one.reason)}")
    weight = size(sum(entry.bytes for entry in seen))
    if not damaged:
        return [f"{terminal.style('ok', 'good')}  {_counted(seen)}, {weight}, all as they were made"]
    end = "nothing was removed" if dry else "removed; they are made again when they are needed"
    return [*lines, f"{number(len(damaged))} of {_counted(seen)} damaged; {end}"]
