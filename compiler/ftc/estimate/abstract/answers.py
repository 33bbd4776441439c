"""Answers to operations whose result depends on values that an abstract run does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Answer = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


def _number(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One, or True: whatever is asked of a batch is so."""
    tensor = args[0]
    if tensor.device.type != "meta":
        return func(*args, **kwargs)
    if tensor.dtype == torch.bool:
        return True
    return 1.0 if tensor.is_floating_point() else 1


def _equal(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return True if args[0].device.type == "meta" else func(*args, **kwargs)


def _chosen(part: float) -> Answer:
    """What a boolean mask chooses: a part of all there is."""

    def choose(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        source, indices = args[0], args[1]
        mask = indices[0]
        if mask is None or mask.dtype != torch.bool or mask.device.type != "meta":
            return func(*args, **kwargs)
        rows = max(1, round(mask.numel() * part))
        return source.new_empty((rows, *source.shape[mask.dim() :]))

    return choose


def _found(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Where a mask is true: at every second place."""
    tensor = args[0]
    if tensor.device.type != "meta":
        return func(*args, **kwargs)
    return tensor.new_empty((-(-tensor.numel() // 2), tensor.dim()), dtype=torch.int64)


def _int8_quantised(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Rows of int8 with their scales; no column has outliers."""
    values = args[0]
    if values.device.type != "meta":
        return func(*args, **kwargs)
    rows = torch.empty_like(values, dtype=torch.int8)
    scales = values.new_empty(values.numel() // values.shape[-1], dtype=torch.float32)
    return rows, scales, values.new_empty(0, dtype=torch.int64)


def _int8_product(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The product, without columns of outliers."""
    values, quantised, weight = args[:3]
    if values.device.type != "meta":
        return func(*args, **kwargs)
    return values.new_empty((*quantised.shape[:-1], weight.shape[0])), values.new_empty(0)


def _grouped_product(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The experts' products, in any dtype; PyTorch's own rule without values has bfloat16 alone."""
    left, right = args[0], args[1]
    if left.device.type != "meta":
        return func(*args, **kwargs)
    offsets = args[2] if len(args) > 2 else kwargs["offs"]
    groups = (offsets.numel(),) if left.dim() == right.dim() == 2 else ()
    return left.new_empty((*groups, left.shape[-2], right.shape[-1]))


def answers(part: float) -> dict[str, Answer]:
    """Answers by operation; a boolean mask chooses `part` of the elements."""
    return {
        "aten._local_scalar_dense.default": _number,  # what .item() calls
        "aten.equal.default": _equal,
        "aten.index.Tensor": _chosen(part),
        "aten.nonzero.default": _found,
        "aten._grouped_mm.default": _grouped_product,
        "bitsandbytes.int8_vectorwise_quant.default": _int8_quantised,
        "bitsandbytes.int8_mixed_scaled_mm.default": _int8_product,
    }
