"""A column of numbers that grows on disk, so that memory does not grow with the rows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


class GrowingColumn(Generic[Number]):
    """Numbers of one type in a file without a name, which goes with its last reader; raises OSError."""

    def __init__(self, directory: Path, kind: type[Number]) -> None:
        self._kind = kind
        self._file: Any = TemporaryFile(dir=directory)  # noqa: SIM115 - it lives as long as the column

    def add(self, values: NDArray[Any]) -> None:
        """Append numbers, converted to the column's type."""
        self._file.write(np.ascontiguousarray(values, dtype=self._kind).data)

    def read(self) -> NDArray[Number]:
        """All numbers so far, mapped into memory and read-only."""
        self._file.flush()
        if not self._file.tell():
            return np.zeros(0, dtype=self._kind)
        return np.asarray(np.memmap(self._file, dtype=self._kind, mode="r"))
