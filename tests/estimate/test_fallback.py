"""Adapters and model types that no table has, run abstractly: against real steps and the closed form."""

from __future__ import annotations

from typing import Any

import pytest

from estimate.test_abstract import EXPERTS, LORA, a_step, one_thread
from ftc.estimate import fallback
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.fallback import Counts, Peaks, at_hand
from ftc.estimate.fit import needed
from ftc.estimate.flops import step_flops
from ftc.estimate.step import Batch, TrainingStep, Tuning
from ftc.estimate.workload import traits

__all__ = ["one_thread"]

TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
LLAMA = {**TINY, "model_type": "llama"}
LATENT = {
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "moe_intermediate_size": 32,
    "n_group": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "topk_group": 1,
    "v_head_dim": 16,
}
HYBRID = {
    "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 16,
}
SPARSE = {"head_dim": 16, "num_experts_per_tok": 2, "num_local_experts": 4, "sliding_window": 32}
TYPES: dict[str, dict[str, Any]] = {
    "cohere2": {"sliding_window": 32},
    "deepseek_v3": LATENT,
    "falcon": {},
    "gpt_oss": SPARSE,
    "qwen3_5": {"text_config": {**TINY, **HYBRID, "model_type": "qwen3_5_text"}},
}
EVERY = {"target_modules": "all-linear"}
ADAPTERS: dict[str, dict[str, Any]] = {
    "BOFTConfig": {"boft_block_size": 4, "boft_n_butterfly_factor": 1, "bias": "none", **EVERY},
    "LNTuningConfig": {"target_modules": ["input_layernorm", "post_attention_layernorm", "norm"]},
    "LoHaConfig": {"r": 8, "alpha": 8, **EVERY},
    "LoKrConfig": {"r": 8, "alpha": 8, **EVERY},
    "OFTConfig": {"r": 0, "oft_block_size": 16, "bias": "none", **EVERY},
    "PrefixTuningConfig": {"num_virtual_tokens": 16},
    "PromptEncoderConfig": {"num_virtual_tokens": 16, "encoder_hidden_size": 32},
    "PromptTuningConfig": {"num_virtual_tokens": 16, "prompt_tuning_init": "RANDOM"},
    "VeraConfig": {"r": 32, "save_projection": True, **EVERY},
}
BATCH = Batch(rows=2, length=64)
ENCODERS: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 64, "hidden_dim": 96, "n_layers": 2, "n_heads": 4, "vocab_size": 500},
    "mpnet": {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
}


def adapted(kind: str) -> Tuning:
    """The tuning by PEFT's configuration of a kind."""
    return Tuning(method="peft", peft={"type": kind, "task_type": "CAUSAL_LM", **ADAPTERS[kind]})


def agrees(step: TrainingStep) -> None:
    """Whether the abstract run has the peaks of a real step."""
    from estimate.real_steps import step_of
    from ftc.estimate.abstract.depth import predict

    found = predict(step, "cpu", whole=True).phases
    for phase, measured in step_of(step).items():
        if phase != "load":
            assert found[phase].size == pytest.approx(measured, rel=1e-3), phase


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_of_any_kind_take_what_the_abstract_run_says(kind: str) -> None:
    agrees(a_step(config=LLAMA, tuning=adapted(kind), batch=BATCH))


@pytest.mark.parametrize("kind", TYPES)
def test_a_model_type_of_no_table_takes_what_the_abstract_run_says(kind: str) -> None:
    agrees(a_step(config={**TINY, **TYPES[kind], "model_type": kind}, batch=BATCH, attention="flash"))


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_of_no_table_takes_what_the_abstract_run_says(kind: str) -> None:
    config = {"dropout": 0.0, "attention_dropout": 0.0, "pad_token_id": 0, **ENCODERS[kind]}
    compared = {"objective": {"kind": "embedding", "texts": 2}, "loss": {"kernel": "in_batch"}}
    agrees(a_step(config={**config, "model_type": kind}, batch=BATCH, attention="flash", **compared))


def test_few_layers_foretell_many_of_a_model_type_of_no_table() -> None:
    from ftc.estimate.abstract.depth import predict

    config = {**TINY, **LATENT, "model_type": "deepseek_v3", "num_hidden_layers": 10}
    step = a_step(config=config, batch=BATCH)
    few, whole = predict(step), predict(step, whole=True)
    assert len(few.traced) == 2
    assert few.peak.size == whole.peak.size


@pytest.mark.parametrize(
    "changes",
    [
        {"tuning": LORA, "checkpointing": "non-reentrant", "attention": "flash", "loss": {"kernel": "trl"}},
        {"config": {**EXPERTS, "num_hidden_layers": 9}, "attention": "efficient"},
    ],
)
def test_operations_that_were_seen_are_those_that_are_counted(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.estimate import flops, workload
    from ftc.estimate.abstract.counted import counted

    class Here:
        def peaks(self, step: TrainingStep) -> Peaks:
            raise AssertionError(step)

        def counts(self, step: TrainingStep) -> Counts:
            return counted(step, "cuda")

    step = a_step(**changes)
    plain, known = step_flops(step), traits(step)
    monkeypatch.setattr(flops, "told", lambda plain, ran, of: ran(Here(), of) if of is step else plain(of))
    monkeypatch.setattr(workload, "told", lambda _plain, ran, of: ran(Here(), of))
    for part in ("forward", "backward", "recomputation"):
        seen, said = getattr(step_flops(step), part), getattr(plain, part)
        assert seen.linear + seen.adapters == pytest.approx(said.linear + said.adapters, rel=0.01), part
        assert seen.attention == pytest.approx(said.attention, rel=0.01), part
        assert seen.head == pytest.approx(said.head, rel=0.01), part
    seen_traits = traits(step)
    assert seen_traits.method == known.method
    for name in ("layers", "hidden", "cache", "pair", "trained"):
        assert getattr(seen_traits, name) == pytest.approx(getattr(known, name), rel=0.01), name
    assert seen_traits.weights == pytest.approx(known.weights, rel=0.01)


def test_without_anybody_to_run_it_a_step_is_refused() -> None:
    step = a_step(config={**TINY, "model_type": "falcon"}, backend="cpu")
    with at_hand(None), pytest.raises(InexpressibleError, match="falcon"):
        needed(step)
    with pytest.raises(InexpressibleError, match="nobody"):
        fallback.runs_at_hand()
