"""torch.autocast as CUDA applies it, for tensors without values, which PyTorch's own refuses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional
from torch.utils._pytree import tree_map

LOWERED = frozenset(
    {"linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv"}
    | {"conv1d", "conv2d", "scaled_dot_product_attention", "_grouped_mm", "grouped_mm"}
)
"""Functions whose inputs are cast to the lower precision (AT_FORALL_LOWER_PRECISION_FP)."""

RAISED = frozenset(
    {"pow", "__pow__", "rsqrt", "exp", "log", "softplus", "layer_norm", "rms_norm", "group_norm", "nll_loss"}
    | {
        "softmax",
        "log_softmax",
        "cross_entropy",
        "sum",
        "prod",
        "cumsum",
        "cumprod",
        "logsumexp",
        "reciprocal",
    }
    | {"binary_cross_entropy_with_logits", "mse_loss", "kl_div", "norm"}
)
"""Functions whose inputs are cast to float32 (AT_FORALL_FP32, AT_FORALL_FP32_SET_OPT_DTYPE)."""


class Autocast:
    """Casts as torch.autocast("cuda", dtype) does in a forward pass; with dtype None it casts nothing.

    Weights that train are cast once in a forward pass. In a backward pass only what is recomputed is cast.
    The functions are replaced: a mode of PyTorch's would not see what a checkpoint recomputes.
    """

    def __init__(self, dtype: torch.dtype | None):
        self.dtype = dtype
        self.backward = False
        self._weights: dict[int, torch.Tensor] = {}

    @property
    def casts(self) -> bool:
        """Whether a function called now would have its inputs cast."""
        return self.dtype is not None and (torch.is_grad_enabled() or not self.backward)

    def leave_forward(self) -> None:
        """The forward pass is over: forget its casts."""
        self._weights.clear()

    def install(self, stack: ExitStack) -> None:
        """Replace the functions that cast, until the stack is left."""
        for cast, names in ((self.lower, LOWERED), (self.lift, RAISED)):
            for owner in (torch, functional, torch.Tensor):
                for name in names & set(dir(owner)):
                    stack.enter_context(patch.object(owner, name, self._casting(getattr(owner, name), cast)))

    def _casting(self, original: Any, cast: Callable[[Any], Any]) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self.casts:
                return original(*args, **kwargs)
            return original(*tree_map(cast, args), **tree_map(cast, kwargs))

        return call

    def lower(self, value: Any) -> Any:
        """A float32 tensor in the lower precision; anything else as it is."""
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32 or self.dtype is None:
            return value
        if not (value.is_leaf and value.requires_grad) or self.backward:
            return value.to(self.dtype)
        if id(value) not in self._weights:
            self._weights[id(value)] = value.to(self.dtype)
        return self._weights[id(value)]

    def lift(self, value: Any) -> Any:
        """A tensor of lower precision in float32; anything else as it is."""
        lower = (torch.bfloat16, torch.float16)
        return value.float() if isinstance(value, torch.Tensor) and value.dtype in lower else value
