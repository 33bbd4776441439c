"""A small config of each model type that ftc knows, and the model that transformers makes of it."""

from __future__ import annotations

from typing import Any

from ftc.estimate.architecture import FAMILIES

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 300,
    "head_dim": 16,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "ffn_dim": 96,
    "word_embed_proj_dim": 64,
    "max_position_embeddings": 128,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 48,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "layer_types": None,
    "pad_token_id": 0,
}
MODEL_TYPES = sorted(set(FAMILIES) - {"gemma3"})
"""All of the table but one, whose models have a part for images."""


def small_config(model_type: str) -> Any:
    """transformers' config of a model of two small layers."""
    from transformers import AutoConfig

    known = AutoConfig.for_model(model_type).to_dict()
    sizes = {key: value for key, value in SIZES.items() if key in known or key.startswith("n_")}
    if model_type == "gpt_bigcode":  # its own setting says how many keys there are
        del sizes["num_key_value_heads"]
    if not model_type.startswith("gpt"):
        sizes = {key: value for key, value in sizes.items() if not key.startswith("n_")}
    return AutoConfig.for_model(model_type, **sizes)


def small_model(config: Any) -> Any:
    """The model of a config, without values."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)
