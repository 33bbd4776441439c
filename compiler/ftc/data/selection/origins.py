"""The ids of the rows that others repeat, a few bytes each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ftc.data.selection.equal import Int64


class Origins:
    """For each row that repeats another, the id of that one: sorted numbers and one string of bytes."""

    def __init__(self, gone: Sequence[int] | Int64, ids: Iterable[bytes]) -> None:
        self._gone = np.asarray(gone, dtype=np.int64)
        found = list(ids)
        self._ends = np.cumsum([0, *map(len, found)])
        self._text = b"".join(found)
        self._which: Int64 = np.arange(len(found), dtype=np.int64)

    @classmethod
    def of(cls, gone: Int64, first: Int64, ids: Iterable[str]) -> Origins:
        """Of rows by number the rows they repeat; `ids` of all rows are gone through once."""
        named, which = np.unique(first, return_inverse=True)
        wanted = iter([*named.tolist(), -1])
        found, next_ = [], next(wanted)
        for number, id_ in enumerate(ids):
            if number == next_:
                found.append(id_.encode())
                next_ = next(wanted)
        order = np.argsort(gone, kind="stable")
        made = cls(gone[order], found)
        made._which = which[order]
        return made

    def id(self, row: int) -> str:
        """The id of the row that this row repeats."""
        which = self._which[np.searchsorted(self._gone, row)]
        return self._text[self._ends[which] : self._ends[which + 1]].decode()
