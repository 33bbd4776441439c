"""Where libraries ask for a device or for values, what they are told while a step runs abstractly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from ftc.estimate.abstract.attention import plain
from ftc.estimate.abstract.autocast import Autocast
from ftc.estimate.step import TrainingStep


@dataclass
class Shown:
    """What libraries find in the batch that they are shown: padding, or rows end to end."""

    padded: bool
    packed: bool


class _Launch:
    """A Triton kernel: it allocates nothing."""

    def __getitem__(self, _grid: Any) -> Any:
        return lambda *_, **__: None


def _dropout(values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: ARG001
    """CUDA's dropout: one kernel, whose mask has a byte per element."""
    return torch.native_dropout(values, p, True)[0] if training and p else values


def _softmax(original: Any) -> Any:
    """CUDA's softmax: one kernel from float16 to float32."""

    def softmax(values: torch.Tensor, dim: int | None = None, **kwargs: Any) -> Any:
        if values.dtype == torch.float16 and kwargs.get("dtype") == torch.float32:
            return torch.ops.aten._softmax(values, -1 if dim is None else dim, True)  # noqa: SLF001
        return original(values, dim, **kwargs)

    return softmax


class _LogProbabilities(torch.autograd.Function):
    """TRL's Triton kernel over logits, which are kept; their gradient is contiguous (logprob_entropy.py)."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, index: torch.Tensor) -> Any:
        shape = logits.shape[:-1]
        found = [torch.empty(shape, dtype=torch.float32, device=logits.device) for _ in range(4)]
        ctx.save_for_backward(logits, index, *found[2:])
        return found[0]

    @staticmethod
    def backward(ctx: Any, *_grads: torch.Tensor) -> Any:
        return torch.empty_like(ctx.saved_tensors[0], memory_format=torch.contiguous_format), None


def _fused_head_of_cuda(stack: ExitStack) -> None:
    from trl.kernels import chunked_logprob

    triton = SimpleNamespace(cdiv=lambda whole, part: -(-whole // part))
    stack.enter_context(patch.object(chunked_logprob, "triton", triton, create=True))
    stack.enter_context(patch("trl.trainer.utils._use_triton", lambda _: True))
    stack.enter_context(patch.object(chunked_logprob, "_use_triton", lambda _: True))
    stack.enter_context(patch.object(chunked_logprob, "_forward_kernel", _Launch()))
    stack.enter_context(patch.object(chunked_logprob, "_backward_kernel", _Launch()))
    stack.enter_context(patch.object(chunked_logprob, "_addmm_fp32", lambda *_: None))


def _kernels_of_cuda(stack: ExitStack) -> None:
    stack.enter_context(patch("torch.nn.utils.clip_grad._has_foreach_support", lambda *_: True))
    stack.enter_context(patch.object(functional, "dropout", _dropout))
    stack.enter_context(patch.object(functional, "softmax", _softmax(functional.softmax)))


def _paged(*shape: int, dtype: torch.dtype = torch.float32, **_: Any) -> torch.Tensor:
    """A tensor in unified memory, outside of PyTorch's allocator."""
    with _disable_current_modes():
        return torch.empty(shape, dtype=dtype, device="meta")


@contextmanager
def abstract(step: TrainingStep, backend: str, autocast: Autocast, shown: Shown) -> Iterator[None]:
    """Within, libraries meet the batch that is shown, the backend's kernels and its autocast."""
    asked = torch.is_autocast_enabled
    kind = torch.get_autocast_dtype
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(patch("transformers.masking_utils.fast_all", lambda _: not shown.padded))
        both_ways = "transformers.masking_utils._ignore_bidirectional_mask_sdpa"
        enter(patch(both_ways, lambda *_, **__: not shown.padded))
        enter(
            patch(
                "transformers.masking_utils.find_packed_sequence_indices",
                lambda positions: torch.empty_like(positions) if shown.packed else None,
            )
        )
        enter(
            patch.object(
                torch, "is_autocast_enabled", lambda *d: autocast.casts if d == ("meta",) else asked(*d)
            )
        )
        enter(patch.object(torch, "get_autocast_dtype", lambda d: autocast.dtype if d == "meta" else kind(d)))
        enter(patch.object(functional, "scaled_dot_product_attention", plain(step, backend)))
        if autocast.dtype is not None:
            autocast.install(stack)
        if backend == "cuda":
            _kernels_of_cuda(stack)
            if step.loss.kernel == "trl" or step.objective.kind in ("dpo", "kto"):
                _fused_head_of_cuda(stack)
            if step.objective.kind in ("orpo", "cpo"):
                place = f"trl.experimental.{step.objective.kind}.{step.objective.kind}_trainer"
                enter(patch(f"{place}.selective_log_softmax", _LogProbabilities.apply))
        if step.quantisation is not None or step.optimizer.form == "bitsandbytes":
            # tables stay on the device of first use
            enter(patch.dict("bitsandbytes.functional.name2qmap"))
            enter(patch("bitsandbytes.functional.get_paged", _paged))
            enter(patch("bitsandbytes.functional.fill", lambda *_, **__: None))
        yield
