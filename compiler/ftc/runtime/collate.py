"""Rows of different lengths as one batch: padded on the right, or end to end without padding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ftc.runtime.ready import Ready
from ftc.runtime.rows import IGNORED
from ftc.runtime.sequences import MappedRows

if TYPE_CHECKING:
    from torch import Tensor

UNSEEN = {
    "rows": ("row",),
    "pairs": ("row", "labels"),
    "pairs_apart": ("row",),
    "labelled": ("row", "labels"),
    "prompts": (),
    "followed": ("row",),
    "classes": ("row",),
    "members": ("row",),
}
"""Of each kind of batch what is there to prove it, and does not go to the trainer."""

TENSORS = ("input_ids", "attention_mask", "labels")

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


def _split(tokens: list[int], lengths: list[int]) -> list[list[int]]:
    """The members of a row, which lie end to end."""
    ends = list(accumulate(lengths))
    return [tokens[end - length : end] for end, length in zip(ends, lengths, strict=True)]


class PairCollator:
    """Batches of rows with several members, as TRL's trainers take pairs: all first members, then all second.

    Where the model has a head of scores, no token is predicted, so the batch says nothing of answers.
    """

    def __init__(self, pad_id: int, *, scores: bool = False) -> None:
        self.pad_id, self._scores = pad_id, scores

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids, attention_mask, labels, completion_mask (members × rows, longest) and row."""
        import torch

        found = {}
        for name in ("input_ids", "labels"):
            split = [_split(example[name], example["lengths"]) for example in examples]
            found[name] = [row[member] for member in range(len(split[0])) for row in split]
        labels = padded(found["labels"], IGNORED)
        batch = {
            "input_ids": padded(found["input_ids"], self.pad_id),
            "attention_mask": attention(found["input_ids"]),
            "labels": labels,
            "row": torch.tensor([example["row"] for example in examples]),
        }
        return batch if self._scores else batch | {"completion_mask": (labels != IGNORED).long()}


class FollowedCollator:
    """Batches of rows as distillation takes them: whole, and what stands before the answer on its own.

    What comes before the first token with loss is what the student is given to answer itself.
    """

    def __init__(self, pad_id: int) -> None:
        self._whole = Collator(pad_id)

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Those of `Collator`, and prompts and prompt_attention_mask (rows, longest), filled on the left."""
        prompts = [example["input_ids"][: _answer_start(example["labels"])] for example in examples]
        return self._whole(examples) | {
            "prompts": padded(prompts, self._whole.pad_id, left=True),
            "prompt_attention_mask": attention(prompts, left=True),
        }


class ApartCollator:
    """Batches of pairs as those of TRL's trainers take them that put the answers together themselves."""

    def __init__(self, pad_id: int) -> None:
        self._pairs = PairCollator(pad_id)

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids, attention_mask and labels (rows, longest) of each member, and row (rows)."""
        batch, rows = self._pairs(examples), len(examples)
        halves = {"chosen": slice(None, rows), "rejected": slice(rows, None)}
        members = {
            f"{member}_{name}": batch[name][half] for member, half in halves.items() for name in TENSORS
        }
        return members | {"row": batch["row"]}


class LabelledCollator:
    """Batches of answers that are good or bad, as TRL's KTO takes them.

    With `drift` each prompt comes a second time with the answer of the row before it in the batch, from which
    the trainer estimates how far the model has moved (TRL's own rotation).
    """

    def __init__(self, pad_id: int, *, drift: bool) -> None:
        self.pad_id, self._drift = pad_id, drift

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids, attention_mask, labels, completion_mask (rows, longest), label, row (rows)."""
        import torch

        ids = [example["input_ids"] for example in examples]
        labels = padded([example["labels"] for example in examples], IGNORED)
        batch = {
            "input_ids": padded(ids, self.pad_id),
            "attention_mask": attention(ids),
            "labels": labels,
            "completion_mask": (labels != IGNORED).long(),
            "label": torch.tensor([json.loads(example["carried"])["label"] for example in examples]),
            "row": torch.tensor([example["row"] for example in examples]),
        }
        return batch | self._rotated(examples) if self._drift else batch

    def _rotated(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Each prompt with another row's answer."""
        starts = [_answer_start(example["labels"]) for example in examples]
        cuts = list(zip(examples, starts, strict=True))
        prompts = [example["input_ids"][:start] for example, start in cuts]
        answers = [
            [token for token in example["labels"][start:] if token != IGNORED] for example, start in cuts
        ]
        pairs = list(zip(prompts, [answers[-1], *answers[:-1]], strict=True))
        ids = [prompt + answer for prompt, answer in pairs]
        return {
            "KL_input_ids": padded(ids, self.pad_id),
            "KL_attention_mask": attention(ids),
            "KL_completion_mask": padded([[0] * len(prompt) + [1] * len(one) for prompt, one in pairs], 0),
        }


class ClassCollator:
    """Batches of texts with the number of each one's class."""

    def __init__(self, pad_id: int, classes: Sequence[str]) -> None:
        self.pad_id, self._numbers = pad_id, {name: number for number, name in enumerate(classes)}

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids and attention_mask (rows, longest), labels and row (rows)."""
        import torch

        ids = [example["input_ids"] for example in examples]
        return {
            "input_ids": padded(ids, self.pad_id),
            "attention_mask": attention(ids),
            "labels": torch.tensor([self._numbers[class_of(example["carried"])] for example in examples]),
            "row": torch.tensor([example["row"] for example in examples]),
        }


def class_of(carried: str) -> str:
    """The class of a row, of what it carries."""
    return str(json.loads(carried)["label"])


def _answer_start(labels: list[int]) -> int:
    return next(place for place, label in enumerate(labels) if label != IGNORED)


def collated(plan: Ready, rows: MappedRows, *, packed: bool) -> dict[str, Any]:
    """What makes the plan's batches, as its trainer takes it; one that samples takes rows as they are."""
    if plan.objective.batches == "prompts":
        return {}
    return {"data_collator": _collator(plan, rows, packed=packed)}


def _collator(plan: Ready, rows: MappedRows, *, packed: bool) -> Any:
    pad_id, step = plan.tokenizer.pad_id, plan.objective
    if step.batches == "pairs":
        return PairCollator(pad_id, scores=step.head == "scores")
    if step.batches == "followed":
        return FollowedCollator(pad_id)
    if step.batches == "pairs_apart":
        return ApartCollator(pad_id)
    if step.batches == "members":
        from ftc.runtime.embeddings import MemberCollator

        return MemberCollator(pad_id, plan.render.members)
    if step.batches == "classes":
        return ClassCollator(pad_id, plan.data.classes)
    if step.batches == "labelled":
        return LabelledCollator(pad_id, drift=step.options["loss"] == "kto")
    return PackedCollator(rows) if packed else Collator(pad_id)


def together(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch whose members stand apart with all of them together."""
    members = [name.removesuffix("_input_ids") for name in batch if name.endswith("_input_ids")]
    if "input_ids" in batch or not members:
        return batch
    import torch

    names = [name for name in TENSORS if f"{members[0]}_{name}" in batch]
    width = max(batch[f"{member}_input_ids"].shape[1] for member in members)
    fills = {name: IGNORED if name == "labels" else 0 for name in names}
    joined = {
        name: [_widened(batch[f"{member}_{name}"], width, fill) for member in members]
        for name, fill in fills.items()
    }
    return batch | {name: torch.cat(parts) for name, parts in joined.items()}


def _widened(tensor: Tensor, width: int, fill: int) -> Tensor:
    import torch

    wide: Tensor = torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=fill)
    return wide


def tokens_of(batch: dict[str, Any]) -> int:
    """How many tokens a batch has, padding aside."""
    batch = together(batch)
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    return int(batch["input_ids"].numel())


def rows_of(batch: dict[str, Any]) -> Iterator[Row | None]:
    """The rows that are in a batch as the model tells them apart; None where padding carries a label.

    Rows with members are put together again; `row` has their number.
    """
    batch = together(batch)
    if "attention_mask" not in batch:
        yield from _end_to_end(batch)
        return
    found = list(_padded_rows(batch))
    rows = len(batch["row"])
    for row in range(rows):
        members = found[row::rows]
        whole = [member for member in members if member is not None]
        ids, labels = ([token for member in whole for token in member[part]] for part in range(2))
        yield (ids, labels) if len(whole) == len(members) else None


def _padded_rows(batch: dict[str, Any]) -> Iterator[Row | None]:
    import torch

    masks, labelled = batch["attention_mask"].bool(), batch.get("labels")
    if labelled is None or labelled.dim() == 1:  # a class each, or none: no token is predicted
        labelled = torch.full_like(batch["input_ids"], IGNORED)
    for ids, labels, kept in zip(batch["input_ids"], labelled, masks, strict=True):
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
