"""Options of training beside batch and rate: what the plan makes of them, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plan_facts import context_of, plan_of

from ftc.diagnostics import Severity
from ftc.facts.kernels import Kernels, find_kernels, model_types
from ftc.plan.context import Context
from ftc.plan.pipeline import run_passes
from ftc.plan.steps import Plan, WatchStep

TEXT = {"text": "VARCHAR"}
SPLIT = "[data.split]\neval = 0.2\n"


def chosen(plan: Plan) -> dict[str, object]:
    return {choice.key: choice.value for choice in plan.choices}


def with_kernels(context: Context, kernels: Kernels, device: str = "cuda") -> Context:
    facts = replace(context.facts, kernels=kernels, device=device)
    return replace(context, facts=facts)


def test_a_plan_without_them_says_nothing_of_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TEXT).plan
    assert plan.train is not None
    names = ("label_smoothing_factor", "neftune_noise_alpha", "torch_compile", "use_liger_kernel")
    assert not set(names) & set(plan.train.arguments)
    assert plan.train.watch is None
    assert "train.kernels" not in chosen(plan)


def test_they_become_arguments(tmp_path: Path) -> None:
    outcome = plan_of(tmp_path, TEXT, "[train]\nlabel_smoothing = 0.1\nneftune = 5\n")
    assert outcome.plan.train is not None
    assert outcome.plan.train.arguments["label_smoothing_factor"] == 0.1
    assert outcome.plan.train.arguments["neftune_noise_alpha"] == 5.0
    said = [(finding.code, finding.severity) for finding in outcome.findings]
    assert said == [("FTC551", Severity.NOTE)]


def test_what_is_watched_is_a_step_of_the_plan(tmp_path: Path) -> None:
    written = 'steps = 40\neval_every = 5\nkeep = "best"\nearly_stopping = { patience = 2, min_delta = 0.01 }'
    plan = plan_of(tmp_path, TEXT, f"{SPLIT}[train]\n{written}\n[eval]\nbatch = 3").plan
    assert plan.train is not None
    assert plan.train.watch == WatchStep(every=5, batch=3, patience=2, min_delta=0.01, keep="best")
    assert "train.eval_every" not in chosen(plan)


@pytest.mark.parametrize("written", ['keep = "best"', "early_stopping = {}"])
def test_how_often_is_a_choice_where_something_needs_it(tmp_path: Path, written: str) -> None:
    plan = plan_of(tmp_path, TEXT, f"{SPLIT}[train]\nsteps = 95\n{written}").plan
    assert chosen(plan)["train.eval_every"] == 10
    assert plan.train is not None
    assert plan.train.watch is not None


def test_trackers_are_no_part_of_the_plan(tmp_path: Path) -> None:
    without = plan_of(tmp_path, TEXT).plan
    assert plan_of(tmp_path, TEXT, '[train]\ntrackers = ["tensorboard"]').plan == without


LIGER = Kernels(liger=frozenset({"llama"}))


@pytest.mark.parametrize(
    ("written", "kernels", "device", "taken", "words"),
    [
        ("", LIGER, "cuda", True, "has kernels for llama"),
        ("", Kernels(), "cuda", False, "not installed"),
        ("", Kernels(liger=frozenset({"qwen3"})), "cuda", False, "no kernels for llama"),
        ('kernels = "auto"', LIGER, "cpu", False, "run on GPUs"),
    ],
)
def test_kernels_are_a_choice_with_a_reason(
    tmp_path: Path, written: str, kernels: Kernels, device: str, taken: bool, words: str
) -> None:
    context = with_kernels(context_of(tmp_path, TEXT, f"[train]\n{written}"), kernels, device)
    plan = run_passes(Plan(name="x", seed=0), context).plan
    said = next(choice for choice in plan.choices if choice.key == "train.kernels")
    assert said.value == ("liger" if taken else "none")
    assert words in said.reason
    assert plan.train is not None
    assert plan.train.arguments.get("use_liger_kernel", False) is taken


def test_stated_kernels_are_no_choice_and_refused_where_they_are_not_there(tmp_path: Path) -> None:
    stated = context_of(tmp_path, TEXT, '[train]\nkernels = "liger"')
    plan = run_passes(Plan(name="x", seed=0), with_kernels(stated, LIGER)).plan
    assert "train.kernels" not in chosen(plan)
    for kernels, device in ((Kernels(), "cuda"), (LIGER, "cpu")):
        outcome = run_passes(Plan(name="x", seed=0), with_kernels(stated, kernels, device))
        assert [finding.code for finding in outcome.findings] == ["FTC552"]


def test_compiling_on_the_cpu_needs_a_compiler(tmp_path: Path) -> None:
    context = context_of(tmp_path, TEXT, "[train]\ncompile = true")
    without = run_passes(Plan(name="x", seed=0), with_kernels(context, Kernels(), "cpu"))
    assert [finding.code for finding in without.findings] == ["FTC552"]
    found = run_passes(Plan(name="x", seed=0), with_kernels(context, Kernels(compiler="g++"), "cpu"))
    assert found.plan.train is not None
    assert found.plan.train.arguments["torch_compile"] is True


def test_the_compiler_and_ligers_table_are_read_from_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert find_kernels().compiler == str(compiler)
    table = 'MODEL_TYPE_TO_APPLY_LIGER_FN = {"llama": f, "qwen3": g}\nOTHER = {"x": 1}\n'
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers/monkey_patch.py").write_text(table)
    assert model_types(tmp_path) == {"llama", "qwen3"}


PAIRS = {"prompt": "VARCHAR", "chosen": "VARCHAR", "rejected": "VARCHAR"}


def test_preferences_have_no_loss_of_tokens(tmp_path: Path) -> None:
    outcome = plan_of(tmp_path, PAIRS, f'{SPLIT}[train]\nobjective = "dpo"\nlabel_smoothing = 0.1')
    assert [finding.code for finding in outcome.findings] == ["FTC551"]
    assert "about the next token" in outcome.findings[0].message


@pytest.mark.parametrize("written", ["eval_every = 2", 'keep = "best"'])
def test_what_has_a_held_out_loss_is_watched(tmp_path: Path, written: str) -> None:
    outcome = plan_of(tmp_path, PAIRS, f'{SPLIT}[train]\nobjective = "dpo"\n{written}')
    assert outcome.findings == ()
    assert outcome.plan.train is not None
    assert outcome.plan.train.watch is not None


def test_what_is_not_deterministic_is_named(tmp_path: Path) -> None:
    """On the CPU there is nothing to name, so plans for it keep their bytes."""
    here = plan_of(tmp_path, TEXT).plan.train
    assert here is not None
    assert (here.deterministic, here.varies) == (True, ())
    assert not {"deterministic", "varies"} & set(here.model_dump(mode="json"))
    context = with_kernels(context_of(tmp_path, TEXT, "[train]\ncompile = true\n"), LIGER)
    plan = run_passes(Plan(name="x", seed=0), context).plan
    assert chosen(plan)["train.deterministic"] is True
    assert plan.train is not None
    assert [name.split()[0] for name in plan.train.varies] == ["another", "Liger's", "kernels"]
    context = with_kernels(context_of(tmp_path, TEXT, "[train]\ndeterministic = false\n"), LIGER)
    plan = run_passes(Plan(name="x", seed=0), context).plan
    assert plan.train is not None
    assert "sums in any order" in plan.train.varies
    assert plan.train.model_dump(mode="json")["deterministic"] is False
    assert "train.deterministic" not in chosen(plan)
