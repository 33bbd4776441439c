"""What is said of training that has diverged: the step, its rows, and what to try."""

from __future__ import annotations

from pathlib import Path

from ftc.plan.steps import Part
from ftc.runtime.failure import BuildError
from ftc.runtime.rows import batches
from ftc.runtime.spikes import Spike

SHOWN = 8
"""Rows of a step that are named."""

LOWER = "set train.learning_rate to a third of what it is, or train.warmup = 0.05"


def row_ids(part: Part, data: Path, numbers: list[int]) -> list[str]:
    """The ids of some rows by number, in order, each once."""
    wanted, found, first = set(numbers), dict[int, str](), 0
    for batch in batches(part, data, ["id"]) if wanted else ():
        for number in sorted(wanted & set(range(first, first + batch.num_rows))):
            found[number] = batch.column("id")[number - first].as_py()
        first += batch.num_rows
    return list(dict.fromkeys(found[number] for number in numbers if number in found))


def rows_line(ids: list[str]) -> str:
    """The rows of a step in a line, with the command that shows one."""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f"the rows of that step are {', '.join(ids[:SHOWN])}{more}: look at them with `ftc show --id`"


def not_finite(step: int, what: str, ids: list[str]) -> BuildError:
    """The failure of a loss or gradient that is no longer a number."""
    rows = rows_line(ids) if ids else "look for odd rows with `ftc show`"
    return BuildError(
        "FTC705",
        f"training diverged at step {step}: the {what} is not a finite number",
        LOWER,
        f"{rows}; float16 overflows where bfloat16 and float32 do not",
    )


def spiked(spike: Spike, step: int) -> str:
    """What is wrong with a loss that went up for good."""
    return (
        f"training diverged at step {spike.step}: the loss rose from {spike.before:.4g} to {spike.loss:.4g}, "
        f"and after step {step} it is {spike.now:.4g} and does not come down"
    )


def spike_help(ids: list[str]) -> tuple[str, ...]:
    """What to try then."""
    go_on = 'if it is meant to go on all the same, write train.divergence = "warn"'
    clip = "or a lower train.max_grad_norm, such as 0.3"
    return (LOWER, clip, *((rows_line(ids),) if ids else ()), go_on)
