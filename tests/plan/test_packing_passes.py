"""Whether rows are packed, how long sequences are, and what a step takes then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plan_facts import COMPILED, context_of

from ftc.plan.context import Outcome
from ftc.plan.pipeline import run_passes
from ftc.plan.steps import DataStep, Part, Plan
from ftc.plan.verify import InvalidPlanError, verify

TEXT = {"text": "VARCHAR"}
PACKED = "[data]\npacking = true\n"


def data_of(rows: int, mean: int, longest: int, repeats: int = 0) -> DataStep:
    """Compiled rows of some lengths, nothing held out."""
    part: Part = COMPILED.train.model_copy(
        update={
            "shards": (COMPILED.train.shards[0].model_copy(update={"rows": rows}),),
            "rows": rows,
            "tokens": rows * mean,
            "trained_tokens": rows,
            "longest": longest,
            "shortest": 1,
            "repeats": repeats,
        }
    )
    ledger = COMPILED.ledger.model_copy(update={"read": rows, "train": rows, "eval": 0})
    return COMPILED.model_copy(update={"train": part, "eval": None, "ledger": ledger})


def planned(
    directory: Path, extra: str, data: DataStep, *, device: str = "cpu", kind: str = "LlamaForCausalLM"
) -> Outcome:
    context = context_of(directory, TEXT, extra, data)
    config = {**context.facts.model.config, "architectures": [kind], "max_position_embeddings": 65_536}
    model = replace(context.facts.model, config=config)
    model.__dict__.update(context.facts.model.__dict__ | {"config": config})
    facts = replace(context.facts, model=model, device=device)
    return run_passes(Plan(name="x", seed=0), replace(context, facts=facts))


def chosen(plan: Plan) -> dict[str, Any]:
    return {choice.key: (choice.value, choice.reason) for choice in plan.choices}


SOME = data_of(1000, 400, 3000)


@pytest.mark.parametrize(
    ("device", "kind", "extra", "packed", "reason"),
    [
        ("cpu", "LlamaForCausalLM", "", False, "gains nothing on the CPU"),
        ("mps", "LlamaForCausalLM", "", False, "gain on mps is unknown"),
        ("cuda", "LlamaForCausalLM", "", True, "nothing is padded"),
        ("cuda", "LlamaForCausalLM", "[train]\nbatch = 8\n", False, "train.batch counts rows"),
        ("cuda", "GptOssForCausalLM", "", False, "would see packed rows as one"),
        ("cuda", "MambaForCausalLM", "", False, "carries state"),
    ],
)
def test_packing_is_chosen_by_device_model_and_batch(
    tmp_path: Path, device: str, kind: str, extra: str, packed: bool, reason: str
) -> None:
    outcome = planned(tmp_path, extra, SOME, device=device, kind=kind)
    assert outcome.findings == ()
    value, why = chosen(outcome.plan)["data.packing"]
    assert value is packed
    assert reason in why
    assert outcome.plan.packing is not None
    assert outcome.plan.packing.packed is packed
    assert outcome.plan.data is not None
    assert (outcome.plan.data.sequences is not None) is packed


def test_what_the_recipe_says_holds_and_is_no_choice(tmp_path: Path) -> None:
    on = planned(tmp_path, PACKED, SOME)
    off = planned(tmp_path, "[data]\npacking = false\n", SOME, device="cuda")
    for outcome, packed in ((on, True), (off, False)):
        assert outcome.findings == ()
        assert outcome.plan.packing is not None
        assert outcome.plan.packing.packed is packed
        assert "data.packing" not in chosen(outcome.plan)


@pytest.mark.parametrize("kind", ["GptOssForCausalLM", "MambaForCausalLM", "OtherForCausalLM"])
def test_a_model_that_cannot_is_refused_before_the_rows_are_compiled(tmp_path: Path, kind: str) -> None:
    outcome = planned(tmp_path, PACKED, SOME, kind=kind)
    (finding,) = outcome.findings
    assert finding.code == "FTC508"
    assert finding.span is not None
    assert finding.span.place.endswith("recipe.toml:5:11")
    assert "write packing = false" in finding.help[0]
    assert outcome.plan.data is None


@pytest.mark.parametrize(
    ("limit", "batch", "mean", "longest", "capacity"),
    [
        (2048, 4, 300, 900, 2048),  # data.max_length
        (16_384, 4, 300, 900, 4096),  # more would gain nothing
        (16_384, 4, 3000, 9000, 9000),  # the longest row
        (16_384, None, 300, 900, 4096),
        (16_384, None, 20, 70, 320),  # about 16 rows, as many as a step takes
        (16_384, None, 20, 700, 700),
        (256, None, 20, 70, 256),
    ],
)
def test_how_long_sequences_are(
    tmp_path: Path, limit: int, batch: int | None, mean: int, longest: int, capacity: int
) -> None:
    extra = f"[data]\npacking = true\nmax_length = {limit}\n"
    extra += f"[train]\nbatch = {batch}\n" if batch else ""
    plan = planned(tmp_path, extra, data_of(1000, mean, longest)).plan
    assert plan.data is not None
    assert plan.data.sequences is not None
    assert plan.data.sequences.capacity == capacity
    assert ("packing.tokens" in chosen(plan)) == (capacity != limit)


def test_a_step_takes_sequences(tmp_path: Path) -> None:
    """A stated batch counts sequences; without one a step takes about as many rows as it would unpacked."""
    data = data_of(1000, 400, 3000)  # 400,000 tokens: 98 sequences of 10.2 rows in 4,096 tokens
    stated = planned(tmp_path, PACKED + "[train]\nbatch = 7\nepochs = 2\n", data).plan.train
    assert stated is not None
    assert (stated.batch, stated.micro_batch, stated.accumulation, stated.steps) == (7, 1, 7, 28)
    plan = planned(tmp_path, PACKED, data).plan
    assert plan.train is not None
    assert (plan.train.batch, plan.train.micro_batch) == (2, 1)
    assert chosen(plan)["train.batch"] == (2, "sequences, of about 10.2 rows each; 16 rows a step are usual")
    assert plan.train.arguments["gradient_accumulation_steps"] == 2
    several = planned(tmp_path, PACKED + "[train]\nmicro_batch = 4\n", data).plan.train
    assert several is not None
    assert (several.batch, several.micro_batch) == (4, 4)


def test_short_sequences_go_together_up_to_a_moderate_number_of_tokens(tmp_path: Path) -> None:
    extra = "[data]\npacking = true\nmax_length = 512\n[train]\nbatch = 16\n"
    train = planned(tmp_path, extra, data_of(1000, 100, 500)).plan.train
    assert train is not None
    assert (train.batch, train.micro_batch) == (16, 8)


def test_repeated_rows_are_laid_out_without_packing(tmp_path: Path) -> None:
    plan = planned(tmp_path, "[train]\nbatch = 10\nepochs = 1\n", data_of(100, 40, 90, repeats=50)).plan
    assert plan.data is not None
    assert plan.data.sequences is not None
    assert plan.data.sequences.capacity is None
    assert plan.data.sequences.rows == 150
    assert plan.train is not None
    assert (plan.train.batch, plan.train.steps) == (10, 15)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rows": 999}, "every row as often as it is used"),
        ({"count": 2000}, "a sequence or a row is empty"),
        ({"longest": 5000}, "longer than the capacity"),
        ({"capacity": None}, "not laid out as was decided"),
    ],
)
def test_sequences_that_cannot_be_true_are_found(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    plan = planned(tmp_path, PACKED, SOME).plan
    assert plan.data is not None
    assert plan.data.sequences is not None
    verify(plan, "end")
    wrong = plan.data.model_copy(update={"sequences": plan.data.sequences.model_copy(update=change)})
    with pytest.raises(InvalidPlanError, match=problem):
        verify(plan.model_copy(update={"data": wrong}), "end")
    missing = plan.data.model_copy(update={"sequences": None})
    with pytest.raises(InvalidPlanError, match="not laid out in sequences"):
        verify(plan.model_copy(update={"data": missing}), "end")
