"""FLOPs by the closed count, held to what PyTorch's own counter sees in real models."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.estimate.flops import Amounts, Attends, StepFlops, step_flops
from ftc.estimate.step import Batch, Loss, TrainingStep, Tuning

LORA = Tuning(method="lora", rank=8, targets="all-linear")
SMALL: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**SMALL, "model_type": "llama"},
    "qwen3": {**SMALL, "model_type": "qwen3", "head_dim": 64, "tie_word_embeddings": True},
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 256,
        "n_layer": 4,
        "n_head": 4,
        "n_positions": 256,
        "vocab_size": 1000,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "gemma2": {**SMALL, "model_type": "gemma2", "head_dim": 64},
    "phi": {**SMALL, "model_type": "phi", "tie_word_embeddings": False},
    "mixtral": {**SMALL, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
}
METHODS: dict[str, Tuning] = {
    "full": Tuning(method="full"),
    "lora": LORA,
    "q and v": Tuning(method="lora", rank=8, targets=("q_proj", "v_proj")),
    "freeze": Tuning(method="freeze", layers=2, head=True),
}
ROWS, LENGTH = 2, 96


def _step(model: str, method: str, checkpointing: str = "none", **more: Any) -> TrainingStep:
    return TrainingStep(
        config=CONFIGS[model],
        tuning=METHODS[method],
        batch=Batch(rows=ROWS, length=LENGTH),
        weights="float32",
        attention="eager",
        checkpointing=checkpointing,  # type: ignore[arg-type]
        **more,
    )


def _counted(step: TrainingStep) -> int:
    """FLOPs of a real forward and backward pass as torch.utils.flop_counter sees them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ftc.estimate.abstract.loss import criterion
    from ftc.estimate.abstract.model import prepared, skeleton

    torch.manual_seed(0)
    base = skeleton(step, device="cpu", backend="cpu", attention="eager")
    if "num_local_experts" in step.config:
        base.set_experts_implementation("eager")  # the counter has no formula for grouped products
    model = prepared(base, step)
    ids = torch.randint(0, 1000, (ROWS, LENGTH))
    loss = criterion(model, step)
    with FlopCounterMode(display=False) as counter:
        loss(model, {"input_ids": ids, "labels": ids.clone()}).backward()
    return int(counter.get_total_flops())


def _predicted(step: TrainingStep, positions: float = ROWS * LENGTH) -> float:
    amounts = Amounts(
        ROWS * LENGTH, Attends.of(step.attention, masked=False).pairs([LENGTH] * ROWS), positions
    )
    return step_flops(step).training.of(amounts).total


@pytest.mark.parametrize("checkpointing", ["none", "non-reentrant", "reentrant"])
@pytest.mark.parametrize("method", ["full", "lora", "q and v"])
@pytest.mark.parametrize("model", ["llama", "qwen3"])
def test_methods_are_counted_as_pytorch_counts_them(model: str, method: str, checkpointing: str) -> None:
    step = _step(model, method, checkpointing)
    assert _predicted(step) == pytest.approx(_counted(step), rel=0.002)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("model", ["gpt2", "gemma2", "phi"])
def test_families_are_counted_as_pytorch_counts_them(model: str, method: str) -> None:
    for checkpointing in ("none", "non-reentrant"):
        step = _step(model, method, checkpointing)
        assert _predicted(step) == pytest.approx(_counted(step), rel=0.002), checkpointing


@pytest.mark.parametrize("model", ["llama", "gpt2"])
def test_frozen_layers_have_no_backward_pass(model: str) -> None:
    step = _step(model, "freeze")
    assert _predicted(step) == pytest.approx(_counted(step), rel=0.002)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_fused_head_makes_its_logits_twice(method: str) -> None:
    step, positions = _step("llama", method, loss=Loss(kernel="trl")), ROWS * (LENGTH - 1)
    unseen = step_flops(step).backward.head * positions  # PyTorch's counter has no formula for addmm_
    assert _predicted(step, positions) - unseen == pytest.approx(_counted(step), rel=0.002)


def _base(step: TrainingStep) -> StepFlops:
    return step_flops(step)


def test_experts_count_for_the_tokens_they_see() -> None:
    dense = _base(_step("llama", "full")).forward.linear
    sparse = _base(_step("mixtral", "full")).forward.linear
    mlp, router = 3 * 256 * 640 * 2, 256 * 4 * 2
    assert sparse - dense == 4 * (mlp + router)  # 2 of 4 experts instead of one MLP


def test_experts_are_counted_as_pytorch_counts_them() -> None:
    step = _step("mixtral", "full")
    assert _predicted(step) == pytest.approx(_counted(step), rel=0.005)


def test_kernels_differ_in_the_pairs_that_they_compare() -> None:
    assert Attends.of("flash", masked=False).pairs([5, 5]) == 25
    assert Attends.of("flash", masked=True).pairs([3, 5]) == 2 * 25
    assert Attends.of("eager", masked=False).pairs([5, 5]) == 2 * 25
    assert Attends.of("efficient", masked=True).pairs([3, 5], padded_to=8) == 2 * 64
    assert Attends.of("efficient", masked=True).pairs([3, 5], packed=True) == 64
    assert Attends.of("flash_attention_2", masked=True).pairs([3, 5], padded_to=8) == (9 + 25) / 2
    assert Attends.of("flash_attention_2", masked=True).pairs([3, 5], packed=True) == (9 + 25) / 2


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_operations_are_linear_in_what_goes_through(first: int, second: int) -> None:
    forms = _base(_step("llama", "lora", "non-reentrant")).training
    one, two = Amounts(first, first**2, first), Amounts(second, second**2, 0)
    assert forms.of(one.plus(two)).total == pytest.approx(forms.of(one).total + forms.of(two).total)
    assert forms.of(one.scaled(3)).total == pytest.approx(3 * forms.of(one).total)
