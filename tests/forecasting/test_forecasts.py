"""Forecasts of real plans: the device of the plan, other GPUs, budgets, and a GPU that is left open."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.diagnostics import Severity
from ftc.estimate.catalogue import devices, find
from ftc.estimate.forecast import Forecast, Forecasts, by_cost
from ftc.forecasting import forecaster
from ftc.jobs.results import PlanResult
from ftc.launch import abstract_runs

RECIPE = """
[model]
base = "{model}"

[data]
sources.rows = "rows.jsonl"
query = "select prompt, completion from rows"
split = {{ eval = 0.2 }}

[render]
chat = false
{rest}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A directory with a recipe and its rows; they are compiled once."""
    directory = tmp_path_factory.mktemp("forecasts")
    rows = [
        {"prompt": f"the capital of {n} {'and more ' * (n % 7)}", "completion": f" city {n % 5}"}
        for n in range(120)
    ]
    (directory / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    write(directory, tiny_model, "")
    return directory


def write(directory: Path, model: Path, rest: str) -> Path:
    path = directory / "recipe.toml"
    path.write_text(RECIPE.format(model=model, rest=rest), encoding="utf-8")
    return path


@pytest.fixture
def planned(here: Path, tiny_model: Path) -> Any:
    def plan(rest: str = "", **options: Any) -> PlanResult:
        return api.plan(write(here, tiny_model, rest), **options)

    return plan


def forecasts(result: PlanResult) -> Forecasts:
    assert result.forecasts is not None, result.findings
    return result.forecasts


def errors(result: PlanResult) -> list[str]:
    return [finding.code for finding in result.findings if finding.severity == Severity.ERROR]


def test_this_machine_has_memory_and_its_time_is_unknown_until_it_is_measured(planned: Any) -> None:
    own = forecasts(planned()).own
    assert own.here
    assert own.memory is not None
    assert 0 < own.memory.peak <= own.memory.allocated < own.memory.needed
    assert own.memory.verdict == "fits"
    assert sum(own.memory.breakdown.values()) == own.memory.peak
    assert (own.duration, own.cost) == (None, None)
    assert "ftc calibrate" in own.unknown[0]


def test_the_cheapest_gpus_are_shown_and_the_others_counted(planned: Any) -> None:
    found = forecasts(planned())
    costs = [one.cost.likely for one in found.others if one.cost]
    assert len(found.others) == forecaster.SHOWN == len(costs)
    assert costs == sorted(costs)
    assert len(found.others) + len(found.unlisted) == len(devices())
    assert max(costs) <= min(one.cost.likely for one in by_cost(found.unlisted) if one.cost)


def test_gpus_by_name_all_or_none(planned: Any) -> None:
    assert [one.device for one in forecasts(planned(gpus=("h200-141gb-sxm", "L4"))).others] == [
        "H200-141GB-SXM",
        "L4",
    ]
    assert [one.device for one in forecasts(planned(gpus=("all",))).others] == list(devices())
    assert forecasts(planned(gpus=None)).others == ()


@pytest.mark.parametrize("name", ["T4", "L4", "H100-80GB-SXM", "MI300X-192GB"])
def test_another_gpu_is_forecast_as_it_would_be_planned(planned: Any, name: str) -> None:
    (beside,) = forecasts(planned(gpus=(name,))).others
    own = forecasts(planned(f'[hardware]\ngpu = "{name}"', gpus=None)).own
    assert beside == own
    assert own.settings["dtype"] == ("float16" if name == "T4" else "bfloat16")


def test_a_stated_price_is_the_price(planned: Any) -> None:
    own = forecasts(planned('[hardware]\ngpu = "MI210"\nprices."MI210" = 3.6')).own
    assert own.duration is not None
    assert own.cost is not None
    assert own.cost.likely == pytest.approx(own.duration.total.likely / 1000)


@pytest.mark.parametrize(("key", "limit"), [("max_cost", 0.00001), ("max_hours", 0.0001)])
def test_a_budget_that_is_exceeded_fails_the_plan(planned: Any, key: str, limit: float) -> None:
    hardware = '[hardware]\ngpu = "L4"\n'
    result = planned(f"{hardware}[budget]\n{key} = {limit}")
    assert errors(result) == ["FTC890"]
    (finding,) = [one for one in result.findings if one.code == "FTC890"]
    assert finding.span is not None
    assert finding.span.source.text[finding.span.start : finding.span.end] == str(limit)
    assert "on L4" in finding.message
    assert planned(f"{hardware}[budget]\n{key} = 1000").ok


def test_a_budget_that_cannot_be_compared_is_a_warning(planned: Any) -> None:
    result = planned("[budget]\nmax_cost = 5\nmax_hours = 1")
    assert result.ok
    said = [one for one in result.findings if one.code == "FTC891"]
    assert [one.severity for one in said] == [Severity.WARNING] * 2
    assert 'prices."this machine"' not in " ".join(line for one in said for line in one.help)


def test_a_gpu_that_is_left_open_is_the_cheapest_that_fits(planned: Any) -> None:
    every = forecasts(planned(gpus=("all",))).others
    wanted = by_cost(every)[0]
    found = forecasts(planned('[hardware]\ngpu = "auto"'))
    assert found.own.device == wanted.device
    assert found.own.memory == wanted.memory
    (choice,) = found.chosen
    assert (choice.key, choice.value) == ("hardware.gpu", wanted.device)
    assert f"next {by_cost(every)[1].device}" in choice.reason


def test_no_gpu_within_the_budget_is_an_error(planned: Any) -> None:
    result = planned('[hardware]\ngpu = "auto"\n[budget]\nmax_hours = 0.0001')
    assert errors(result) == ["FTC892"]
    (finding,) = [one for one in result.findings if one.code == "FTC892"]
    assert any(note.startswith("fastest: ") for note in finding.notes)


def test_a_sample_evaluates_as_many_rows_as_all(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = forecasts(planned('[hardware]\ngpu = "L4"\n[eval]\nmetrics = ["loss"]')).own
    some = forecasts(planned('[hardware]\ngpu = "L4"\n[eval]\nmetrics = ["loss"]', sample=60)).own
    assert whole.duration is not None
    assert some.duration is not None
    before = [one.duration.parts["evaluation before"].likely for one in (whole, some) if one.duration]
    assert before[1] == pytest.approx(before[0], rel=0.5)


def test_the_step_is_run_abstractly_once(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = forecasts(planned(exact=True)).own
    assert own.exact is not None
    assert own.memory is not None
    assert own.exact.allocated == pytest.approx(own.memory.peak, rel=0.03)
    assert own.exact.packages["torch"]
    monkeypatch.setattr(subprocess, "Popen", None)
    assert forecasts(planned(exact=True)).own.exact == own.exact


OFT = '[train]\nmicro_batch = "auto"\n[hardware]\ngpu = "L4"\n[tune]\nmethod = "oft"\nblock = 4'


def test_what_the_closed_form_has_no_account_of_is_run_abstractly(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = planned(OFT)
    own = forecasts(result).own
    assert own.memory is not None
    assert own.memory.verdict == "fits"
    assert own.duration is not None
    assert own.cost is not None
    assert result.plan is not None
    chosen = {choice.key: choice.reason for choice in result.plan.choices}
    assert "OFTConfig" in chosen["memory estimate"]
    assert (
        "the largest part" in chosen["train.micro_batch"] or "the whole batch" in chosen["train.micro_batch"]
    )
    monkeypatch.setattr(subprocess, "Popen", None)
    assert forecasts(planned(OFT)).own == own


def test_what_the_abstract_run_refuses_is_said(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = '{"unknown": "the attention kernel is odd"}'
    command = ["-c", f"import sys; sys.stdin.readline(); print({answer!r})"]
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words, **more: start([words[0], *command], **more))
    monkeypatch.setattr(abstract_runs, "KIND", "abstract-refused")
    found = forecasts(planned(exact=True)).own.exact
    assert found is not None
    assert found.allocated is None
    assert "the attention kernel is odd" in found.unknown


def large(model: Path, directory: Path) -> Path:
    """The tiny model with the shapes of one of 70 billion weights; a plan reads no weights."""
    shutil.copytree(model, directory)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    sizes = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "head_dim": 128}
    heads = {"num_attention_heads": 64, "num_key_value_heads": 8}
    (directory / "config.json").write_text(json.dumps(config | sizes | heads), encoding="utf-8")
    return directory


def test_a_device_that_is_too_small_has_its_peak(here: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = large(tiny_model, tmp_path / "large")
    result = api.plan(write(here, model, ""), gpus=("T4", "B200-180GB"))
    small, roomy = forecasts(result).others
    assert small.memory is not None
    assert roomy.memory is not None
    assert (small.memory.verdict, small.fits) == ("no", False)
    assert (roomy.memory.verdict, roomy.fits) == ("fits", True)
    assert small.memory.peak > 130e9 > find_memory("T4")
    assert any("does not fit" in why for why in small.unknown)
    chosen = api.plan(write(here, model, '[hardware]\ngpu = "auto"'))
    assert forecasts(chosen).own.fits
    assert forecasts(chosen).own.device in {one.device for one in by_cost(every(here, model))}


def every(here: Path, model: Path) -> tuple[Forecast, ...]:
    return forecasts(api.plan(write(here, model, ""), gpus=("all",))).others


def find_memory(name: str) -> int:
    device = find(name)
    assert device is not None
    return device.memory


LOADED = """
import sys
from ftc.cli.main import run
assert run(["plan", sys.argv[1]]) == 0
print(*sorted({"duckdb", "numpy", "pyarrow", "tokenizers", "torch", "transformers"} & set(sys.modules)))
"""


def test_an_unchanged_plan_loads_nothing_that_reads_rows(here: Path, tiny_model: Path) -> None:
    recipe = write(here, tiny_model, "")
    api.plan(recipe)
    command = [sys.executable, "-c", LOADED, str(recipe)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == ""
