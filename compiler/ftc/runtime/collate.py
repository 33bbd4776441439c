"""Rows of different lengths as one batch, padded on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.runtime.rows import IGNORED

if TYPE_CHECKING:
    from torch import Tensor


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
