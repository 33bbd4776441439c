"""Adapters whose initialisation took a part of the base's weights, saved so that they stand on the base.

PiSSA and OLoRA begin with factors A0, B0 of a layer's weight W and leave W - B0 A0 in the base. What was
learned is B A - B0 A0, an adapter of twice the rank on W itself: [B, -B0] [A; A0].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_json
from ftc.plan.steps import TuneStep

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
DOWN, UP = ".lora_A.", ".lora_B."


def initial(model: Any, tune: TuneStep) -> dict[str, Any]:
    """Copies of the adapter's factors before training; empty where the base is as it was."""
    if not tune.converted:
        return {}
    import peft

    state: dict[str, Any] = peft.get_peft_model_state_dict(model)
    return {name: value.detach().clone().cpu() for name, value in state.items() if DOWN in name or UP in name}


def convert(directory: Path, before: dict[str, Any]) -> None:
    """Rewrite a saved adapter as one of twice the rank on the base as it was before."""
    import torch
    from safetensors.torch import load_file, save_file

    file = directory / WEIGHTS
    weights = load_file(file)
    for name, first in before.items():
        now = weights[name]
        old = first.to(now.dtype)
        pair = (now, old) if DOWN in name else (now, -old)
        weights[name] = torch.cat(pair, dim=0 if DOWN in name else 1).contiguous()
    save_file(weights, file, metadata={"format": "pt"})
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    write_json(directory / CONFIG, doubled(config))


def doubled(config: dict[str, Any]) -> dict[str, Any]:
    """The adapter's configuration with twice the rank, at the same scale, and a plain initialisation."""
    alpha = config["lora_alpha"] * (2**0.5 if config.get("use_rslora") else 2)
    return {
        **config,
        "init_lora_weights": True,
        "corda_config": None,
        "r": config["r"] * 2,
        "lora_alpha": alpha,
    }
