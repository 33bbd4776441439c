"""The model made trainable as the plan's tuning step says: the one place, for training and for estimates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftc.plan.steps import TuneStep
from ftc.runtime.failure import BuildError
from ftc.runtime.unfreeze import unfreeze


def adapt(model: Any, tune: TuneStep, directory: Path | None = None) -> Any:
    """The model with PEFT's adapters, or itself with the weights trainable that the plan names.

    New weights come from the global random state: set the seed before. `directory` is the base's, where an
    adapter begins with words.
    """
    if tune.unfrozen is not None:
        return unfreeze(model, tune.unfrozen)
    if tune.peft is None:
        model.requires_grad_(True)
        return model
    import peft

    options = dict(tune.peft)
    if "prompt_tuning_init_text" in options:
        options["tokenizer_name_or_path"] = str(directory)
        options["tokenizer_kwargs"] = {"local_files_only": True}
    config = getattr(peft, str(options.pop("type")))(**options)
    return peft.get_peft_model(model, config)


def trained(model: Any) -> int:
    """How many numbers of a model train; what is tied counts once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def verify(model: Any, tune: TuneStep) -> None:
    """Raise BuildError unless as many numbers train as the plan says, where it says so."""
    found = trained(model)
    if tune.parameters is not None and found != tune.parameters:
        raise BuildError(
            "FTC545",
            f"{found:,} parameters would train, and the plan says {tune.parameters:,}",
            "the model's code and its config.json differ from what ftc knows of this model type: report it",
        )
