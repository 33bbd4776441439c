"""Full fine-tuning: every weight trains."""

from __future__ import annotations

from typing import Literal

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Options
from ftc.tuning.modules import Modules


class FullOptions(Options):
    """`[tune]` with `method = "full"`."""

    method: Literal["full"]
    """Train every weight of the model."""


def lower(_: FullOptions, __: Modules | None) -> TuneStep:
    """No adapter: PEFT takes no part."""
    return TuneStep(method="full", peft=None)


METHOD = Method(
    name="full",
    title="full fine-tuning",
    options=FullOptions,
    lower=lower,
    count=lambda _, modules: modules.numel,
    learning_rate=2e-5,
    learning_rate_reason="usual for full fine-tuning; also the default of TRL's SFT",
    adapter=False,
)
