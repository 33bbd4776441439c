"""Find held-out rows whose prompt, as rendered, is trained on too."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from pathlib import Path

from ftc.data.batch import EVAL, TRAIN, Batch
from ftc.data.example import Rendered
from ftc.data.shards import read_rows
from ftc.plan.steps import Part, SharedPrompts

SHOWN = 5


def prompt_hash(rendered: Rendered) -> int:
    """64 bits of what inference would be given for the row, or of the whole text where nothing is asked."""
    text = rendered.text if rendered.prompt is None else rendered.prompt
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class PromptHashes:
    """The prompts of both sides by their hashes, eight bytes a row, in the order of the rows."""

    def __init__(self) -> None:
        self._train, self._eval = array("Q"), array("Q")

    def add(self, batch: Batch) -> None:
        """Count rows that are kept."""
        for kept, side in ((self._train, TRAIN), (self._eval, EVAL)):
            kept.frombytes(batch.prompts[batch.sides == side].tobytes())

    def shared(self, directory: Path, held_out: Part) -> SharedPrompts:
        """The held-out rows whose prompt a training row has too."""
        import numpy as np

        trained = np.frombuffer(self._train, dtype=np.uint64)
        held = np.frombuffer(self._eval, dtype=np.uint64)
        both = np.flatnonzero(np.isin(held, trained)).tolist() if len(held) and len(trained) else []
        first = set(both[:SHOWN])
        ids = (row.id for number, row in enumerate(read_rows(directory, held_out)) if number in first)
        return SharedPrompts(rows=len(both), first_ids=tuple(ids) if first else ())
