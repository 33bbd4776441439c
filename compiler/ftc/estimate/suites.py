"""The suites of a plan as the estimate sees them: what each needs of the model, how long its rows are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftc.evaluation import METRICS, load
from ftc.plan.steps import EvalStep, Part, Plan

if TYPE_CHECKING:
    from ftc.estimate.batches import Heldout


def needs(suite: EvalStep) -> frozenset[str]:
    """What a suite's metrics need of the model; a judge's verdict needs answers, and so do own metrics."""
    found = (load(name).needs if name in METRICS else "answers" for name in suite.metrics)
    return frozenset("answers" if need == "judge" else need for need in found)


def on_held_out(plan: Plan) -> tuple[EvalStep, ...]:
    """The suites that measure the held-out rows; rows of the harness's tasks are not known beforehand."""
    return tuple(suite for suite in plan.all_suites if suite.rows is None and suite.harness is None)


def own_parts(plan: Plan, *, trained: bool) -> Iterator[tuple[EvalStep, Part]]:
    """Each suite that has rows of its own, and before training each baseline, with its rows."""
    for suite in plan.all_suites:
        if suite.rows is not None and suite.rows.part.rows:
            yield suite, suite.rows.part
        for baseline in () if trained else suite.baselines:
            yield suite, baseline.part


def assumed(part: Part) -> Heldout:
    """Rows of a part as if each were as long as the mean, prompt and answer likewise."""
    import numpy as np

    from ftc.estimate.batches import Heldout

    length, answer = round(part.tokens / part.rows), round(part.trained_tokens / part.rows)
    prompts = np.full(part.rows, max(0, length - answer), dtype=np.int64)
    lengths = np.full(part.rows, length, dtype=np.int64)
    return Heldout(lengths, prompts, prompts, lengths)
