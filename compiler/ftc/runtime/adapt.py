"""The model made trainable as the plan's tuning step says."""

from __future__ import annotations

from typing import Any

from ftc.plan.steps import TuneStep


def adapt(model: Any, tune: TuneStep) -> Any:
    """The model with PEFT's adapters, or itself where every weight trains.

    New weights come from the global random state: set the seed before.
    """
    if tune.peft is None:
        model.requires_grad_(True)
        return model
    import peft

    options = dict(tune.peft)
    config = getattr(peft, str(options.pop("type")))(**options)
    return peft.get_peft_model(model, config)
