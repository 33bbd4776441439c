"""What the runtime does with held-out rows, run by its own functions: losses, answers, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

from ftc.estimate.abstract.segments import base_of
from ftc.estimate.step import Evaluation
from ftc.runtime import score

Begin = Callable[[str], None]


def rows_of(how: Evaluation, length: int) -> list[list[int]]:
    """Rows of so many tokens, the last of them shorter where the batch is padded."""
    rows = [[0] * length for _ in range(how.rows)]
    if how.padded:
        rows[-1] = rows[-1][: max(1, length // 2)]
    return rows


def losses(model: Any, how: Evaluation) -> None:
    """The losses of rows of which `how.positions` tokens carry loss, or the scores of rows."""
    if hasattr(base_of(model), "score"):
        score.class_scores(model, rows_of(how, how.length), pad_id=0)
        return
    columns = torch.arange(how.positions or 1)
    wanted = torch.zeros(how.rows, len(columns), dtype=torch.long)
    score.position_losses(model, rows_of(how, how.length), wanted, columns, pad_id=0)


def answers(model: Any, how: Evaluation, begin: Begin) -> None:
    """Prompts read, and the last token written: what the cache is by then follows from no value.

    So it is read in at once, which `begin` leaves out of account.
    """
    begin("prompts")
    prompt, written = how.prompt or how.length, how.generated or 1
    _written(model, rows_of(how, prompt), 1)
    if written < 2:
        return
    begin("unseen")
    inner, calls = base_of(model).base_model, iter(("unseen", "answers"))
    handle = inner.register_forward_pre_hook(lambda *_: begin(next(calls)))
    _written(model, rows_of(how, prompt + written - 2), 2)
    handle.remove()


def _written(model: Any, prompts: list[list[int]], count: int) -> None:
    left = iter([True] * count)
    name = "transformers.generation.utils.GenerationMixin._has_unfinished_sequences"
    with patch(name, lambda *_, **__: next(left, False)), patch("transformers.generation.utils.logger"):
        score.continued(model, prompts, stops=[0], pad_id=0, longest=count)


def labels(model: Any, how: Evaluation) -> None:
    """Labels tried behind prompts, as many as go at once."""
    tried = [[0] * (how.label + 1) for _ in range(how.labels or 1)]
    score.label_scores(model, rows_of(how, how.prompt or how.length), tried, pad_id=0)


@contextmanager
def widened(model: Any, *, widen: bool) -> Iterator[None]:
    """Within, the model's output is converted to float32, as what starts autocast does."""

    def convert(_module: Any, _inputs: Any, out: Any) -> None:
        out.logits = out.logits.float()

    handle = model.register_forward_hook(convert) if widen else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
