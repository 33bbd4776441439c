"""The model made trainable as the plan's tuning step says: the one place, for training and for estimates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftc.plan.steps import TuneStep
from ftc.runtime import embeddings
from ftc.runtime.failure import BuildError
from ftc.runtime.unfreeze import unfreeze
from ftc.tuning.modules import TOKENS

EMBEDS = "FEATURE_EXTRACTION"
"""PEFT's word for a model that makes vectors; here a model of sentence-transformers."""


def adapt(
    model: Any,
    tune: TuneStep,
    directory: Path | None = None,
    prepare: Callable[[Any, Any], None] | None = None,
) -> Any:
    """The model with PEFT's adapters, or itself with the weights trainable that the plan names.

    New weights come from the global random state: set the seed before. `directory` is the base's, where an
    adapter begins with words. `prepare` is given model and configuration before there are adapters.
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
    if prepare is not None:
        prepare(model, config)
    if hasattr(model, "add_adapter") and tune.peft.get("task_type") == EMBEDS:
        return embeddings.adapted(model, config)
    adapted = peft.get_peft_model(model, config)
    if TOKENS in tune.peft:
        _with_bias(adapted.get_output_embeddings())
    return adapted


def _with_bias(head: Any) -> None:
    """Give a head whose rows train the bias of the one it wraps, which TRL's loss asks it for."""
    if head is not None and not hasattr(head, "bias"):
        object.__setattr__(head, "bias", getattr(head.original_module, "bias", None))


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
