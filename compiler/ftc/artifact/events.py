"""What a build says while it works, kept in its unfinished run so that another process can follow it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ftc.runtime.events import Event, encode

EVENTS = "work/events.jsonl"
"""The file in an unfinished run: a line an event, begun anew with each start; gone once the run is whole."""


def recorded(partial: Path, on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """A listener that writes each event down and hands it on.

    What cannot be written, on a full disk, is left out: it stops no build.
    """
    file = partial / EVENTS
    _write(file, None)

    def listen(event: Event) -> None:
        _write(file, event)
        on_event(event)

    return listen


def _write(file: Path, event: Event | None) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if event is None:
            file.unlink(missing_ok=True)  # a reader of the old file sees that it is another one
            file.touch()
            return
        with file.open("ab") as opened:
            opened.write(encode(event).encode() + b"\n")
    except OSError:
        return
