"""What a model's config.json says of its shapes, and what its model type's code makes of them.

Sizes are the config's; the rest (which norm, which biases, fused projections) is the modelling code's and is
kept in one table by model type, read from transformers' `modeling_*.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal


class InexpressibleError(ValueError):
    """The step has something that the estimate has no account of."""


@dataclass(frozen=True, slots=True)
class Names:
    """The ends of the modules' names, by what they do."""

    q: str = "q_proj"
    k: str = "k_proj"
    v: str = "v_proj"
    qkv: str = "qkv_proj"
    o: str = "o_proj"
    gate: str = "gate_proj"
    up: str = "up_proj"
    gate_up: str = "gate_up_proj"
    down: str = "down_proj"
    head: str = "lm_head"
    embedding: str = "embed_tokens"


@dataclass(frozen=True, slots=True)
class Family:
    """What the modelling code of a model type does, sizes aside.

    `rotary` is the part of each head that turns; with `concatenated` the rest is put beside it even if empty.
    Of layers that look at a window all but each n-th do, where `windowed` is n above 1, or all where it is 1;
    `window` is its width where the config names none, and `window_asked` whether the config must turn it on.
    """

    norm: Literal["rms", "rms_wide", "rms_plus_one", "layer"] = "rms"
    gated: bool = True
    fused_qkv: bool = False
    fused_gate_up: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    qk_norm: Literal["none", "head", "full"] = "none"
    parallel: bool = False
    shared_norm: bool = False
    pre_norm: bool = True
    post_norm: bool = False
    rope: bool = True
    rotary: float = 1.0
    concatenated: bool = False
    learned: bool = False
    row_positions: bool = False
    position_offset: int = 0
    dropout: float = 0.0
    tied: bool = False
    activation: str = "silu"
    scaled_embedding: bool = False
    scaled_residual: bool = False
    softcap: bool = False
    windowed: int = 0
    window: int = 0
    window_asked: bool = False
    names: Names = Names()


_LAYER_NORM = Family(norm="layer", gated=False, qkv_bias=True, o_bias=True, mlp_bias=True, activation="gelu")
_GPT_NAMES = Names(qkv="c_attn", o="c_proj", up="c_fc", down="c_proj", embedding="wte")
_GPT2 = replace(
    _LAYER_NORM,
    fused_qkv=True,
    rope=False,
    learned=True,
    dropout=0.1,
    tied=True,
    activation="gelu_new",
    names=_GPT_NAMES,
)
_GEMMA = Family(norm="rms_plus_one", tied=True, activation="gelu_pytorch_tanh", scaled_embedding=True)
_GEMMA2 = replace(_GEMMA, post_norm=True, softcap=True, windowed=2, window=4096)
_GEMMA3 = replace(_GEMMA, post_norm=True, qk_norm="head", windowed=6, window=4096)
_ASKED = Family(windowed=1, window=4096, window_asked=True)

FAMILIES: dict[str, Family] = {
    "llama": Family(),
    "mistral": Family(windowed=1, window=4096),
    "ministral": Family(windowed=1, window=4096),
    "mixtral": Family(windowed=1),
    "smollm3": replace(_ASKED, tied=True),
    "arcee": Family(gated=False, activation="relu2"),
    "ernie4_5": Family(tied=True),
    "exaone4": Family(qk_norm="head", pre_norm=False, post_norm=True, windowed=4),
    "glm": Family(fused_gate_up=True, rotary=0.5, concatenated=True),
    "glm4": Family(fused_gate_up=True, post_norm=True, rotary=0.5, concatenated=True),
    "helium": Family(norm="rms_wide"),
    "hunyuan_v1_dense": Family(qk_norm="head"),
    "seed_oss": Family(),
    "qwen2": replace(_ASKED, qkv_bias=True),
    "qwen2_moe": replace(_ASKED, qkv_bias=True),
    "qwen3": replace(_ASKED, qk_norm="head"),
    "qwen3_moe": replace(_ASKED, qk_norm="head"),
    "granite": Family(scaled_embedding=True, scaled_residual=True),
    "granitemoe": Family(scaled_embedding=True, scaled_residual=True),
    "olmo2": Family(norm="rms_wide", qk_norm="full", pre_norm=False, post_norm=True),
    "olmo3": Family(norm="rms_wide", qk_norm="full", pre_norm=False, post_norm=True, windowed=4, window=4096),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA3,
    "gemma3": _GEMMA3,
    "phi3": Family(fused_qkv=True, fused_gate_up=True, concatenated=True, windowed=1),
    "phi": replace(
        _LAYER_NORM,
        parallel=True,
        shared_norm=True,
        head_bias=True,
        rotary=0.5,
        activation="gelu_new",
        names=Names(o="dense", up="fc1", down="fc2"),
    ),
    "gpt2": _GPT2,
    "gpt_bigcode": replace(_GPT2, activation="gelu_pytorch_tanh"),
    "starcoder2": replace(
        _LAYER_NORM,
        activation="gelu_pytorch_tanh",
        tied=True,
        windowed=1,
        names=Names(up="c_fc", down="c_proj"),
    ),
    "gpt_neox": replace(
        _LAYER_NORM,
        fused_qkv=True,
        parallel=True,
        rotary=0.25,
        names=Names(
            qkv="query_key_value",
            o="dense",
            up="dense_h_to_4h",
            down="dense_4h_to_h",
            head="embed_out",
            embedding="embed_in",
        ),
    ),
    "opt": replace(
        _LAYER_NORM,
        rope=False,
        learned=True,
        position_offset=2,
        dropout=0.1,
        tied=True,
        activation="relu",
        names=Names(o="out_proj", up="fc1", down="fc2"),
    ),
    "stablelm": replace(
        _LAYER_NORM, gated=True, qkv_bias=False, o_bias=False, mlp_bias=False, rotary=0.25, activation="silu"
    ),
}


_BERT = replace(_LAYER_NORM, pre_norm=False, post_norm=True, rope=False, learned=True, dropout=0.1, tied=True)
ENCODERS: dict[str, Family] = {
    "bert": _BERT,
    "roberta": replace(_BERT, row_positions=True),
    "xlm-roberta": replace(_BERT, row_positions=True),
}
"""Encoders, which only embeddings are made of; with `row_positions` each row looks its positions up."""

QKV_ALONE = ("glm", "glm4")
"""Model types whose `attention_bias` is not of the output projection."""


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts in place of the MLP: `top` of `count` see each token, `shared` sees all.

    None of them where `count` is 0.
    """

    count: int
    top: int
    inner: int
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder's shapes, in elements."""

    family: Family
    layers: int
    hidden: int
    inner: int
    heads: int
    keys: int
    head: int
    vocabulary: int
    positions: int
    tied: bool
    activation: str
    rotary: int
    token_types: int = 0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    experts: Experts = Experts(0, 0, 0)
    dense_layers: int = 0
    window: int = 0
    windows: tuple[bool, ...] = ()

    def slides(self, layer: int, length: int) -> bool:
        """Whether a layer sees less than so many tokens before it, which takes a mask."""
        return bool(self.window) and length >= self.window and self.windows[layer]

    @property
    def head_major(self) -> bool:
        """Whether queries reach attention head by head, as concatenation leaves them."""
        return self.family.rope and (self.family.concatenated or self.rotary < self.head)

    @property
    def queries(self) -> int:
        """Features of all query heads."""
        return self.heads * self.head

    @property
    def key_values(self) -> int:
        """Features of all key heads, and of all value heads."""
        return self.keys * self.head


def architecture(config: Mapping[str, Any], families: Mapping[str, Family] = FAMILIES) -> Architecture:
    """The shapes that a config.json states; what it leaves out is its model type's default.

    Raises InexpressibleError for a model type whose code is not in the table, which is that of decoders.
    """
    nested = config.get("text_config")
    others = [key for key, value in config.items() if key != "text_config" and _is_a_model(value)]
    if others:
        raise InexpressibleError(f"it has parts beside its text model ({', '.join(sorted(others))})")
    fields: Mapping[str, Any] = nested if isinstance(nested, Mapping) else config
    model_type = str(fields.get("model_type") or config.get("model_type"))
    family = families.get(model_type)
    if family is None:
        raise InexpressibleError(f"the model type {model_type} is not in the table of modelling code")
    family = _configured(family, fields)
    hidden = _size(fields, "hidden_size", "n_embd", "d_model")
    heads = _size(fields, "num_attention_heads", "n_head")
    head = int(fields.get("head_dim") or hidden // heads)
    layers = _size(fields, "num_hidden_layers", "n_layer")
    window, windows = _windows(fields, family, layers)
    return Architecture(
        family=family,
        layers=layers,
        window=window,
        windows=windows,
        hidden=hidden,
        inner=_optional(fields, "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden,
        heads=heads,
        keys=_optional(fields, "num_key_value_heads") or (1 if _multi_query(model_type, fields) else heads),
        head=head,
        vocabulary=_size(fields, "vocab_size"),
        positions=_optional(fields, "max_position_embeddings", "n_positions") or 2048,
        tied=bool(fields.get("tie_word_embeddings", config.get("tie_word_embeddings", family.tied))),
        activation=_activation(fields, family),
        rotary=int(head * _rotary(fields, family)),
        token_types=_optional(fields, "type_vocab_size") or 2,
        dropout=_first(
            fields, family.dropout, "resid_pdrop", "dropout", "hidden_dropout", "hidden_dropout_prob"
        ),
        attention_dropout=_first(
            fields,
            family.dropout if family.learned else 0.0,
            "attn_pdrop",
            "attention_dropout",
            "attention_probs_dropout_prob",
        ),
        experts=_experts(fields),
        dense_layers=int(fields.get("first_k_dense_replace") or 0),
    )


def _windows(fields: Mapping[str, Any], family: Family, layers: int) -> tuple[int, tuple[bool, ...]]:
    """How many tokens a layer with a window sees, and which layers have one; 0 where none has."""
    width = fields.get("sliding_window", family.window)
    turned_on = fields.get("use_sliding_window", not family.window_asked)
    if not family.windowed or not isinstance(width, int) or not turned_on:
        return 0, ()
    kinds = fields.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        return width, tuple("sliding" in str(kind) for kind in kinds)
    each = _optional(fields, "sliding_window_pattern", "_sliding_window_pattern") or family.windowed
    first = (_optional(fields, "max_window_layers") or 0) if family.window_asked else 0
    return width, tuple(layer >= first and (each == 1 or (layer + 1) % each > 0) for layer in range(layers))


def _is_a_model(value: object) -> bool:
    """Whether a part of a config describes a model of its own, such as one of images."""
    return isinstance(value, Mapping) and "model_type" in value


def _configured(family: Family, fields: Mapping[str, Any]) -> Family:
    """The family with the biases that a config turns on or off itself."""
    changes: dict[str, Any] = {}
    if isinstance(fields.get("attention_bias"), bool):
        biased = fields["attention_bias"]
        changes |= {"qkv_bias": biased, "o_bias": biased and fields.get("model_type") not in QKV_ALONE}
    if isinstance(fields.get("use_qkv_bias"), bool):
        changes["qkv_bias"] = fields["use_qkv_bias"]
    if isinstance(fields.get("mlp_bias"), bool):
        changes["mlp_bias"] = fields["mlp_bias"]
    if isinstance(fields.get("use_bias"), bool):
        changes |= dict.fromkeys(("qkv_bias", "o_bias", "mlp_bias"), fields["use_bias"])
    if family.parallel and not family.shared_norm and fields.get("use_parallel_residual") is False:
        changes["parallel"] = False
    return replace(family, **changes)


def _activation(fields: Mapping[str, Any], family: Family) -> str:
    for key in ("hidden_activation", "hidden_act", "activation_function"):
        if isinstance(fields.get(key), str):
            return str(fields[key])
    return family.activation


def _rotary(fields: Mapping[str, Any], family: Family) -> float:
    nested = fields.get("rope_parameters")
    if isinstance(nested, Mapping) and "partial_rotary_factor" in nested:
        return float(nested["partial_rotary_factor"])
    return _first(fields, family.rotary, "partial_rotary_factor", "rotary_pct")


def _experts(fields: Mapping[str, Any]) -> Experts:
    count = _optional(fields, "num_local_experts", "num_experts", "n_routed_experts")
    if not count or count < 2:
        return Experts(0, 0, 0)
    inner = _optional(fields, "moe_intermediate_size") or _size(fields, "intermediate_size")
    shared = _optional(fields, "shared_expert_intermediate_size") or 0
    top = _optional(fields, "num_experts_per_tok") or 2
    return Experts(count, top, inner, shared or inner * int(fields.get("n_shared_experts") or 0))


def _multi_query(model_type: str, fields: Mapping[str, Any]) -> bool:
    return bool(fields.get("multi_query", model_type == "gpt_bigcode"))


def _optional(fields: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = fields.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _size(fields: Mapping[str, Any], *keys: str) -> int:
    value = _optional(fields, *keys)
    if value is None:
        raise InexpressibleError(f"the model's config has no {keys[0]}")
    return value


def _first(fields: Mapping[str, Any], default: float, *keys: str) -> float:
    for key in keys:
        value = fields.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return default
