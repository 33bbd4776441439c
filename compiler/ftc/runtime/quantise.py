"""The base's linear layers in few bits, as bitsandbytes keeps them."""

from __future__ import annotations

from typing import Any

from ftc.plan.steps import QuantiseStep


def bitsandbytes_config(how: QuantiseStep, dtype: str) -> Any:
    """What transformers calls their configuration; `dtype` is what dequantised weights are computed in."""
    import torch
    from transformers import BitsAndBytesConfig

    if how.kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type=how.kind,
        bnb_4bit_use_double_quant=how.double,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
