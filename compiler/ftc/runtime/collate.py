"""Rows of different lengths as one batch: padded on the right, or end to end without padding."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ftc.runtime.rows import IGNORED
from ftc.runtime.sequences import MappedRows

if TYPE_CHECKING:
    from torch import Tensor

Row = tuple[list[int], list[int]]
"""A row's tokens and labels."""


def padded(lists: list[list[int]], fill: int, *, left: bool = False) -> Tensor:
    """Integers of shape (rows, longest), filled up on one side."""
    import torch

    width = max(len(items) for items in lists)
    gaps = [[fill] * (width - len(items)) for items in lists]
    joined = [gap + items if left else items + gap for items, gap in zip(lists, gaps, strict=True)]
    return torch.tensor(joined, dtype=torch.long)


def attention(lists: list[list[int]], *, left: bool = False) -> Tensor:
    """1 for a token and 0 for padding, by length alone: a padding token may be an end token too."""
    return padded([[1] * len(items) for items in lists], 0, left=left)


class Collator:
    """Batches of compiled rows for the trainer; `row` travels along so that a batch can be proved."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids, labels, attention_mask (rows, longest) and row (rows)."""
        import torch

        ids = [example["input_ids"] for example in examples]
        return {
            "input_ids": padded(ids, self.pad_id),
            "labels": padded([example["labels"] for example in examples], IGNORED),
            "attention_mask": attention(ids),
            "row": torch.tensor([example["row"] for example in examples]),
        }


class PackedCollator:
    """Batches of packed sequences: all their rows end to end, as one row to the model.

    Positions begin at 0 with each row, which is what every attention kernel tells rows apart by; there is no
    attention mask, because with one transformers takes positions for those of a single row.
    """

    def __init__(self, rows: MappedRows) -> None:
        self._rows = rows

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids, labels and position_ids (1, tokens), and row (rows)."""
        return self.batch([row for example in examples for row in example["rows"]])

    def batch(self, numbers: list[int]) -> dict[str, Tensor]:
        """The rows of these numbers as one batch."""
        import torch

        rows = self._rows(numbers)
        lengths = torch.from_numpy(rows.lengths)
        starts = torch.cumsum(lengths, 0) - lengths
        positions = torch.arange(len(rows.tokens)) - torch.repeat_interleave(starts, lengths)
        return {
            "input_ids": torch.from_numpy(rows.tokens)[None],
            "labels": torch.from_numpy(rows.labels)[None],
            "position_ids": positions[None],
            "row": torch.tensor(numbers),
        }


def tokens_of(batch: dict[str, Any]) -> int:
    """How many tokens a batch has, padding aside."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    return int(batch["input_ids"].numel())


def rows_of(batch: dict[str, Any]) -> Iterator[Row | None]:
    """The rows that are in a batch as the model tells them apart; None where padding carries a label."""
    if "attention_mask" not in batch:
        yield from _end_to_end(batch)
        return
    masks = batch["attention_mask"].bool()
    for ids, labels, kept in zip(batch["input_ids"], batch["labels"], masks, strict=True):
        stray = (labels[~kept] != IGNORED).any().item()
        yield None if stray else (ids[kept].tolist(), labels[kept].tolist())


def _end_to_end(batch: dict[str, Any]) -> Iterator[Row | None]:
    import torch

    ids, labels, positions = (batch[name][0] for name in ("input_ids", "labels", "position_ids"))
    # As transformers tells rows apart: where positions do not go on by one.
    breaks = torch.nonzero(torch.diff(positions) != 1).flatten() + 1
    bounds = [0, *breaks.tolist(), len(positions)]
    for start, end in pairwise(bounds):
        begun = positions[start].item() == 0 and labels[start].item() == IGNORED
        yield (ids[start:end].tolist(), labels[start:end].tolist()) if begun else None
