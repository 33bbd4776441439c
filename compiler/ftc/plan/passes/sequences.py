"""Lay the compiled training rows out in the sequences that train."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, Part, Plan
from ftc.recipe.training import Train

USUAL = 4096
"""Tokens of a sequence that fill up well; attention in longer ones costs more."""

MULTIPLE = 64
"""Kernels like sequences of a multiple of this many tokens."""

STEP_ROWS: int = Train.model_fields["batch"].default
"""Rows of an optimizer step where the recipe does not say."""


def run(plan: Plan, context: Context) -> Outcome:
    """Pack the rows where that was decided; write down their repeats where a mix repeats rows."""
    assert plan.packing is not None  # noqa: S101 - the order of the passes
    assert plan.data is not None  # noqa: S101
    if plan.packing.packed:
        capacity, chosen = _capacity(plan, context)
    elif plan.data.train.repeats:
        capacity, chosen = None, ()
    else:
        return Outcome(plan)
    data = plan.data.model_copy(update={"sequences": context.lay_out(capacity)})
    return Outcome(filled(plan, chosen, data=data))


def _capacity(plan: Plan, context: Context) -> tuple[int, tuple[Choice, ...]]:
    """The most tokens of a sequence: `data.max_length`, or fewer where more would gain nothing."""
    assert plan.limits is not None  # noqa: S101 - the order of the passes
    assert plan.data is not None  # noqa: S101
    train, most = plan.data.train, plan.limits.max_length
    wanted = [(most, ""), (USUAL, "so many fill up well, and longer sequences cost more attention")]
    if "batch" not in context.recipe.train.model_fields_set:
        wanted.append(
            (_step_tokens(train), f"about {STEP_ROWS} rows, which a step takes if train.batch is unset")
        )
    capacity, reason = min(wanted)
    if capacity < train.longest:
        capacity, reason = train.longest, "the longest row's tokens"
    if capacity == most:
        return capacity, ()
    return capacity, (choice("packing.tokens", capacity, f"{reason}; at most data.max_length"),)


def _step_tokens(train: Part) -> int:
    """Tokens of the rows of a usual step, rounded up."""
    mean = train.tokens / train.rows
    return -(-round(STEP_ROWS * mean) // MULTIPLE) * MULTIPLE
