"""What the source of transformers says of packed rows is what its models do with them."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.facts.isolation import isolation

TINY = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "sliding_window": 8,
    "num_local_experts": 4,
    "word_embed_proj_dim": 32,
    "ffn_dim": 64,
}
"""Enough settings for a model of a few thousand weights; each kind takes those it has."""

APART = ("llama", "gpt2", "gemma2", "mixtral")
TOGETHER = ("opt", "bloom", "gpt_oss", "mamba", "recurrent_gemma")


@pytest.mark.parametrize(
    ("architecture", "model_type", "why"),
    [
        ("MambaForCausalLM", "mamba", "carries state"),
        ("Qwen3NextForCausalLM", "qwen3_next", "carries state"),
        ("FalconForCausalLM", "falcon", "without the tokens' positions"),
        ("NoSuchForCausalLM", "llama", "has no NoSuchForCausalLM"),
    ],
)
def test_a_model_that_mixes_rows_is_named_with_the_reason(
    architecture: str, model_type: str, why: str
) -> None:
    found = isolation(architecture, model_type)
    assert not found.apart
    assert why in found.why


def test_parts_that_the_language_model_lacks_do_not_count() -> None:
    """Gemma 3n's file has convolutions, in the encoder of sounds."""
    assert isolation("Gemma3nForCausalLM", "gemma3n_text").apart
    assert isolation("LlamaForCausalLM", "").apart


@pytest.mark.parametrize("kind", APART + TOGETHER)
def test_the_source_tells_what_the_model_does(kind: str) -> None:
    """The oracle: two rows put through a random model, in one sequence and alone."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[kind]()
    settings: dict[str, Any] = {name: value for name, value in TINY.items() if hasattr(config, name)}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**settings)).float().eval()
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.25)
    rows = [torch.arange(5, 16)[None], torch.arange(20, 27)[None]]
    positions = [torch.arange(row.shape[1])[None] for row in rows]

    def logits(ids: Any, at: Any) -> Any:
        with torch.no_grad():
            return model(input_ids=ids, position_ids=at, use_cache=False).logits[0]

    alone = torch.cat([logits(row, at) for row, at in zip(rows, positions, strict=True)])
    packed = logits(torch.cat(rows, dim=1), torch.cat(positions, dim=1))
    off = float((packed - alone).abs().max() / alone.std())
    assert (off < 1e-4) == (kind in APART) == isolation(type(model).__name__, kind).apart
    assert off < 1e-4 or off > 0.05
