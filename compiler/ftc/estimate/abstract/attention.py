"""Attention kernels by name, as an abstract run can call them: the kernel's own operation, on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ftc.estimate.step import TrainingStep

aten = torch.ops.aten
EAGER, PLAIN = "eager", "sdpa"
PREFIX = "ftc_kernel_"
"""transformers takes a name with "flash" in it for a package of that name."""


class How(NamedTuple):
    """The chance that a weight is dropped, the factor of scores, and whether tokens look back alone."""

    dropout: float
    scale: float | None
    causal: bool


def repeated(states: torch.Tensor, groups: int) -> torch.Tensor:
    """Keys or values (batch, heads, length, width) once per query head, as transformers repeats them."""
    if groups == 1:
        return states
    batch, heads, length, width = states.shape
    wide = states[:, :, None].expand(batch, heads, groups, length, width)
    return wide.reshape(batch, heads * groups, length, width)


def _bias(mask: torch.Tensor | None, query: torch.Tensor) -> torch.Tensor | None:
    """The additive mask that PyTorch makes of a boolean one, anew in each layer."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    bias = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
    return bias.expand(query.shape[0], query.shape[1], query.shape[2], bias.shape[3])


def _uneven(query: Any, value: Any) -> bool:
    """Whether values are narrower than keys, as those of a latent attention are."""
    return bool(query.shape[-1] != value.shape[-1])


def _flash(query: Any, key: Any, value: Any, mask: Any, how: How) -> Any:
    if mask is not None or _uneven(query, value):  # which the kernel does not take
        return _efficient(query, key, value, mask, how)
    return aten._scaled_dot_product_flash_attention(  # noqa: SLF001
        query, key, value, how.dropout, how.causal, False, scale=how.scale
    )[0]


def _varlen(query: Any, key: Any, value: Any, _mask: Any, how: How) -> Any:
    return _flash(query, key, value, None, how)


def _efficient(query: Any, key: Any, value: Any, mask: Any, how: How) -> Any:
    groups = query.shape[1] // key.shape[1]
    key, value = repeated(key, groups), repeated(value, groups)
    return aten._scaled_dot_product_efficient_attention(  # noqa: SLF001
        query, key, value, _bias(mask, query), True, how.dropout, how.causal and mask is None, scale=how.scale
    )[0]


def _math(query: Any, key: Any, value: Any, mask: Any, how: How) -> Any:
    grouped = mask is None and key.shape[1] != query.shape[1]
    if not grouped:
        groups = query.shape[1] // key.shape[1]
        key, value = repeated(key, groups), repeated(value, groups)
    return aten._scaled_dot_product_attention_math(  # noqa: SLF001
        query,
        key,
        value,
        mask,
        how.dropout,
        how.causal and mask is None,
        None,
        scale=how.scale,
        enable_gqa=grouped,
    )[0]


def _flash_cpu(query: Any, key: Any, value: Any, mask: Any, how: How) -> Any:
    if _uneven(query, value):
        return _math(query, key, value, mask, how)
    groups = query.shape[1] // key.shape[1]
    if mask is not None:
        key, value = repeated(key, groups), repeated(value, groups)
    return aten._scaled_dot_product_flash_attention_for_cpu(  # noqa: SLF001
        query,
        key,
        value,
        how.dropout,
        how.causal and mask is None,
        attn_mask=_bias(mask, query),
        scale=how.scale,
    )[0]


def _causal(module: Any) -> bool:
    """Whether a layer looks back alone, as decoders' do."""
    return bool(getattr(module, "is_causal", True))


KERNELS = {
    ("flash", "cuda"): _flash,
    ("flash_attention_2", "cuda"): _varlen,
    ("efficient", "cuda"): _efficient,
    ("math", "cuda"): _math,
    ("math", "cpu"): _math,
    ("flash", "cpu"): _flash_cpu,
}


def plain(step: TrainingStep, backend: str) -> Callable[..., torch.Tensor]:
    """PyTorch's function of attention, for model code that calls it by itself, by the step's kernel."""
    kernel = KERNELS.get((step.attention, backend), _math)

    def attend(  # noqa: PLR0913 - the function's own arguments
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        *,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        how = How(dropout_p, scale, is_causal)
        if enable_gqa or key.shape[1] == query.shape[1]:
            found: torch.Tensor = kernel(query, key, value, attn_mask, how)
            return found
        causal = is_causal and attn_mask is None  # one key for all heads, which the formula alone takes
        mixed: torch.Tensor = aten._scaled_dot_product_attention_math(  # noqa: SLF001
            query, key, value, attn_mask, dropout_p, causal, None, scale=scale
        )[0]
        return mixed

    return attend


def implementation(step: TrainingStep, backend: str) -> str:
    """The name under which transformers finds the step's attention, registered on first use."""
    if step.attention == "eager":
        return "eager"
    kernel = KERNELS[step.attention, backend]

    def attend(
        module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
    ) -> tuple[torch.Tensor, None]:
        if torch.is_autocast_enabled(query.device.type):
            kind = torch.get_autocast_dtype(query.device.type)
            query, key, value = (states.to(kind) for states in (query, key, value))
        how = How(options.get("dropout", 0.0), options.get("scaling"), _causal(module))
        tokens = query.shape[2]
        if tokens == 1 and attention_mask is not None:  # query heads of a group as tokens of one head
            query = query.reshape(query.shape[0], key.shape[1], -1, query.shape[3])
        out = kernel(query, key, value, attention_mask, how)
        if tokens == 1:
            out = out.reshape(out.shape[0], -1, 1, out.shape[3])
        return out.transpose(1, 2).contiguous(), None

    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flash_attention_mask, sdpa_mask

    name = f"{PREFIX}{list(KERNELS).index((step.attention, backend))}"
    AttentionInterface.register(name, attend)
    masks = flash_attention_mask if step.attention == "flash_attention_2" else sdpa_mask
    AttentionMaskInterface.register(name, masks)
    return name
