"""Operations of the matrix products that a tracker sees, by PyTorch's own formulas where it has them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

Formula = Callable[[tuple[Any, ...], dict[str, Any], Any], float]


def _by_torch(packet: Any) -> Formula:
    formula = flop_registry[packet]
    return lambda args, kwargs, out: float(formula(*args, **kwargs, out_val=out))


def _flops(formula: Any, *shapes: Any) -> float:
    return float(formula(*shapes))


def _attention(args: tuple[Any, ...], _kwargs: dict[str, Any], _out: Any) -> float:
    return _flops(sdpa_flop_count, *(one.shape for one in args[:3]))


def _attention_back(args: tuple[Any, ...], _kwargs: dict[str, Any], _out: Any) -> float:
    return _flops(sdpa_backward_flop_count, *(one.shape for one in args[:4]))


def _grouped(args: tuple[Any, ...], _kwargs: dict[str, Any], _out: Any) -> float:
    """Each row of the left goes through one expert; two flat operands are summed over, in groups."""
    left, right = args[0], args[1]
    return 2.0 * int(prod(left.shape)) * int(right.shape[-1])


def _int8(args: tuple[Any, ...], _kwargs: dict[str, Any], _out: Any) -> float:
    quantised, weight = args[1], args[2]
    return 2.0 * int(prod(quantised.shape)) * int(weight.shape[0])


FORMULAS: dict[str, Formula] = {
    **{packet.__name__: _by_torch(packet) for packet in flop_registry if hasattr(packet, "overloads")},
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_back,
    "_grouped_mm": _grouped,
    "int8_mixed_scaled_mm": _int8,
}
"""Formulas by the operation's name."""


def part(segment: str, *, head: bool) -> str:
    """The part of a step that an operation of a segment belongs to."""
    phase = segment.partition("/")[0]
    if phase == "backward" and torch.is_grad_enabled() and not head:
        return "recomputation"
    return f"{phase} head" if head else phase
