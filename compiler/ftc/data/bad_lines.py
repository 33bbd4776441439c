"""Find the lines of JSONL files that DuckDB cannot read; DuckDB itself is the judge."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ftc.facts.readers import open_bytes

CHUNK = 4096
"""Lines that are tried together before the bad ones among them are searched by halving."""

Probe = Callable[[Path], str | None]
"""Tries to read a file: None, or DuckDB's reason why not."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a source that cannot be read: its number (from 1) where it has one, its place, the reason."""

    number: int | None
    place: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    place: str
    content: bytes


def _lines(paths: Sequence[Path], names: Sequence[str]) -> Iterator[_Line]:
    """The lines with something on them; numbers run on over the files."""
    number = 0
    for path, name in zip(paths, names, strict=True):
        with open_bytes(path) as file:
            for at, content in enumerate(file, 1):
                if content.strip():
                    number += 1
                    yield _Line(number, f"{name}:{at}", content.rstrip(b"\r\n"))


def _explained(line: _Line, judged: str) -> BadRow:
    try:
        value = json.loads(line.content.decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = line.content[error.start]
        return BadRow(
            line.number,
            line.place,
            "FTC211",
            f"byte {error.start + 1} of the line, 0x{byte:02x}, is not UTF-8",
        )
    except ValueError as error:
        place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        return BadRow(line.number, line.place, "FTC210", f"not JSON: {_lowered(reason)}{place}")
    if not isinstance(value, dict):
        return BadRow(line.number, line.place, "FTC210", "not a JSON object")
    return BadRow(line.number, line.place, "FTC210", judged)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


class BadLines:
    """A search through files; good lines go to `clean` on the way.

    `probe_file` is a place for the lines that are being tried.
    """

    def __init__(self, probe: Probe, probe_file: Path, clean: BinaryIO) -> None:
        self._probe, self._file, self._clean = probe, probe_file, clean

    def search(self, paths: Sequence[Path], names: Sequence[str]) -> Iterator[BadRow]:
        """The bad lines in order, one chunk in memory at a time."""
        lines = _lines(paths, names)
        while chunk := list(islice(lines, CHUNK)):
            yield from self._bad(chunk)

    def _bad(self, lines: list[_Line]) -> Iterator[BadRow]:
        content = b"".join(line.content + b"\n" for line in lines)
        self._file.write_bytes(content)
        judged = self._probe(self._file)
        if judged is None:
            self._clean.write(content)
        elif len(lines) == 1:
            yield _explained(lines[0], judged)
        else:
            middle = len(lines) // 2
            yield from self._bad(lines[:middle])
            yield from self._bad(lines[middle:])


def duckdb_reason(message: str) -> str:
    """DuckDB's reason for a line, without file names, line numbers and advice."""
    text = re.sub(r"^.*?in line \d+: ", "", message.partition("\n")[0])
    return _lowered(" ".join(text.split())).rstrip(". ")
