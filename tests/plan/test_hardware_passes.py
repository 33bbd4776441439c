"""What a plan chooses for the GPU that the recipe names, or that this machine has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plan_facts import context_of

from ftc.facts.machine import CudaDevice
from ftc.plan.context import Outcome
from ftc.plan.pipeline import run_passes
from ftc.plan.steps import Plan

ROWS = {"prompt": "VARCHAR", "completion": "VARCHAR"}
FULL = '[tune]\nmethod = "full"\n'
T4 = CudaDevice("Tesla T4", 15_655_239_680, (7, 5))
L4 = CudaDevice("NVIDIA L4", 23_655_000_000, (8, 9))


def planned(directory: Path, extra: str, own: CudaDevice | None = None) -> Outcome:
    context = context_of(directory, ROWS, extra)
    if own is not None:
        context = replace(context, facts=replace(context.facts, device="cuda", gpu=own))
    outcome = run_passes(Plan(name="x", seed=0), context)
    assert outcome.findings == ()
    return outcome


def reason(plan: Plan, key: str) -> str:
    return next(choice.reason for choice in plan.choices if choice.key == key)


def parts(plan: Plan) -> tuple[str, str]:
    assert plan.environment is not None
    assert plan.model is not None
    return plan.environment.device, plan.model.dtype


@pytest.mark.parametrize(
    ("extra", "dtype", "why"),
    [
        ('[hardware]\ngpu = "l40s"\n', "bfloat16", "usual precision"),
        ('[hardware]\ngpu = "T4"\n', "float16", "T4 has no bfloat16"),
        (FULL + '[hardware]\ngpu = "T4"\n', "float32", "too coarse"),
        ('[hardware]\ngpu = "auto"\n', "bfloat16", "usual precision"),
    ],
)
def test_a_named_gpu_decides_device_and_precision(tmp_path: Path, extra: str, dtype: str, why: str) -> None:
    plan = planned(tmp_path, extra).plan
    assert parts(plan) == ("cuda", dtype)
    assert why in reason(plan, "model.dtype")
    named = {"l40s": "L40S", "T4": "T4", "auto": "a GPU"}[extra.split('"')[-2]]
    assert reason(plan, "train.device") == f"hardware.gpu asks for {named}"


@pytest.mark.parametrize(
    ("extra", "bf16", "fp16"),
    [
        ('[hardware]\ngpu = "L4"\n', True, False),
        ('[hardware]\ngpu = "T4"\n', False, True),
        (FULL + '[hardware]\ngpu = "T4"\n', False, False),
        ("", False, False),
    ],
)
def test_float16_is_trained_with_a_scaled_loss(tmp_path: Path, extra: str, bf16: bool, fp16: bool) -> None:
    plan = planned(tmp_path, extra).plan
    assert plan.train is not None
    assert (plan.train.arguments["bf16"], plan.train.arguments["fp16"]) == (bf16, fp16)


def test_what_the_recipe_states_holds(tmp_path: Path) -> None:
    plan = planned(tmp_path, '[train]\ndevice = "cuda"\n[hardware]\ngpu = "T4"\n').plan
    assert parts(plan) == ("cuda", "float16")
    assert "train.device" not in {choice.key for choice in plan.choices}


@pytest.mark.parametrize(
    ("own", "extra", "dtype"),
    [
        (T4, "", "float16"),
        (T4, FULL, "float32"),
        (L4, "", "bfloat16"),
        (T4, '[hardware]\ngpu = "H100"\n', "bfloat16"),  # the plan is for another GPU
        (L4, '[hardware]\ngpu = "V100-16GB"\n', "float16"),
        (T4, '[hardware]\ngpu = "auto"\n', "bfloat16"),
    ],
)
def test_this_machines_own_gpu_counts_where_none_is_named(
    tmp_path: Path, own: CudaDevice, extra: str, dtype: str
) -> None:
    assert parts(planned(tmp_path, extra, own).plan) == ("cuda", dtype)


def test_prices_and_budget_are_no_part_of_the_plan(tmp_path: Path) -> None:
    plans = [
        planned(tmp_path, '[hardware]\ngpu = "L4"\n' + extra).plan
        for extra in ("", "prices.L4 = 0.5\n", "headroom = 0.2\n[budget]\nmax_cost = 3.0\n")
    ]
    assert plans[0] == plans[1] == plans[2]
