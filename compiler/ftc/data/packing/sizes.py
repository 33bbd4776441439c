"""How long the training rows are and how often one pass uses them: all that laying them out needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]

SIZES = "sizes.npy"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of each row, in the order of the shards: its tokens, and the times that one pass uses it."""

    lengths: Int32
    copies: Int32

    @property
    def repeats(self) -> int:
        """Uses of rows beyond the first of each."""
        return int(self.copies.sum(dtype=np.int64)) - len(self.copies)

    def uses(self) -> Int32:
        """Row numbers, each as often as it is used: every row once, then those used twice, and so on."""
        most = int(self.copies.max(initial=0))
        times = [np.flatnonzero(self.copies > time).astype(np.int32) for time in range(most)]
        return np.concatenate([np.zeros(0, np.int32), *times])

    def write(self, directory: Path) -> None:
        """Keep them beside the shards. Raises OSError."""
        np.save(directory / SIZES, np.stack([self.lengths, self.copies]).astype("<i4"))

    @classmethod
    def read(cls, directory: Path) -> Sizes:
        """The sizes that stand beside the shards. Raises OSError and ValueError."""
        lengths, copies = np.load(directory / SIZES, allow_pickle=False, mmap_mode="r")
        return cls(lengths, copies)
