"""The step that a plan is lowered to, against what the runtime's own functions take when they execute it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from estimate.closed_steps import MODELS as CLOSED_MODELS
from estimate.real_plans import Case, measured, plan_of, tiny_of
from estimate.test_abstract import EXPERTS, LLAMA, SLIDING, one_thread
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.catalogue import find
from ftc.estimate.closed_form import estimate
from ftc.estimate.heldout import PIECE
from ftc.estimate.lowering import EVALUATED as MOST_LOGITS
from ftc.estimate.lowering import LABEL_ROWS, Rows, training_step
from ftc.estimate.step import TrainingStep
from ftc.estimate.trainer_options import HEEDED, NEUTRAL, REASONS
from ftc.facts.machine import package_versions
from ftc.facts.trl_fields import OF_TRL, OWNED, config_fields
from ftc.objectives.sft import OWNED as SFT_OWNED
from ftc.objectives.sft import arguments as sft_arguments
from ftc.plan.steps import (
    EnvironmentStep,
    EvalStep,
    ModelStep,
    Plan,
    QuantiseStep,
    TrainStep,
    TuneStep,
    UnfrozenStep,
)
from ftc.runtime import heldout, score

__all__ = ["one_thread"]

SMALL = {**LLAMA, "max_position_embeddings": 2048}
QWEN = {**SMALL, "model_type": "qwen3", "head_dim": 32, "tie_word_embeddings": True}
GEMMA = {**SMALL, "model_type": "gemma2", "head_dim": 32, "sliding_window": 4096}
MODELS: dict[str, dict[str, Any]] = {
    "llama": SMALL,
    "qwen3": QWEN,
    "gemma2": GEMMA,
    "experts": {**EXPERTS, "max_position_embeddings": 2048},
    "sliding": {**SLIDING, "max_position_embeddings": 2048},
}
CHECKPOINTED = {"gradient_checkpointing": True}
LABELLED = (300,) * 6
LETTERS = tuple("abcdefghijklmnopqrst")
PAIRS = (256, 200, 228, 228, 180, 276, 300, 156)  # each two have as many tokens
DPO, DPO_SFT = {"name": "dpo"}, {"name": "dpo", "sft": 0.5}
REWARD, CLASSES = {"name": "reward"}, {"name": "classification"}
KTO, APO = {"name": "kto"}, {"name": "kto", "loss": "apo_zero_unpaired"}
ORPO, SIMPO = {"name": "orpo"}, {"name": "simpo"}
GKD = {"name": "gkd", "teacher": "here", "on_policy": 0.0}
SAMPLED = {"rewards": ["length"], "generations": 2, "max_new_tokens": 24}
GRPO = {"name": "grpo", **SAMPLED, "max_new_tokens": 100, "top_p": 0.9}
RLOO = {"name": "rloo", **SAMPLED}
PROMPTS = (100, 60, 80, 60)  # all in each step, so that all steps are alike
STILL = {**CHECKPOINTED, "learning_rate": 1e-9}  # so that answers do not end after the first step
CASES: dict[str, tuple[str, Case]] = {
    "orpo, full": ("llama", Case(method="full", micro_batch=2, objective=ORPO)),
    "simpo, full": ("qwen3", Case(method="full", micro_batch=2, objective=SIMPO)),
    "gkd, lora": ("llama", Case(micro_batch=2, objective=GKD)),
    "grpo, lora": ("llama", Case(objective=GRPO, lengths=PROMPTS)),
    "rloo, full, scored by a model": (
        "llama",
        Case(method="full", objective=RLOO, lengths=PROMPTS, scored=True),
    ),
    "rloo, full, checkpointed": (
        "llama",
        Case(method="full", objective=RLOO, lengths=PROMPTS, arguments=STILL),
    ),
    "lora": ("llama", Case()),
    "lora, checkpointed": ("llama", Case(arguments=CHECKPOINTED)),
    "full": ("llama", Case(method="full")),
    "full, checkpointed": ("llama", Case(method="full", arguments=CHECKPOINTED)),
    "full, reentrant": (
        "llama",
        Case(
            method="full",
            arguments={**CHECKPOINTED, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        ),
    ),
    "full, fused": ("llama", Case(method="full", arguments={"optim": "adamw_torch_fused"})),
    "full, 8-bit": ("llama", Case(method="full", arguments={"optim": "adamw_8bit"})),
    "full, accumulated": ("llama", Case(method="full", micro_batch=2, accumulation=2)),
    "lora, one row at a time": ("llama", Case(micro_batch=1, lengths=(256,) * 4)),
    "lora, equal rows": ("llama", Case(lengths=(256,) * 8)),
    "lora, packed": ("llama", Case(packed=True, micro_batch=2, lengths=PAIRS)),
    "full, packed, checkpointed": (
        "llama",
        Case(method="full", packed=True, micro_batch=2, lengths=PAIRS, arguments=CHECKPOINTED),
    ),
    "qwen3, full": ("qwen3", Case(method="full")),
    "qwen3, lora, packed": ("qwen3", Case(packed=True, micro_batch=1, lengths=PAIRS)),
    "gemma2, lora": ("gemma2", Case()),
    "sliding, lora, one row": ("sliding", Case(micro_batch=1, lengths=(256,) * 4)),
    "experts, full": ("experts", Case(method="full", lengths=(256,) * 8)),
    "dpo, lora": ("llama", Case(micro_batch=2, objective=DPO)),
    "dpo, lora, checkpointed": ("llama", Case(micro_batch=2, objective=DPO, arguments=CHECKPOINTED)),
    "dpo, full": ("llama", Case(method="full", micro_batch=2, objective=DPO)),
    "dpo, full, with sft": (
        "qwen3",
        Case(method="full", micro_batch=1, lengths=(256,) * 4, objective=DPO_SFT),
    ),
    "kto, lora": ("llama", Case(objective=KTO)),
    "kto, full, checkpointed": ("llama", Case(method="full", objective=KTO, arguments=CHECKPOINTED)),
    "reward, lora": ("llama", Case(micro_batch=2, objective=REWARD)),
    "reward, full, checkpointed": (
        "qwen3",
        Case(method="full", micro_batch=2, objective=REWARD, arguments=CHECKPOINTED),
    ),
    "classes, lora, checkpointed": ("llama", Case(objective=CLASSES, arguments=CHECKPOINTED)),
    "classes, full": ("llama", Case(method="full", objective=CLASSES)),
    "kto, unpaired, full": ("llama", Case(method="full", objective=APO)),
}
EVALUATED: dict[str, Case] = {
    "loss": Case(prompt=1, held_out=(300, 256, 200, 100)),
    "loss of equal rows": Case(method="full", prompt=1, held_out=(256,) * 4),
    "answers": Case(prompt=290, lengths=LABELLED, held_out=LABELLED, metrics=("exact_match",)),
    "many labels": Case(
        prompt=298, lengths=LABELLED, held_out=LABELLED, metrics=("label_accuracy",), labels=LETTERS
    ),
    "labels": Case(
        prompt=298, lengths=LABELLED, held_out=LABELLED, metrics=("label_accuracy",), labels=("a", "b", "c")
    ),
}
TRAINING = ("generation", "forward", "backward", "optimizer")
APART = ("load", "save", "evaluation")


def trained(segments: Mapping[str, int]) -> int:
    """The peak of the training step alone."""
    return max(size for segment, size in segments.items() if segment not in APART)


def lowered(tmp_path: Path, model: str, case: Case) -> tuple[TrainingStep, dict[str, int]]:
    """The lowered step of a case, and the peaks that the runtime had."""
    config = MODELS[model]
    tiny = tiny_of(tmp_path, config, case)
    plan = plan_of(tiny, config, case, package_versions())
    assert plan.model is not None
    step = training_step(plan, config, others={plan.model.config_sha256: config})
    return step, measured(tiny, plan, tmp_path / "run")


@pytest.mark.parametrize("name", CASES)
def test_the_runtime_takes_what_the_plans_step_says(name: str, tmp_path: Path) -> None:
    from ftc.estimate.abstract.depth import predict

    step, real = lowered(tmp_path, *CASES[name])
    if step.objective.drift:  # all prompts are as long, so no row with another's answer is longer
        objective = step.objective.model_copy(update={"drift": step.batch.length})
        step = step.model_copy(update={"objective": objective})
    phases = predict(step, "cpu", whole=True).phases
    exact = max(phases[phase].size for phase in TRAINING if phase in phases)
    assert exact == pytest.approx(real["train"], rel=1e-3)
    assert trained(estimate(step).segments) == pytest.approx(real["train"], rel=0.01)


@pytest.mark.parametrize("name", EVALUATED)
def test_the_runtimes_evaluation_takes_what_the_plans_step_says(name: str, tmp_path: Path) -> None:
    """Losses, written answers, tried labels; the plan knows bounds of prompts and labels."""
    from ftc.estimate.abstract.depth import predict

    case = EVALUATED[name]
    step, real = lowered(tmp_path, "llama", case)
    assert step.evaluation is not None
    evaluation = step.evaluation.model_copy(update={"prompt": case.prompt, "label": 1})
    step = step.model_copy(update={"evaluation": evaluation})
    segments = predict(step, "cpu", whole=True).segments
    exact = {
        when: max(peak.size for segment, peak in segments.items() if segment.startswith(f"evaluation/{when}"))
        for when in ("before", "after")
    }
    for when, size in exact.items():
        assert size == pytest.approx(real[when], rel=1e-3), when
    assert estimate(step).segments["evaluation"] == pytest.approx(max(exact.values()), rel=0.01)


def test_the_bounds_of_evaluation_are_the_runtimes() -> None:
    assert MOST_LOGITS == heldout.LOGITS
    assert PIECE == score.PIECE
    assert LABEL_ROWS == score.LABEL_ROWS


def plan_for(device: str = "cuda", **arguments: Any) -> Plan:
    """A plan of LoRA in bfloat16 for a device, whose rows are yet to be compiled."""
    train = TrainStep(
        steps=1,
        epochs=1,
        batch=8,
        micro_batch=4,
        accumulation=2,
        save_every=1,
        arguments={**sft_arguments({}), "optim": "adamw_torch", "bf16": device == "cuda", **arguments},
    )
    model = ModelStep.model_construct(dtype="bfloat16", vocabulary=2000)
    peft: dict[str, Any] = {"type": "LoraConfig", "r": 8, "target_modules": "all-linear", "bias": "none"}
    packages = {"torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0"}
    return Plan.model_construct(
        model=model,
        render=None,
        tune=TuneStep(method="lora", peft=peft),
        train=train,
        eval=EvalStep(metrics=("loss",), labels=(), max_new_tokens=8, batch=32),
        environment=EnvironmentStep(device=device, packages=packages),  # type: ignore[arg-type]
    )


EVEN, UNEVEN = Rows(100, 256, 256), Rows(100, 256, 10)
LARGE = {name: CLOSED_MODELS[name] for name in ("llama", "qwen3")}
ON_CUDA = {
    "padded": (UNEVEN, {}),
    "padded, checkpointed": (UNEVEN, CHECKPOINTED),
    "equal rows": (EVEN, {}),
    "packed": (Rows(100, 512, 10, packed=True), {}),
    "packed, checkpointed": (Rows(100, 512, 10, packed=True), CHECKPOINTED),
}


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", ON_CUDA)
def test_the_closed_form_of_a_plans_step_agrees_with_its_abstract_run(name: str, method: str) -> None:
    from ftc.estimate.abstract.depth import predict

    rows, arguments = ON_CUDA[name]
    plan = plan_for(**arguments)
    if method == "full":
        plan = plan.model_copy(update={"tune": TuneStep(method="full", peft=None)})
    config = LARGE["qwen3" if "packed" in name else "llama"]
    step = training_step(plan, config, rows=rows, held_out=Rows(40, 400, 10))
    phases = predict(step).phases
    segments = estimate(step).segments
    exact = max(phases[phase].size for phase in TRAINING if phase in phases)
    assert trained(segments) == pytest.approx(exact, rel=0.01)
    assert segments["evaluation"] == pytest.approx(phases["evaluation"].size, rel=0.01)


def step_for(plan: Plan, rows: Rows, held_out: Rows | None = None, **config: Any) -> TrainingStep:
    return training_step(plan, {**SMALL, **config}, rows=rows, held_out=held_out)


def test_the_kernel_is_the_one_that_pytorch_takes_on_the_device() -> None:
    turing = find("T4")
    plan = plan_for()
    assert step_for(plan, EVEN).attention == "flash"
    assert step_for(plan, UNEVEN).attention == "efficient"
    assert step_for(plan, Rows(100, 256, 10, packed=True)).attention == "efficient"
    assert step_for(plan, EVEN, head_dim=512).attention == "efficient"
    windows = [step_for(plan, EVEN, model_type="mistral", sliding_window=width) for width in (128, 512)]
    assert [step.attention for step in windows] == ["flash", "flash"]
    assert estimate(windows[0]).peak > estimate(windows[1]).peak  # a mask, and the kernel that takes it
    assert step_for(plan, EVEN, model_type="gemma2", head_dim=32).attention == "eager"
    assert training_step(plan, SMALL, device=turing, rows=EVEN).attention == "efficient"
    assert step_for(plan_for("cpu"), UNEVEN).attention == "flash"


def test_the_optimizer_walks_through_the_weights_as_the_device_lets_it() -> None:
    on_cuda, on_cpu = (step_for(plan_for(device), EVEN).optimizer for device in ("cuda", "cpu"))
    assert (on_cuda.form, on_cpu.form) == ("foreach", "loop")
    assert on_cuda.state == "float32"  # PEFT keeps adapters of half-precision models in float32
    eight = step_for(plan_for(optim="paged_adamw_8bit"), EVEN).optimizer
    assert (eight.form, eight.bits, eight.paged, eight.wide_embedding) == ("bitsandbytes", 8, True, False)


def test_packed_sequences_lie_end_to_end() -> None:
    batch = step_for(plan_for(), Rows(100, 256, 10, packed=True)).batch
    assert (batch.rows, batch.length, batch.packed, batch.padded) == (1, 1024, (256,) * 4, False)


def test_few_rows_make_a_small_batch() -> None:
    assert step_for(plan_for(), Rows(3, 256, 10)).batch.rows == 3


def test_held_out_rows_are_as_many_as_their_logits_allow() -> None:
    few = step_for(plan_for(), EVEN, Rows(1000, 100, 100)).evaluation
    assert few is not None
    assert (few.rows, few.length, few.positions) == (32, 100, 99)
    many = step_for(plan_for(), EVEN, Rows(1000, 10_000, 100)).evaluation
    assert many is not None
    assert many.rows * many.length <= MOST_LOGITS // 2000 < (many.rows + 1) * many.length


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ({"torch_compile": True}, "compiler"),
        ({"activation_offloading": True}, "timing"),
        ({"neftune_noise_alpha": 5.0}, "noise"),
        ({"optim": "galore_adamw"}, "galore_adamw"),
        ({"use_liger_kernel": True, "liger_kernel_config": {"rope": False}}, "liger_kernel_config"),
        ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"selective": True}}, "some"),
        ({"unheard_of": 3}, "unheard_of"),
    ],
)
def test_an_option_without_an_account_is_refused(option: dict[str, Any], why: str) -> None:
    with pytest.raises(InexpressibleError, match=why):
        step_for(plan_for(**option), EVEN)


def test_what_has_no_account_is_refused() -> None:
    plan = plan_for()
    with pytest.raises(InexpressibleError, match="Apple"):
        step_for(plan_for("mps"), EVEN)
    older = plan.model_copy(
        update={"environment": EnvironmentStep(device="cuda", packages={"trl": "1.14.0"})}
    )
    with pytest.raises(InexpressibleError, match=r"TRL before 1\.15"):
        step_for(older, EVEN)
    peft: dict[str, Any] = {
        **(plan.tune.peft if plan.tune and plan.tune.peft else {}),
        "layer_replication": [[0, 2]],
    }
    with pytest.raises(InexpressibleError, match="layer_replication"):
        step_for(plan.model_copy(update={"tune": TuneStep(method="lora", peft=peft)}), EVEN)


def test_every_option_of_a_plan_is_heeded_or_takes_no_memory() -> None:
    """The whole of TRL's fields that a recipe may set are told apart; none passes unseen."""
    taking = {"loss_type", "use_liger_kernel", "optim", *REASONS, "liger_kernel_config"}
    for name in set(config_fields("trl:SFTConfig")) - {*OWNED, *OF_TRL, *SFT_OWNED} - taking:
        known = name in HEEDED or name.startswith(NEUTRAL)
        try:
            step_for(plan_for(**{name: "set"}), EVEN)
        except InexpressibleError:
            assert not known, name
        else:
            assert known, name


def test_a_base_in_few_bits_has_adapters_in_bfloat16() -> None:
    plan = plan_for()
    assert plan.tune is not None
    few = plan.tune.model_copy(update={"method": "qlora", "quantise": QuantiseStep(kind="nf4", double=True)})
    step = step_for(plan.model_copy(update={"tune": few}), EVEN)
    assert step.quantisation is not None
    how = step.quantisation
    assert (how.kind, how.double, how.upcast) == ("nf4", True, False)
    assert (step.tuning.dtype, step.optimizer.state) == ("bfloat16", "bfloat16")


def test_the_last_layers_are_modelled_and_others_refused() -> None:
    def of(**unfrozen: Any) -> TrainingStep:
        tune = TuneStep(method="freeze", peft=None, unfrozen=UnfrozenStep(**unfrozen))
        return step_for(plan_for().model_copy(update={"tune": tune}), EVEN)

    tuning = of(last=2, head=True).tuning
    assert (tuning.method, tuning.layers, tuning.head, tuning.embedding) == ("freeze", 2, True, False)
    for other in ({"first": 1}, {"norms": True}, {"modules": ("mlp",)}):
        with pytest.raises(InexpressibleError, match="not modelled"):
            of(**other)
