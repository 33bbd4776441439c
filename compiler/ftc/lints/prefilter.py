"""One pass over the texts of a batch, which tells the rows in which there may be something to see.

Each lint that looks for something in texts states hints: patterns over UTF-8 bytes, in RE2's syntax, of which
one is in every text in which it sees something. The pass takes about as long for all hints as for one, so
long as few of them begin with letters that are common in words.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftc.lints.row import Row

BEYOND = r"\x80-\xff"
"""The bytes of all characters beyond ASCII, for use within brackets."""

WORD = rf"[\w{BEYOND}-]"
"""A byte of `[\\w-]` in Python, where letters and digits of all scripts are words."""

BLANK = rf"[\s\x0b\x1c-\x1f{BEYOND}]"
"""A byte of `\\s` in Python, or of another character beyond ASCII."""


def exactly(text: str) -> str:
    """The pattern of a text itself."""
    return "".join(rf"\x{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


class Prefilter:
    """Tells rows apart by hints, of which there is at least one."""

    def __init__(self, hints: Sequence[str]) -> None:
        self._pattern = "|".join(hints)

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """The rows whose texts have a hint, in order."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = [row.text.encode("utf-8", "surrogatepass") for row in rows]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        column = pa.Array.from_buffers(pa.large_binary(), len(rows), buffers)
        found = pc.indices_nonzero(pc.match_substring_regex(column, pattern=self._pattern))
        return [rows[row] for row in found.to_pylist()]
