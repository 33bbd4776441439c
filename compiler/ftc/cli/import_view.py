"""What became of the keys of an imported file, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.cli.layout import display_width, pad, plural, wrap
from ftc.cli.terminal import Terminal
from ftc.importing.document import dotted

if TYPE_CHECKING:
    from ftc.importing.draft import Verdict
    from ftc.importing.work import Imported

KINDS = ("carried", "not_needed", "not_carried", "unknown")
INDENT = 2
WIDEST_KEY = 34


def lists(imported: Imported) -> dict[str, Any]:
    """The four lists, and what is written out because the defaults differ."""
    found: dict[str, Any] = {
        "file": str(imported.file),
        "from": imported.peer,
        "objective": imported.objective,
        **{kind: [] for kind in KINDS},
        "written_out": list(imported.stated),
    }
    for path, verdict in imported.verdicts.items():
        found[verdict.kind].append(_entry(dotted(path), verdict))
    return found


def _entry(key: str, verdict: Verdict) -> dict[str, Any]:
    if verdict.kind == "carried":
        return {"key": key, "to": list(verdict.to), "note": verdict.why or None}
    if verdict.kind == "not_needed":
        return {"key": key, "why": verdict.why}
    return {"key": key, "why": verdict.why, "instead": verdict.instead or None}


def import_lines(imported: Imported, out: Path, terminal: Terminal) -> Iterator[str]:
    """What was written, and what was not carried over; the rest where more is wanted."""
    of = {kind: [one for one in imported.verdicts.items() if one[1].kind == kind] for kind in KINDS}
    whole = sum(map(len, of.values()))
    yield (
        f"Wrote {terminal.style(str(out), 'strong')} from {terminal.style(str(imported.file), 'strong')} "
        f"({imported.peer}): {len(of['carried'])} of {plural(whole, 'key')} carried over."
    )
    if imported.peer == "trl":
        named = imported.objective or "sft"
        yield f"It is taken for TRL's {terminal.style(named, 'accent')}; --objective says otherwise."
    yield from _part("not carried over", "warning", of["not_carried"], terminal)
    yield from _part("unknown to the tool", "warning", of["unknown"], terminal)
    noted = [one for one in of["carried"] if one[1].why]
    yield from _part("carried over, but mind", "strong", noted, terminal)
    if terminal.verbose:
        plain = [one for one in of["carried"] if not one[1].why]
        yield from _part("carried over", "good", plain, terminal)
        yield from _part("not needed", "strong", of["not_needed"], terminal)
    elif of["not_needed"]:
        yield from ("", f"{plural(len(of['not_needed']), 'key')} not needed in ftc (-v lists them).")
    if imported.stated:
        yield ""
        said = f"Written out, as the tool's defaults are not ftc's: {', '.join(imported.stated)}."
        yield from wrap(said, terminal.width)
    yield from ("", f"next: ftc check {out}")


def _part(title: str, style: str, verdicts: list[Any], terminal: Terminal) -> Iterator[str]:
    """One list, the keys in a column of their own."""
    if not verdicts:
        return
    yield from ("", terminal.style(title, style))
    width = min(WIDEST_KEY, max(display_width(dotted(path)) for path, _ in verdicts))
    for path, verdict in verdicts:
        yield from _line(dotted(path), _words(verdict), width, terminal.width)


def _words(verdict: Verdict) -> str:
    to = f"→ {', '.join(verdict.to)}" if verdict.to else ""
    instead = verdict.instead
    if instead and verdict.kind == "not_carried":
        instead = f"instead: {instead}"
    return ": ".join(filter(None, (to, verdict.why))) + (f"; {instead}" if instead else "")


def _line(key: str, words: str, width: int, columns: int) -> Iterator[str]:
    first = " " * INDENT + pad(key, width)
    room = columns - width - 2 * INDENT
    lines = wrap(words, room)
    if display_width(key) > width:
        yield first
        first = " " * (INDENT + width)
    blank = " " * (INDENT + width)
    for number, line in enumerate(lines):
        yield f"{first if number == 0 else blank}  {line}"
