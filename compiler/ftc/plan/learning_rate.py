"""The learning rate over the steps: warm-up and schedule, as transformers' `get_scheduler` takes them.

Of its schedules two are left out, `reduce_lr_on_plateau` and `greedy`: their rate hangs on what is measured
while training, so no plan could say it. `cosine_warmup_with_min_lr` differs from a cosine with a floor in
its warm-up alone.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from pydantic import JsonValue

from ftc.diagnostics import Finding
from ftc.plan.context import choice
from ftc.plan.steps import Choice
from ftc.recipe.layers import Key, Origins
from ftc.recipe.training import Schedule, Train

Lowered = tuple[str, dict[str, JsonValue]]

POWER = 2.0
DECAY = 0.2
"""Part of the steps over which a rate that is constant first falls (Hägele et al., 2024)."""


def schedule_of(train: Train) -> Schedule:
    """The schedule with its options, also where the recipe has only its name."""
    stated = train.schedule
    return stated if isinstance(stated, Schedule) else Schedule(name=stated)


def part_of(stated: float, steps: int) -> int:
    """Steps that a part (below 1) or a number of steps stands for; a part is never all of them."""
    if stated >= 1:
        return int(stated)
    return min(ceil(stated * steps), max(0, steps - 1))


def warmup(train: Train, steps: int) -> int:
    """Steps over which the rate rises from 0."""
    return part_of(train.warmup, steps)


def lowered(train: Train, steps: int, rate: float) -> dict[str, JsonValue]:
    """The fields of transformers' config that say the learning rate of each step; `rate` is the peak."""
    schedule = schedule_of(train)
    kind, options = LOWERED[schedule.name](schedule, steps, rate)
    more: dict[str, JsonValue] = {"lr_scheduler_kwargs": options} if options else {}
    return {
        "learning_rate": rate,
        "lr_scheduler_type": kind,
        "warmup_steps": warmup(train, steps),
        **more,
    }


def _linear(schedule: Schedule, steps: int, rate: float) -> Lowered:
    """A line that ends above 0 is a polynomial of power 1."""
    if schedule.floor:
        return _polynomial(schedule.model_copy(update={"power": 1.0}), steps, rate)
    return "linear", {}


def _cosine(schedule: Schedule, _: int, __: float) -> Lowered:
    return ("cosine_with_min_lr", {"min_lr_rate": schedule.floor}) if schedule.floor else ("cosine", {})


def _constant(_: Schedule, __: int, ___: float) -> Lowered:
    return "constant_with_warmup", {}


def _polynomial(schedule: Schedule, _: int, rate: float) -> Lowered:
    return "polynomial", {"lr_end": (schedule.floor or 0.0) * rate, "power": schedule.power or POWER}


def _restarts(schedule: Schedule, _: int, __: float) -> Lowered:
    """Transformers counts the cycles, of which there is one more than restarts."""
    return "cosine_with_restarts", {"num_cycles": (schedule.restarts or 1) + 1}


def _inverse_sqrt(schedule: Schedule, _: int, __: float) -> Lowered:
    return "inverse_sqrt", {"timescale": schedule.timescale} if schedule.timescale else {}


def _stable(schedule: Schedule, steps: int, _: float) -> Lowered:
    options: dict[str, JsonValue] = {
        "num_decay_steps": part_of(schedule.decay or DECAY, steps),
        "decay_type": schedule.shape or "linear",
        "min_lr_ratio": schedule.floor or 0.0,
    }
    return "warmup_stable_decay", options


LOWERED: dict[str, Callable[[Schedule, int, float], Lowered]] = {
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
    "polynomial": _polynomial,
    "cosine_with_restarts": _restarts,
    "inverse_sqrt": _inverse_sqrt,
    "warmup_stable_decay": _stable,
}
"""How each schedule of the language becomes one of transformers."""


def choices(train: Train) -> tuple[Choice, ...]:
    """What the recipe leaves open of its schedule."""
    schedule, found = schedule_of(train), []
    if schedule.name == "warmup_stable_decay" and schedule.decay is None:
        reason = "a fifth of the steps, about where longer decays stop paying (Hägele et al., 2024)"
        found.append(choice("train.schedule.decay", DECAY, reason))
    if schedule.name == "polynomial" and schedule.power is None:
        found.append(choice("train.schedule.power", POWER, "a power of 1 would be the schedule linear"))
    if schedule.name == "cosine_with_restarts" and schedule.restarts is None:
        found.append(choice("train.schedule.restarts", 1, "one restart, in the middle"))
    return tuple(found)


def findings(train: Train, steps: int, origins: Origins) -> tuple[Finding, ...]:
    """What of warm-up and schedule does not fit into the steps there are."""
    rising, schedule = warmup(train, steps), schedule_of(train)
    if rising >= steps and rising:
        message = f"the warm-up takes {rising} steps, and training has {steps}: it would not get to its peak"
        return (_unfit(message, origins, ("train", "warmup"), "write a part of the steps: warmup = 0.1"),)
    if schedule.name == "warmup_stable_decay":
        falling = part_of(schedule.decay or DECAY, steps)
        if rising + falling > steps:
            message = f"a warm-up of {rising} steps and a decay of {falling} do not fit into {steps} steps"
            help_line = "write parts of the steps that come to less than 1, such as decay = 0.2"
            return (_unfit(message, origins, ("train", "schedule", "decay"), help_line),)
    return ()


def _unfit(message: str, origins: Origins, path: Key, help_line: str) -> Finding:
    span = origins.value(*path) or origins.value(*path[:-1])
    return Finding("FTC550", message, span, help=(help_line,))
