"""Steps of encoders that make embeddings: the closed form, the abstract run, and the runtime's own step."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from estimate.real_plans import Case, measured, plan_of, rows
from estimate.test_abstract import one_thread
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.closed_form import estimate
from ftc.estimate.flops import BOTH_WAYS, Amounts, Attends, step_flops
from ftc.estimate.lowering import training_step
from ftc.estimate.step import Batch, Loss, Objective, Optimizer, TrainingStep, Tuning
from ftc.facts.machine import package_versions
from ftc.plan.steps import Plan
from models import write_tiny_encoder
from tiny_plan import Tiny, write_part

__all__ = ["one_thread"]

pytest.importorskip("sentence_transformers")
pytestmark = pytest.mark.filterwarnings("ignore")
MINILM: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
XLM = {**MINILM, "model_type": "xlm-roberta", "max_position_embeddings": 514, "type_vocab_size": 1}
SMALL = {**MINILM, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "vocab_size": 2000}
SMALL |= {"num_attention_heads": 4}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MIXED: dict[str, Any] = {"autocast": "bfloat16"}
TRIPLET, CONTRASTIVE = Loss(kernel="triplet"), Loss(kernel="contrastive")
STEPS: dict[str, tuple[dict[str, Any], int, dict[str, Any]]] = {
    "float32": (MINILM, 2, {}),
    "autocast": (MINILM, 2, MIXED),
    "autocast, equal rows": (MINILM, 3, {**MIXED, "attention": "flash", "batch": Batch(rows=32, length=64)}),
    "bfloat16": (MINILM, 2, {"weights": "bfloat16", "optimizer": Optimizer(state="bfloat16")}),
    "bfloat16 under autocast": (
        MINILM,
        2,
        {**MIXED, "weights": "bfloat16", "optimizer": Optimizer(state="bfloat16")},
    ),
    "triplets": (MINILM, 3, {"loss": TRIPLET}),
    "triplets, accumulated": (
        MINILM,
        3,
        {"loss": TRIPLET, "batch": Batch(rows=4, length=32, padded=True, accumulated=True)},
    ),
    "contrastive": (MINILM, 4, {**MIXED, "loss": CONTRASTIVE}),
    "xlm-roberta": (XLM, 3, {}),
    "roberta, small batch": ({**XLM, "model_type": "roberta"}, 2, {"batch": Batch(rows=2, length=16)}),
    "long": (MINILM, 2, {"batch": Batch(rows=16, length=400, padded=True)}),
    "on the CPU": (MINILM, 2, {"backend": "cpu", "attention": "math", "optimizer": Optimizer(form="loop")}),
}


def step_of(config: dict[str, Any], texts: int, changes: dict[str, Any]) -> TrainingStep:
    """A step of full fine-tuning over padded texts."""
    return TrainingStep(
        config=config,
        tuning=Tuning(method="full"),
        **{
            "batch": Batch(rows=16, length=64, padded=True),
            "weights": "float32",
            "attention": "efficient",
            "objective": Objective(kind="embedding", texts=texts),
            "loss": Loss(kernel="in_batch"),
            **changes,
        },
    )


@pytest.mark.parametrize("name", STEPS)
def test_the_closed_form_agrees_with_the_abstract_run(name: str) -> None:
    from ftc.estimate.abstract.depth import predict

    step = step_of(*STEPS[name])
    phases = predict(step, step.backend).phases
    segments = estimate(step).segments
    assert estimate(step).peak == pytest.approx(max(peak.size for peak in phases.values()), rel=0.005)
    assert segments["optimizer step"] == pytest.approx(phases["optimizer"].size, rel=0.002)
    assert segments["backward"] == pytest.approx(phases["backward"].size, rel=0.01)


@dataclass(frozen=True)
class Texts:
    """A plan over rows of so many texts, each of the row's length."""

    texts: int = 2
    loss: str = "in_batch"
    config: dict[str, Any] = field(default_factory=lambda: SMALL)
    lengths: tuple[int, ...] = (120, 61, 90, 120, 47, 113, 120, 76)
    held_out: tuple[int, ...] = ()

    def written(self, lengths: tuple[int, ...]) -> list[dict[str, Any]]:
        made = rows(lengths, 1, self.config["vocab_size"])
        return [
            {
                **row,
                "input_ids": row["input_ids"] * self.texts,
                "mask": [False] * len(row["mask"]) * self.texts,
                "lengths": [len(row["input_ids"])] * self.texts,
                "prompt_length": None,
                "target": None,
            }
            for row in made
        ]


CASES = {
    "pairs": Texts(),
    "triplets": Texts(texts=3, loss="triplet"),
    "triplets in a batch, equal rows": Texts(texts=3, lengths=(100,) * 8),
    "contrastive": Texts(texts=3, loss="contrastive"),
    "without dropout": Texts(config={**SMALL, **STILL}),
    "xlm-roberta": Texts(config={**SMALL, "model_type": "xlm-roberta", "pad_token_id": 1}),
    "evaluated": Texts(held_out=(120,) * 12, lengths=(60,) * 8),
}


def written(directory: Path, case: Texts) -> tuple[Tiny, Plan]:
    """A sentence-transformers directory of random weights, and the plan of full fine-tuning on it."""
    from transformers import AutoConfig, AutoModel

    model = directory / "model"
    write_tiny_encoder(model)
    AutoModel.from_config(AutoConfig.for_model(**case.config)).save_pretrained(model)
    pooling = {"word_embedding_dimension": case.config["hidden_size"], "pooling_mode_mean_tokens": True}
    (model / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    parts = [
        write_part(directory / "data", name, case.written(lengths)) if lengths else None
        for name, lengths in (("train", case.lengths), ("eval", case.held_out))
    ]
    assert parts[0] is not None
    tiny = Tiny(directory, model, parts[0], parts[1])
    objective = {"name": "embedding", "loss": case.loss}
    asked = Case(method="full", objective=objective, lengths=case.lengths, prompt=1, metrics=("mrr",))
    plan = plan_of(tiny, case.config, asked, package_versions())
    assert plan.render is not None
    members = plan.render.members[: case.texts]
    return tiny, plan.model_copy(update={"render": plan.render.model_copy(update={"members": members})})


@pytest.mark.parametrize("name", CASES)
def test_the_runtime_takes_what_the_plans_step_says(name: str, tmp_path: Path) -> None:
    from ftc.estimate.abstract.depth import predict

    case = CASES[name]
    tiny, plan = written(tmp_path, case)
    step = training_step(plan, case.config)
    real = measured(tiny, plan, tmp_path / "run")
    found = predict(step, "cpu")
    phases = ("forward", "backward", "optimizer")
    exact = max(found.phases[phase].size for phase in phases)
    assert exact == pytest.approx(real["train"], rel=1e-3)
    segments = estimate(step).segments
    trained = max(size for segment, size in segments.items() if segment not in ("load", "save", "evaluation"))
    assert trained == pytest.approx(real["train"], rel=0.01)
    if case.held_out:
        assert found.phases["evaluation"].size == pytest.approx(max(real["before"], real["after"]), rel=0.01)
        assert segments["evaluation"] == pytest.approx(found.phases["evaluation"].size, rel=0.01)


@pytest.mark.parametrize("texts", [2, 3])
def test_operations_are_counted_as_pytorch_counts_them(texts: int) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from ftc.estimate.abstract.loss import criterion, inputs
    from ftc.estimate.abstract.model import prepared, skeleton

    step = step_of({**SMALL, **STILL}, texts, {"batch": Batch(rows=8, length=64), "backend": "cpu"})
    model = prepared(skeleton(step, device="cpu", backend="cpu", attention="eager"), step)
    loss = criterion(model, step)
    with FlopCounterMode(display=False) as counter:
        loss(model, inputs(step, 8, 64, "cpu")).backward()
    tokens = float(8 * 64 * texts)
    pairs = Attends.of(BOTH_WAYS, masked=False).pairs([64] * 8 * texts)
    counted = step_flops(step.model_copy(update={"attention": "eager"})).training
    predicted = counted.of(Amounts(tokens, pairs, tokens)).total
    assert predicted == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_what_is_not_modelled_is_refused(tmp_path: Path) -> None:
    _, plan = written(tmp_path, Texts())
    with pytest.raises(InexpressibleError, match="model type mpnet"):
        estimate(training_step(plan, {**SMALL, "model_type": "mpnet"}))
    assert plan.train is not None
    arguments = {**plan.train.arguments, "gradient_checkpointing": True}
    again = plan.model_copy(update={"train": plan.train.model_copy(update={"arguments": arguments})})
    with pytest.raises(InexpressibleError, match="without checkpointing"):
        training_step(again, SMALL)
