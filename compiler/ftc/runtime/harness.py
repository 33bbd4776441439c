"""What lm-evaluation-harness asks of a model, made of the model, its tokenizer and the batches of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftc.evaluation.harness import Functions
from ftc.runtime import score
from ftc.runtime.collate import attention, padded
from ftc.runtime.heldout import in_batches
from ftc.runtime.ready import Ready

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 32
"""Rows at a time, long ones fewer."""

Pair = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Asked:
    """A model with what it takes to put the harness's questions to it. `heed` is called between batches."""

    plan: Ready
    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    heed: Callable[[], None] = field(repr=False)
    batch: int = BATCH

    def functions(self) -> Functions:
        """The functions that the harness takes."""
        own = self.plan.tokenizer
        prefix = own.eos_id if own.bos_id is None else own.bos_id
        return Functions(
            self.encode, prefix, own.eos_id, self.plan.model.context_length, self.score, self.write
        )

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, behind the token that the tokenizer puts before one, if it does."""
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        first = self.plan.tokenizer.bos_id
        return found if first is None or found[:1] == [first] else [first, *found]

    def score(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Each continuation's log-probability, in nats, and whether each of its tokens is the likeliest."""
        import torch

        longest = self.plan.model.context_length
        rows = [(context + continuation)[-longest - 1 :] for context, continuation in pairs]
        found: dict[int, tuple[float, bool]] = {}
        with torch.no_grad():
            for batch in self._batches([len(row) for row in rows]):
                read = self._logits([rows[number][:-1] for number in batch])
                for number, logits in zip(batch, read, strict=True):
                    found[number] = _continued(logits, rows[number], len(pairs[number][1]))
        return [found[number] for number in range(len(rows))]

    def write(self, asked: Sequence[tuple[str, int]]) -> list[str]:
        """The likeliest answer to each prompt, which loses its beginning where it is too long."""
        import torch

        own, room = self.plan.tokenizer, self.plan.model.context_length
        prompts = [self.encode(text)[-max(1, room - longest) :] for text, longest in asked]
        found: dict[int, str] = {}
        with torch.no_grad():
            for batch in self._batches([len(prompt) for prompt in prompts]):
                made = score.greedy(
                    self.model,
                    [prompts[number] for number in batch],
                    stops=[own.eos_id],
                    pad_id=own.pad_id,
                    longest=max(asked[number][1] for number in batch),
                )
                for number, tokens in zip(batch, made, strict=True):
                    kept = tokens[: asked[number][1]]
                    found[number] = self.tokenizer.decode(kept, skip_special_tokens=True)
        return [found[number] for number in range(len(asked))]

    def _batches(self, lengths: list[int]) -> list[list[int]]:
        numbers = list(range(len(lengths)))
        found = in_batches(numbers, lengths, size=self.batch, vocabulary=self.plan.model.vocabulary)
        self.heed()
        return found

    def _logits(self, rows: list[list[int]]) -> Tensor:
        self.heed()
        logits: Tensor = self.model(
            input_ids=padded(rows, self.plan.tokenizer.pad_id).to(self.model.device),
            attention_mask=attention(rows).to(self.model.device),
            use_cache=False,
        ).logits
        return logits


def _continued(logits: Tensor, row: list[int], count: int) -> tuple[float, bool]:
    """The log-probability of a row's last tokens; `logits` follow its tokens but the last, then padding."""
    import torch

    count = min(count, len(row) - 1)
    steps = torch.log_softmax(logits[len(row) - 1 - count : len(row) - 1].float(), dim=-1)
    wanted = torch.tensor(row[len(row) - count :], device=steps.device)
    taken = steps.gather(1, wanted[:, None])
    return float(taken.double().sum()), bool((steps.argmax(dim=-1) == wanted).all())
