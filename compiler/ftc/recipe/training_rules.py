"""Settings of [train] that are each well-formed but make no sense together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.diagnostics import Finding
from ftc.recipe.settings import Settings

SCHEDULE_OPTIONS: dict[str, tuple[str, ...]] = {
    "linear": ("floor",),
    "cosine": ("floor",),
    "constant": (),
    "polynomial": ("floor", "power"),
    "cosine_with_restarts": ("restarts",),
    "inverse_sqrt": ("timescale",),
    "warmup_stable_decay": ("floor", "decay", "shape"),
}
"""The options that each schedule has."""

HOLDING = ("eval", "column", "query")
"""The keys of [data.split], each of which says which rows are held out."""


def options_of_schedule(settings: Settings) -> Iterator[Finding]:
    """A schedule takes its own options alone."""
    table = settings.get("train", "schedule")
    name = table.get("name") if isinstance(table, dict) else None
    if not isinstance(table, dict) or name not in SCHEDULE_OPTIONS:
        return
    every = {option for options in SCHEDULE_OPTIONS.values() for option in options}
    for key in table:
        if key in every and key not in SCHEDULE_OPTIONS[name]:
            fitting = [other for other, options in SCHEDULE_OPTIONS.items() if key in options]
            message = f"`train.schedule.{key}` has no effect on the schedule {name}"
            help_line = f"remove `{key}`; it is an option of {' and '.join(fitting)}"
            yield settings.wrong(message, ("train", "schedule", key), help_line)


def parts_of_steps(settings: Settings) -> Iterator[Finding]:
    """A part of the steps is a fraction, or a whole number of steps."""
    for path in (("train", "warmup"), ("train", "schedule", "decay")):
        table = settings.get(*path[:-1])
        value = table.get(path[-1]) if isinstance(table, dict) else None
        if not isinstance(value, float) or value < 1:
            continue
        if value == 1:
            helps: tuple[str, ...] = ("write 1 for a single step, or a fraction below 1, such as 0.1",)
        else:
            helps = (f"write {round(value)} for {round(value)} steps, or a fraction such as 0.1",)
        message = f"`{'.'.join(path)}` is a fraction below 1, or a whole number of steps"
        span = settings.origins.value(*path)
        yield Finding("FTC104", message, span, f"this is {value:g}", help=helps)


def watching_without_split(settings: Settings) -> Iterator[Finding]:
    """What looks at the held-out loss while training needs rows that are held out."""
    if any(settings.has("data", "split", key) for key in HOLDING):
        return
    stated = [key for key in ("eval_every", "early_stopping") if settings.has("train", key)]
    stated += ["keep"] if settings.get("train", "keep") == "best" else []
    for key in stated:
        message = f"`train.{key}` looks at the held-out rows, and no rows are held out"
        yield settings.wrong(message, ("train", key), "add split = { eval = 0.1 } to [data]")


def kernels_on_cpu(settings: Settings) -> Iterator[Finding]:
    """Liger's kernels are made for GPUs."""
    if settings.get("train", "device") == "cpu" and settings.get("train", "kernels") == "liger":
        message = '`train.kernels` is "liger", whose kernels run on GPUs alone, and `train.device` is "cpu"'
        yield settings.wrong(message, ("train", "kernels"), "remove `kernels`")


def smoothing_of_dft(settings: Settings) -> Iterator[Finding]:
    """TRL smooths the labels of its ordinary loss alone."""
    loss, smoothing = settings.get("train", "trl", "loss_type"), settings.get("train", "label_smoothing")
    if loss == "dft" and isinstance(smoothing, float) and smoothing > 0:
        message = "`train.label_smoothing` has no effect: TRL does not smooth the loss `dft`"
        yield settings.wrong(message, ("train", "label_smoothing"), "remove one of the two")


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    options_of_schedule,
    parts_of_steps,
    watching_without_split,
    kernels_on_cpu,
    smoothing_of_dft,
)
