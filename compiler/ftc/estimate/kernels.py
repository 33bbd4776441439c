"""Which attention kernel runs, by what of the model, its dtype and its device decides that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

from ftc.estimate.architecture import ENCODERS, FAMILIES, InexpressibleError, architecture
from ftc.estimate.step import Dtype

Kernel = Literal["eager", "efficient", "flash"]
Config = Mapping[str, Any]

FLASH_SINCE = 80
"""Compute capability from which PyTorch's flash attention runs."""

FLASH_HEAD = 256
"""Features of a head up to which it does."""

DROPPED = ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop")
"""Names that model types have for the chance that a weight of attention is dropped."""


class Named(Protocol):
    """A device as far as it decides which kernels run: an entry of the catalogue, or this machine's."""

    @property
    def name(self) -> str:
        """Its name in the catalogue, or as its driver gives it."""

    @property
    def capability(self) -> str:
        """`sm_90`, `gfx942`, or empty where it is not known."""


class Attention(NamedTuple):
    """What of a model's attention decides its kernel: features of a head, scores bounded, weights dropped."""

    head: int
    softcap: bool
    dropout: float


def attention_of(config: Config, *, encodes: bool = False) -> Attention:
    """The same of a model type that is in the tables, or by the names that most model types use."""
    try:
        shapes = architecture(config, ENCODERS if encodes else FAMILIES)
    except InexpressibleError:
        return _by_names(config)
    return Attention(shapes.head, shapes.family.softcap, shapes.attention_dropout)


def _by_names(config: Config) -> Attention:
    nested = config.get("text_config")
    fields: Config = nested if isinstance(nested, Mapping) else config
    hidden, heads = (fields.get(name) for name in ("hidden_size", "num_attention_heads"))
    head = hidden // heads if isinstance(hidden, int) and isinstance(heads, int) and heads else 0
    latent = sum(int(fields.get(name) or 0) for name in ("qk_nope_head_dim", "qk_rope_head_dim"))
    dropped = max((float(fields.get(name) or 0) for name in DROPPED), default=0.0)
    softcap = bool(fields.get("attn_logit_softcapping"))
    return Attention(latent or int(fields.get("head_dim") or head), softcap, dropped)


class Kernels:
    """A model's kernels on a device: those of PyTorch's `sdpa`, where the model's code allows."""

    def __init__(self, config: Config, device: Named | None, *, cuda: bool, encodes: bool) -> None:
        self.about = attention_of(config, encodes=encodes)
        self.device, self.cuda, self.encodes = device, cuda, encodes

    def held_out(self, weights: Dtype, *, masked: bool) -> Kernel:
        """The kernel of a pass without gradient: PyTorch chooses it by its inputs.

        A mask, float32, large heads, or a device before Ampere leave out flash attention, for layers that
        alone have a mask too; on the CPU there is one kernel for all.
        """
        if self.about.softcap:
            return "eager"
        if not self.cuda:
            return "flash"
        wide = weights == "float32" or self.about.head > FLASH_HEAD
        return "efficient" if masked or wide or _before_flash(self.device) else "flash"

    def training(self, weights: Dtype, casts: Dtype | None, *, masked: bool) -> Literal["math"] | Kernel:
        """The kernel while it trains: none of the CPU's drops weights of attention, as encoders do."""
        if self.encodes and not self.cuda and self.about.dropout:
            return "math"
        return self.held_out((casts or weights) if self.encodes else weights, masked=masked)


def _before_flash(device: Named | None) -> bool:
    capability = device.capability if device else ""
    number = capability.removeprefix("sm_")
    return number.isdecimal() and int(number) < FLASH_SINCE
