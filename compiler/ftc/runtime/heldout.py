"""The held-out rows, and the tokens that answer with a label as the training rows have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ftc.plan.steps import Part
from ftc.runtime.ready import Ready
from ftc.runtime.rows import batches

LOGITS = 2**28
"""Numbers in the logits of one batch of held-out rows at most."""

COLUMNS = ["id", "input_ids", "mask", "prompt_length", "target"]
PERHAPS = ("lengths", "carried")
"""Columns of rows with several members, and of rows that carry others along."""


def trained_end(mask: list[bool]) -> int:
    """Index after the last trained token; 0 where none is trained."""
    return next((place + 1 for place in range(len(mask) - 1, -1, -1) if mask[place]), 0)


@dataclass(frozen=True)
class Heldout:
    """Rows of one part as an Arrow table, addressed by number.

    Of a row with several members the first one is meant, such as the chosen answer, but by `member`.
    """

    table: Any

    @classmethod
    def read(cls, part: Part, data: Path) -> Heldout:
        """All rows of a part, in order."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        there = pq.read_schema(data / part.shards[0].file.name).names
        columns = [*COLUMNS, *(name for name in PERHAPS if name in there)]
        return cls(pa.Table.from_batches(batches(part, data, columns)).combine_chunks())

    @cached_property
    def ids(self) -> list[str]:
        """Row ids, in order."""
        return list(self.table.column("id").to_pylist())

    @cached_property
    def targets(self) -> list[str | None]:
        """The answers that are wanted, None where a row has none."""
        return list(self.table.column("target").to_pylist())

    @cached_property
    def carried(self) -> list[str | None]:
        """The other columns of each row as a JSON object, None where the rows carry none."""
        if "carried" not in self.table.column_names:
            return [None] * len(self.ids)
        return list(self.table.column("carried").to_pylist())

    def member(self, row: int, place: int) -> tuple[list[int], list[bool]]:
        """Tokens and mask of one of the texts that a row is made of."""
        lengths = self.table.column("lengths")[row].as_py()
        start, end = sum(lengths[:place]), sum(lengths[: place + 1])
        tokens, mask = (self.table.column(name)[row].as_py() for name in ("input_ids", "mask"))
        return tokens[start:end], mask[start:end]

    @cached_property
    def _several(self) -> bool:
        return "lengths" in self.table.column_names

    @cached_property
    def prompt_lengths(self) -> list[int | None]:
        """Tokens before the answer, None where a row has none."""
        return list(self.table.column("prompt_length").to_pylist())

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each row; of the longest member where it has several."""
        import pyarrow.compute as pc

        if self._several:
            return [max(lengths) for lengths in self.table.column("lengths").to_pylist()]
        return list(pc.list_value_length(self.table.column("input_ids")).to_pylist())

    def tokens(self, row: int) -> list[int]:
        """The row's tokens."""
        return self.member(row, 0)[0] if self._several else list(self.table.column("input_ids")[row].as_py())

    def mask(self, row: int) -> list[bool]:
        """Whether each token carries loss."""
        return self.member(row, 0)[1] if self._several else list(self.table.column("mask")[row].as_py())

    def prompt(self, row: int) -> list[int]:
        """The tokens before the answer."""
        return self.tokens(row)[: self.prompt_lengths[row]]

    @cached_property
    def answered(self) -> list[int]:
        """Rows with a prompt and a target, or with a prompt alone."""
        found = enumerate(zip(self.targets, self.prompt_lengths, self.lengths, strict=True))
        return [
            row for row, (target, asked, length) in found if asked and (target is not None or asked == length)
        ]


def in_batches(numbers: list[int], lengths: list[int], *, size: int, vocabulary: int) -> list[list[int]]:
    """Row numbers in batches of like lengths, the shortest first; long rows are taken fewer at a time."""
    order = sorted(numbers, key=lambda row: (lengths[row], row))
    found: list[list[int]] = []
    done = 0
    while done < len(order):
        batch = order[done : done + size]
        fitting = LOGITS // (vocabulary * lengths[batch[-1]])
        found.append(batch[: max(1, fitting)])
        done += len(found[-1])
    return found


def answer_tokens(row: dict[str, Any]) -> list[int]:
    """The tokens after the prompt, to the last trained one."""
    return list(row["input_ids"][row["prompt_length"] : trained_end(row["mask"])])


def stop_tokens(plan: Ready, heldout: Heldout, tokenizer: Any) -> list[int]:
    """Ids that end an answer: the plan's end token, and special tokens which end the rows' answers."""
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    ends = {heldout.tokens(row)[trained_end(heldout.mask(row)) - 1] for row in heldout.answered}
    return sorted({plan.tokenizer.eos_id} | (ends & special))


def _labelled(part: Part, data: Path, wanted: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows whose target is one of the wanted labels, outer white space aside."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in batches(part, data, COLUMNS):
        named = pc.utf8_trim_whitespace(batch.column("target"))
        if named.type == pa.null():
            continue
        for label in sorted(wanted):
            place = pc.index(named, label).as_py()
            if place >= 0:
                yield label, batch.slice(place, 1).to_pylist()[0]


def label_tokens(
    plan: Ready,
    data: Path,
    labels: tuple[str, ...],
    *,
    parts: tuple[Part | None, ...],
    tokenizer: Any,
    stops: list[int],
) -> dict[str, list[int]]:
    """For each label the tokens that answer with it, its stop token included.

    Taken from a row that has the label as its target; where no row has, the label is tokenised, with a
    space before it if the rows' answers begin with one.
    """
    missing, found = {label.strip() for label in labels}, dict[str, list[int]]()
    spaced = False
    for part in parts:
        for label, row in _labelled(part, data, missing) if part and missing else ():
            tokens = answer_tokens(row)
            if label in missing and tokens and tokens[-1] in stops:
                found[label] = tokens
                spaced = spaced or row["target"].startswith(" ")
                missing.discard(label)
    for label in missing:
        text = f" {label}" if spaced else label
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        found[label] = [*ids, plan.tokenizer.eos_id]
    return {label: found[label.strip()] for label in labels}
