"""The network of P-tuning in checkpoints: PEFT saves what it made alone, from which training cannot go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FILE = "prompt_encoder.safetensors"


def _trained(model: Any) -> dict[str, Any]:
    """The weights of the encoders that make virtual tokens; none of a model without."""
    if not getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return {}
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save(model: Any, directory: Path) -> None:
    """Write the encoder's weights beside a checkpoint's adapter."""
    from safetensors.torch import save_file

    weights = _trained(model)
    if weights:
        save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, directory / FILE)


def restore(model: Any, directory: Path) -> None:
    """Take the encoder's weights of a checkpoint, where it has any."""
    from safetensors.torch import load_file

    if not (directory / FILE).is_file():
        return
    stored, weights = load_file(directory / FILE), _trained(model)
    for name, weight in weights.items():
        weight.data.copy_(stored[name])
