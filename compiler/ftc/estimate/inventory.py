"""The modules of a model that hold weights, from its config.json alone, with their names and sizes.

Names are those of transformers' modelling code of the model type, and sizes those of the closed form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ftc.estimate.architecture import Architecture, InexpressibleError, architecture
from ftc.tuning.modules import Kind, Module, Modules


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a model type's code keeps its modules; `mlp_norm` stands before the MLP."""

    layers: str = "model.layers"
    attention: str = "self_attn."
    mlp: str = "mlp."
    input_norm: str = "input_layernorm"
    mlp_norm: str = "post_attention_layernorm"
    embedding: str = "model.embed_tokens"
    positions: str = ""
    last_norm: str = "model.norm"
    head: str = "lm_head"
    after_attention: str = "post_attention_layernorm"
    after_mlp: str = "post_feedforward_layernorm"
    q_norm: str = "q_norm"
    k_norm: str = "k_norm"
    router: str = "gate"


_GPT2 = Paths(
    layers="transformer.h",
    attention="attn.",
    input_norm="ln_1",
    mlp_norm="ln_2",
    embedding="transformer.wte",
    positions="transformer.wpe",
    last_norm="transformer.ln_f",
)
PATHS: dict[str, Paths] = {
    "glm4": Paths(after_attention="post_self_attn_layernorm", after_mlp="post_mlp_layernorm"),
    "hunyuan_v1_dense": Paths(q_norm="query_layernorm", k_norm="key_layernorm"),
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "granitemoe": Paths(mlp="block_sparse_moe.", router="router"),
    "phi": Paths(last_norm="model.final_layernorm"),
    "gpt_neox": Paths(
        layers="gpt_neox.layers",
        attention="attention.",
        embedding="gpt_neox.embed_in",
        last_norm="gpt_neox.final_layer_norm",
    ),
    "opt": Paths(
        layers="model.decoder.layers",
        mlp="",
        input_norm="self_attn_layer_norm",
        mlp_norm="final_layer_norm",
        embedding="model.decoder.embed_tokens",
        positions="model.decoder.embed_positions",
        last_norm="model.decoder.final_layer_norm",
    ),
}
"""Model types whose code names its modules otherwise than Llama's."""

STACKED = ("mixtral", "qwen3_moe")
"""Model types whose stacked experts PEFT's LoRA treats as the linear layers that they once were."""

STATES: dict[str, tuple[object, ...]] = {
    "qk_layernorm": (None, False),
    "do_layer_norm_before": (None, True),
    "enable_bias": (None, True),
    "layer_norm_elementwise_affine": (None, True),
    "qkv_bias": (None, True),
    "decoder_sparse_step": (None, 1),
    "mlp_only_layers": (None, []),
    "moe_layer_frequency": (None, 1),
    "scale_attn_by_inverse_layer_idx": (None, False),
    "add_cross_attention": (None, False),
}
"""Settings of configs that add or leave out weights, with the values under which the names here hold."""


def modules(config: Mapping[str, Any]) -> Modules:
    """The modules of the model that a config.json describes.

    Raises InexpressibleError for a model type, or a setting of it, whose weights are not in the tables.
    """
    nested = config.get("text_config")
    fields: Mapping[str, Any] = nested if isinstance(nested, Mapping) else config
    if nested is not None:
        raise InexpressibleError("its text model is a part of another")
    for key, plain in STATES.items():
        if fields.get(key) not in plain:
            raise InexpressibleError(f"weights under {key} = {fields[key]} are not listed")
    shapes = architecture(config)
    if fields.get("word_embed_proj_dim") not in (None, shapes.hidden):
        raise InexpressibleError("its embeddings are projected")
    model_type = str(fields.get("model_type"))
    if model_type == "seed_oss":
        family = replace(shapes.family, o_bias=bool(fields.get("attention_out_bias")))
        shapes = replace(shapes, family=family)
    listing = _Listing(shapes, PATHS.get(model_type, Paths()), model_type)
    return Modules(
        tuple(listing.all()),
        layers=shapes.layers,
        hidden=shapes.hidden,
        key_values=shapes.key_values,
        tied=shapes.tied,
        stacked=model_type in STACKED,
        transposed=model_type == "gpt2",
    )


@dataclass(frozen=True)
class _Listing:
    shapes: Architecture
    paths: Paths
    model_type: str

    def all(self) -> Iterator[Module]:
        shapes, paths = self.shapes, self.paths
        table = shapes.vocabulary * shapes.hidden
        yield Module(paths.embedding, "embedding", table, role="tokens")
        if shapes.family.learned:
            places = (shapes.positions + shapes.family.position_offset) * shapes.hidden
            yield Module(paths.positions, "embedding", places, role="positions")
        for layer in range(shapes.layers):
            for module in self._layer(layer):
                yield replace(module, name=f"{paths.layers}.{layer}.{module.name}", layer=layer)
        yield self._norm(paths.last_norm, shapes.hidden)
        bias = shapes.vocabulary if shapes.family.head_bias else 0
        yield Module(paths.head, "head", table + bias, shapes.hidden, shapes.vocabulary, role="head")

    def _norm(self, name: str, size: int) -> Module:
        return Module(name, "norm", 2 * size if self.shapes.family.norm == "layer" else size)

    def _linear(self, prefix: str, role: str, inputs: int, outputs: int, *, bias: bool = False) -> Module:
        name = prefix + str(getattr(self.shapes.family.names, role, role))
        kind: Kind = "linear"
        return Module(name, kind, inputs * outputs + (outputs if bias else 0), inputs, outputs, role=role)

    def _layer(self, layer: int) -> Iterator[Module]:
        shapes, paths, family = self.shapes, self.paths, self.shapes.family
        if family.pre_norm:
            yield self._norm(paths.input_norm, shapes.hidden)
        yield from self._attention()
        if family.post_norm:
            yield self._norm(paths.after_attention, shapes.hidden)
        if not family.shared_norm and family.pre_norm:
            taken = family.post_norm and paths.after_attention == paths.mlp_norm
            name = "pre_feedforward_layernorm" if taken else paths.mlp_norm
            yield self._norm(name, shapes.hidden)
        sparse = shapes.experts.count > 0 and layer >= shapes.dense_layers
        yield from self._experts() if sparse else self._mlp(paths.mlp, shapes.inner)
        if family.post_norm:
            yield self._norm(paths.after_mlp, shapes.hidden)

    def _attention(self) -> Iterator[Module]:
        shapes, family, prefix = self.shapes, self.shapes.family, self.paths.attention
        hidden, queries, keys = shapes.hidden, shapes.queries, shapes.key_values
        if family.fused_qkv:
            yield self._linear(prefix, "qkv", hidden, queries + 2 * keys, bias=family.qkv_bias)
        else:
            for role, size in (("q", queries), ("k", keys), ("v", keys)):
                yield self._linear(prefix, role, hidden, size, bias=family.qkv_bias)
        if family.qk_norm != "none":
            whole = family.qk_norm == "full"
            yield self._norm(f"{prefix}{self.paths.q_norm}", queries if whole else shapes.head)
            yield self._norm(f"{prefix}{self.paths.k_norm}", keys if whole else shapes.head)
        yield self._linear(prefix, "o", queries, hidden, bias=family.o_bias)

    def _mlp(self, prefix: str, inner: int) -> Iterator[Module]:
        hidden, family = self.shapes.hidden, self.shapes.family
        if family.fused_gate_up:
            yield self._linear(prefix, "gate_up", hidden, 2 * inner, bias=family.mlp_bias)
        else:
            if family.gated:
                yield self._linear(prefix, "gate", hidden, inner, bias=family.mlp_bias)
            yield self._linear(prefix, "up", hidden, inner, bias=family.mlp_bias)
        yield self._linear(prefix, "down", inner, hidden, bias=family.mlp_bias)

    def _experts(self) -> Iterator[Module]:
        """The router, the experts' stacked weights, and the expert that sees all tokens, with its gate."""
        experts, hidden, prefix = self.shapes.experts, self.shapes.hidden, self.paths.mlp
        yield Module(prefix + self.paths.router, "other", hidden * experts.count)
        yield Module(f"{prefix}experts", "other", 3 * experts.count * experts.inner * hidden)
        if experts.shared:
            yield from self._mlp(f"{prefix}shared_expert.", experts.shared)
            if self.model_type == "qwen2_moe":
                yield Module(f"{prefix}shared_expert_gate", "linear", hidden, hidden, 1, role="shared_gate")
