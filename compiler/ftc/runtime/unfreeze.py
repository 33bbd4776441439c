"""Some of the base's own weights trainable, and all others frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftc.plan.steps import UnfrozenStep
from ftc.tuning.modules import fits


def layers(model: Any) -> Any:
    """The decoder's layers, in order."""
    from torch.nn import ModuleList

    wanted = model.config.get_text_config().num_hidden_layers
    lists = (module for module in model.modules() if isinstance(module, ModuleList))
    return next(found for found in lists if len(found) == wanted)


def unfreeze(model: Any, how: UnfrozenStep) -> Any:
    """The model with those weights trainable that the plan names, and no others."""
    model.requires_grad_(False)
    for module in _named(model, how):
        module.requires_grad_(True)
    for name, parameter in model.named_parameters():
        if any(fits(name.rpartition(".")[0], pattern) for pattern in how.modules):
            parameter.requires_grad_(True)
    return model


def _named(model: Any, how: UnfrozenStep) -> Iterator[Any]:
    decoder = list(layers(model))
    yield from decoder[: how.first]
    yield from decoder[len(decoder) - how.last :]
    if how.head:
        yield model.get_output_embeddings()
    for module in model.modules():
        kind = type(module).__name__
        if (how.embeddings and "Embedding" in kind and "Rotary" not in kind) or (
            how.norms and "Norm" in kind
        ):
            yield module
