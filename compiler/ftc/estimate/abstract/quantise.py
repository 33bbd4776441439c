"""Linear layers in few bits, by bitsandbytes' own layers and operations, with values or without."""

from __future__ import annotations

from typing import Any

import torch

from ftc.estimate.abstract.tracker import Tracker
from ftc.estimate.step import Quantisation
from ftc.plan.steps import QuantiseStep
from ftc.runtime.quantise import bitsandbytes_config


def replace(model: Any, how: Quantisation) -> None:
    """Put quantised layers, still empty, in place of the model's linear ones."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear

    head = model.get_output_embeddings()
    skipped = [name for name, module in model.named_modules() if module is head and not how.head]
    few_bits = QuantiseStep(kind=how.kind, double=how.double)
    replace_with_bnb_linear(model, skipped, bitsandbytes_config(few_bits, how.compute))
    bits = "8bit" if how.kind == "int8" else "4bit"
    setattr(model, f"is_loaded_in_{bits}", True)


def fill(model: Any, dtype: torch.dtype, device: torch.device) -> None:
    """Give the quantised layers their weights, one after the other, as loading does."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    for module in model.modules():
        if isinstance(module, (Linear4bit, Linear8bitLt)):
            _fill(module, dtype, device)


def _fill(layer: Any, dtype: torch.dtype, device: torch.device) -> None:
    empty = layer.weight
    whole = torch.empty(empty.shape, dtype=dtype, device=device).normal_(std=0.02)
    fresh = type(empty)(whole, requires_grad=False, **_options(empty))
    layer.weight = fresh._quantize(device)  # noqa: SLF001 - .to(device) leaves meta tensors as they are
    if layer.bias is not None:
        layer.bias = torch.nn.Parameter(torch.zeros(layer.bias.shape, dtype=dtype, device=device), False)


def _options(weight: Any) -> dict[str, Any]:
    names = ("blocksize", "compress_statistics", "quant_type", "quant_storage", "module", "has_fp16_weights")
    return {name: vars(weight)[name] for name in names if name in vars(weight)}


def upcast(model: Any, how: Quantisation) -> Any:
    """What is not quantised in float32, as PEFT prepares a model of few bits."""
    import peft

    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    before = ends[0].weight.dtype
    prepare: Any = peft.prepare_model_for_kbit_training
    model = prepare(model, use_gradient_checkpointing=False)
    for module in () if how.upcast_ends else ends:
        module.weight.data = module.weight.data.to(before)
    return model


def name_scales(model: Any, tracker: Tracker) -> None:
    """Say which of the tracked bytes are the quantised weights' scales and tables."""
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        nested = getattr(state, "state2", None)
        tensors = [
            getattr(part, name, None) for part in (state, nested) for name in ("absmax", "code", "offset")
        ]
        for tensor in (*tensors, getattr(parameter, "SCB", None)):
            if isinstance(tensor, torch.Tensor):
                tracker.label(tensor, "quantisation")
