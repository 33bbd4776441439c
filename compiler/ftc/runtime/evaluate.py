"""The held-out rows before and after training: loss, exact match, accuracy among the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ftc.plan.steps import EvalStep
from ftc.runtime import score
from ftc.runtime.events import Event, Progress
from ftc.runtime.heldout import Heldout, label_tokens, stop_tokens
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop

LOGITS = 2**28
"""Numbers in one batch's logits at most, by which long rows are taken fewer at a time."""

When = Literal["before", "after"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """Metrics with the counts they were made of, and one entry for each held-out row, in order."""

    metrics: dict[str, float | int]
    rows: list[Row]


@dataclass(frozen=True)
class Evaluator:
    """The held-out rows of a plan, ready to be put to a model."""

    plan: Ready
    settings: EvalStep
    heldout: Heldout
    tokenizer: Any
    stops: list[int]
    labels: dict[str, list[int]]
    emit: Callable[[Event], None] = field(repr=False)
    stop: Stop = field(repr=False)

    @classmethod
    def make(
        cls, plan: Ready, data: Path, model: Path, *, emit: Callable[[Event], None], stop: Stop
    ) -> Evaluator | None:
        """The evaluator, or None where the plan holds no row out."""
        from tokenizers import Tokenizer

        if not (plan.eval and plan.data.eval and plan.data.eval.rows):
            return None
        heldout = Heldout.read(plan.data.eval, data)
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        stops = stop_tokens(plan, heldout, tokenizer)
        labelled = "label_accuracy" in plan.eval.metrics
        names = plan.eval.labels if labelled else ()
        labels = label_tokens(plan, data, names, tokenizer=tokenizer, stops=stops)
        return cls(plan, plan.eval, heldout, tokenizer, stops, labels, emit, stop)

    def __call__(self, model: Any) -> Evaluated:
        """Put every row to the model. Raises StoppedError between two batches."""
        import torch

        measures = {"loss": self._loss, "exact_match": self._answers, "label_accuracy": self._labels}
        rows: list[Row] = [{} for _ in self.heldout.ids]
        metrics: dict[str, float | int] = {}
        model.eval()
        with torch.no_grad():
            for name in self.settings.metrics:
                metrics |= measures[name](model, rows)
        return Evaluated(metrics, rows)

    def batches(self, numbers: list[int], lengths: list[int]) -> list[list[int]]:
        """Row numbers in batches of like lengths, the shortest first."""
        order = sorted(numbers, key=lambda row: (lengths[row], row))
        found: list[list[int]] = []
        done = 0
        while done < len(order):
            batch = order[done : done + self.settings.batch]
            fitting = LOGITS // (self.plan.model.vocabulary * lengths[batch[-1]])
            found.append(batch[: max(1, fitting)])
            done += len(found[-1])
        return found

    def _batches(self, numbers: list[int], lengths: list[int], what: str) -> Iterator[list[int]]:
        """Row numbers in batches of like lengths; tells the progress and heeds a stop."""
        done = 0
        for batch in self.batches(numbers, lengths):
            self.stop.check()
            yield batch
            done += len(batch)
            self.emit(Progress(what, done, len(numbers)))

    @property
    def _pad(self) -> int:
        return self.plan.tokenizer.pad_id

    def _loss(self, model: Any, rows: list[Row]) -> dict[str, float | int]:
        """Mean loss over the trained tokens of all rows, in nats; each row's own mean beside it."""
        held, found = self.heldout, dict[int, tuple[float, int]]()
        for batch in self._batches(list(range(len(rows))), held.lengths, "loss"):
            tokens, masks = [held.tokens(row) for row in batch], [held.mask(row) for row in batch]
            losses = score.row_losses(model, tokens, masks, pad_id=self._pad)
            found.update(zip(batch, losses, strict=True))
        for row, entry in enumerate(rows):
            total, count = found[row]
            entry["loss"] = total / count if count else None
        tokens_in_all = sum(count for _, count in found.values())
        mean = sum(found[row][0] for row in range(len(rows))) / max(tokens_in_all, 1)
        return {"loss": mean, "loss_tokens": tokens_in_all} if tokens_in_all else {}

    def _prompt_lengths(self) -> list[int]:
        return [length or 0 for length in self.heldout.prompt_lengths]

    def _answers(self, model: Any, rows: list[Row]) -> dict[str, float | int]:
        """Share of rows whose greedy answer is the target, outer white space aside."""
        held, lengths = self.heldout, self._prompt_lengths()
        for batch in self._batches(held.answered, lengths, "answers"):
            prompts = [held.prompt(row) for row in batch]
            room = max(1, self.plan.model.context_length - max(map(len, prompts)))
            longest = min(self.settings.max_new_tokens, room)
            made = score.greedy(model, prompts, stops=self.stops, pad_id=self._pad, longest=longest)
            for row, tokens in zip(batch, made, strict=True):
                answer = self.tokenizer.decode(tokens, skip_special_tokens=False)
                rows[row]["answer"] = answer
                rows[row]["match"] = answer.strip() == (held.targets[row] or "").strip()
        return self._share("match", "exact_match", rows)

    def _labels(self, model: Any, rows: list[Row]) -> dict[str, float | int]:
        """Share of rows for which the likeliest label is the target."""
        held, names = self.heldout, list(self.labels)
        for batch in self._batches(held.answered, self._prompt_lengths(), "labels"):
            prompts = [held.prompt(row) for row in batch]
            scores = score.label_scores(model, prompts, list(self.labels.values()), pad_id=self._pad)
            for row, place in zip(batch, scores.argmax(dim=1).tolist(), strict=True):
                rows[row]["label"] = names[place]
                rows[row]["label_match"] = names[place].strip() == (held.targets[row] or "").strip()
        return self._share("label_match", "label_accuracy", rows)

    def _share(self, key: str, name: str, rows: list[Row]) -> dict[str, float | int]:
        if not self.heldout.answered:
            return {}
        right = sum(bool(row.get(key)) for row in rows)
        total = len(self.heldout.answered)
        return {name: right / total, f"{name}_right": right, f"{name}_rows": total}


def report(heldout: Heldout | None, before: Evaluated | None, after: Evaluated | None) -> dict[str, Any]:
    """The content of eval.json."""
    if heldout is None or before is None or after is None:
        return {"before": {}, "after": {}, "rows": [], "note": "No row is held out, so nothing was measured."}
    parts = zip(heldout.ids, heldout.targets, before.rows, after.rows, strict=True)
    rows = [{"id": name, "target": target, "before": b, "after": a} for name, target, b, a in parts]
    return {"before": before.metrics, "after": after.metrics, "rows": rows}
