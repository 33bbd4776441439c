"""The one module that writes to the terminal: streams, colour, width, and what may be printed at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any, Literal

ColorMode = Literal["auto", "always", "never"]

STYLES = {
    "strong": "1",
    "dim": "2",
    "error": "1;31",
    "warning": "1;33",
    "good": "1;32",
    "accent": "36",
    "trained": "30;42",
}
"""Names of what is meant, and how a terminal shows it (SGR parameters)."""

NARROWEST, WIDEST = 40, 100
UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
"""Characters which move the cursor, change the terminal's state or reorder text; tab and newline are not."""

_UNSAFE = re.compile(f"[{UNSAFE}]")
_OWN = "|".join(sorted({"0", "1;34", "1;36", *STYLES.values()}))
_UNSAFE_OR_STYLE = re.compile(f"\x1b\\[(?:{_OWN})m|[{UNSAFE}]")
"""Styles are ftc's own alone: text from outside cannot hide itself or blink."""


class Closed(Exception):  # noqa: N818 - not an error: the reader has seen enough
    """Whoever read our output has gone (`ftc plan … | head`)."""


def picture(character: str) -> str:
    """A visible, harmless stand-in for a control character."""
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"


def escape(text: str) -> str:
    """Untrusted text with every control character made visible, escape sequences included."""
    return _UNSAFE.sub(lambda match: picture(match[0]), text)


def _escape_all_but_styles(text: str) -> str:
    return _UNSAFE_OR_STYLE.sub(lambda match: match[0] if len(match[0]) > 1 else picture(match[0]), text)


def wants_color(stream: IO[str], mode: ColorMode = "auto") -> bool:
    """Whether to colour a stream: the option, then NO_COLOR, FORCE_COLOR, then whether it is a terminal."""
    if mode != "auto":
        return mode == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True)
class Terminal:
    """Standard output and standard error, with every decision about them made once.

    `color_out` and `color_err` say whether each stream is coloured; `width` is in columns;
    `interactive` says whether standard error is a terminal that can redraw; `verbosity` is -1 (quiet),
    0 or 1 (verbose).
    """

    color_out: bool
    color_err: bool
    width: int
    interactive: bool
    verbosity: int = 0

    @classmethod
    def open(cls, color: ColorMode = "auto", verbosity: int = 0) -> Terminal:
        """The terminal of this process."""
        columns = shutil.get_terminal_size().columns
        return cls(
            color_out=wants_color(sys.stdout, color),
            color_err=wants_color(sys.stderr, color),
            width=max(NARROWEST, min(WIDEST, columns)),
            interactive=sys.stderr.isatty() and os.environ.get("TERM") != "dumb",
            verbosity=verbosity,
        )

    @property
    def quiet(self) -> bool:
        """Only errors are wanted."""
        return self.verbosity < 0

    @property
    def verbose(self) -> bool:
        """More than usual is wanted."""
        return self.verbosity > 0

    def style(self, text: str, name: str, *, err: bool = False) -> str:
        """Text in one of the `STYLES` where that stream is coloured; untrusted text is made harmless."""
        safe = escape(text)
        colored = self.color_err if err else self.color_out
        return f"\x1b[{STYLES[name]}m{safe}\x1b[0m" if colored and safe else safe

    def out(self, text: str = "") -> None:
        """Write a line, or several, of what the command was asked for."""
        _write(sys.stdout, text + "\n", colored=self.color_out)

    def err(self, text: str = "") -> None:
        """Write a line, or several, of what is said about it."""
        _write(sys.stderr, text + "\n", colored=self.color_err)

    def document(self, value: Any) -> None:
        """Write a JSON document: ASCII only, so that no reader's encoding can break it."""
        _write(sys.stdout, json.dumps(value, indent=2) + "\n", colored=False)

    def part(self, text: str) -> None:
        """Write a part of a line as it comes; what stands in it is made harmless."""
        _write(sys.stdout, escape(text), colored=False)
        flush()

    def ask(self, prompt: str) -> str | None:
        """A line that is typed behind a prompt, or read from a pipe without one; None at the end."""
        if not sys.stdin.isatty():
            line = sys.stdin.readline()
            return line.rstrip("\n") if line else None
        try:
            import readline  # noqa: F401 - it gives `input` the arrow keys, where Python has it
        except ImportError:
            self.part("")
        try:
            return input(prompt)
        except EOFError:
            self.out()
            return None

    def lines(self, lines: Iterable[str]) -> None:
        """Write lines to standard output."""
        self.out("\n".join(lines))


def flush() -> None:
    """Push out what is buffered; raises Closed if nobody reads it any more."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError as error:
        raise Closed from error


def abandon() -> None:
    """Point standard output nowhere, so that the interpreter's last flush cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _write(stream: IO[str], text: str, *, colored: bool) -> None:
    safe = _escape_all_but_styles(text) if colored else escape(text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(safe.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError as error:
        raise Closed from error
