"""`ftc runs` and `ftc watch` over runs written by hand: whole, running, stopped, damaged."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.artifact.events import EVENTS, recorded
from ftc.artifact.preparing import Noted
from ftc.artifact.run_directory import MANIFEST
from ftc.artifact.run_list import builder, directories, read_run
from ftc.cli.main import run
from ftc.facts.cache import cache_root
from ftc.runtime.events import Done, Failed, Phase, Step, Stopped

NOBODY = 2**22 - 7
"""A number that no process has here."""


def plan(name: str, steps: int = 40) -> dict[str, Any]:
    model = {"location": "acme/small-base-of-135M-Instruct"}
    tune, train = {"method": "lora"}, {"steps": steps}
    return {"name": name, "model": model, "objective": {"name": "sft"}, "tune": tune, "train": train}


def suite(before: float | None, after: float | None, *, passed: bool = True) -> dict[str, Any]:
    def figure(value: float | None) -> dict[str, float] | None:
        return None if value is None else {"value": value, "low": value, "high": value}

    metric = {"metric": "exact_match", "better": "higher", "before": figure(before), "after": figure(after)}
    gates = [{"metric": "exact_match", "gate": "> base", "passed": passed}]
    return {"suite": "held_out", "rows": 9, "metrics": [metric], "gates": gates, "baselines": []}


def whole(place: Path, name: str, found: dict[str, Any], ended: str) -> None:
    place.mkdir(parents=True)
    (place / "plan.json").write_text(json.dumps(plan(name)))
    (place / "eval.json").write_text(json.dumps({"suites": [found]}))
    (place / "training.json").write_text(json.dumps({"last_step": 40}))
    (place / "timing.json").write_text(json.dumps({"sessions": [{"seconds": 2.0, "ended": ended}]}))
    (place / MANIFEST).write_text("# bytes 1000 2500\n")


def unfinished(place: Path, name: str, step: int, pid: int) -> None:
    place.mkdir(parents=True)
    (place / "plan.json").write_text(json.dumps(plan(name)))
    (place / "metrics.jsonl").write_text("".join(f'{{"step": {n + 1}, "loss": 1.0}}\n' for n in range(step)))
    place.with_name(f".{place.name.removesuffix('.partial')}.lock").write_text(f"{pid}\n")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    place = tmp_path / "project" / "runs" / "tickets"
    whole(place / "1f1c9a0e5b7d2c88", "tickets", suite(0.125, 0.64), "2026-11-21T10:00:00+00:00")
    whole(place / "2a0e5b7d2c884f1c", "tickets", suite(0.125, 0.7, passed=False), "2026-11-22T11:30:00+00:00")
    unfinished(place / "3333333333333333.partial", "tickets", 12, NOBODY)
    unfinished(place / "4444444444444444.partial", "tickets", 3, os.getpid())
    (tmp_path / "project" / "data").mkdir()
    return place


def test_the_table_of_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    head, *lines = shown.splitlines()
    assert head == "project/runs/tickets  sft, lora, small-base-of-135M-Instruct"
    by_plan = {line.split()[0][0]: line for line in lines}
    assert by_plan["1"] == "  1f1c9a0e5b7d2c88  exact match 0.125 → 0.640  gates 1/1  3.5 kB  2026-11-21"
    assert "gates 0/1" in by_plan["2"]
    assert "stopped, step 12 of 40" in by_plan["3"]
    assert "running, step 3 of 40" in by_plan["4"]


def test_runs_in_another_order_and_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "project", "--sort", "metric", "--metric", "held_out.exact_match"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("project/runs/tickets/2a0e5b7d2c884f1c")
    assert run(["runs", "--sort", "ended", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    states = {one["plan"]: one["state"] for one in found["results"]}
    assert sorted(states.values()) == ["running", "unfinished", "whole", "whole"]
    newest = next(one for one in found["results"] if one["state"] == "whole")
    assert (newest["plan"], newest["bytes"], newest["gates"]) == (
        "2a0e5b7d2c884f1c",
        3500,
        {"passed": 0, "of": 1},
    )


def test_a_damaged_run_and_no_run_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "runs" / "x" / "1f1c9a0e5b7d2c88"
    place.mkdir(parents=True)
    (place / "plan.json").write_text("{")
    assert run(["runs", str(tmp_path)]) == 0
    assert "cannot be read" in capsys.readouterr().out
    (tmp_path / "none").mkdir()
    assert run(["runs", str(tmp_path / "none")]) == 0
    assert "no runs here" in capsys.readouterr().err
    assert run(["runs", str(tmp_path / "nowhere")]) == 2


def test_names_of_metrics_cannot_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = suite(0.1, 0.2)
    found["metrics"][0]["metric"] = "\x1b[8mhidden\x1b]0;title\x07"
    whole(tmp_path / "1f1c9a0e5b7d2c88", "\x1b[31mred", found, "2026-11-21T10:00:00+00:00")
    assert run(["runs", str(tmp_path), "--color", "always"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b[8m" not in shown
    assert "\x07" not in shown


def test_runs_are_found_without_looking_into_them(runs: Path) -> None:
    (runs / "1f1c9a0e5b7d2c88" / "inner" / "5555555555555555").mkdir(parents=True)
    (runs / "1f1c9a0e5b7d2c88" / "inner" / "5555555555555555" / "plan.json").write_text("{}")
    assert len(list(directories(runs))) == 4
    assert builder(runs / "4444444444444444.partial") == os.getpid()
    assert read_run(runs / "4444444444444444.partial").step == 3


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def step(number: int) -> Step:
    return Step(number, 40, 1.5, 1e-3, 1.0, 100, 50.0, 3.0)


def test_watching_a_build_to_its_end(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partial = runs / "4444444444444444.partial"
    heard: list[object] = []
    emit = recorded(partial, heard.append)
    emit(Phase("load", "acme/small"))
    emit(step(1))

    def build() -> None:
        time.sleep(0.3)
        emit(step(40))
        emit(Done({}))
        (partial / "eval.json").write_text(json.dumps({"suites": [suite(0.1, 0.2)]}))
        (partial / MANIFEST).write_text("# bytes 1\n")
        partial.rename(runs / "4444444444444444")

    thread = in_thread(build)
    assert run(["watch"]) == 0
    thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tickets  project/runs/tickets/4444444444444444.partial, 40 steps")
    assert lines[1] == "loading the model (acme/small)"
    assert lines[2].startswith("  step  1/40")
    assert lines[3].startswith("  step 40/40")
    assert lines[4] == "built, 1 of 1 gates hold: project/runs/tickets/4444444444444444"
    assert len(heard) == 4


def noted(runs: Path, status: str, act: Callable[[], None]) -> threading.Thread:
    """A build in a thread, from its data on; the place of the recipe is two above its runs."""
    (runs / ".4444444444444444.lock").unlink(missing_ok=True)
    recipe = runs.parent.parent / "recipe.toml"
    recipe.touch()
    note = Noted(cache_root(), recipe, runs.parent, None)
    note("reading sources", 3, 10)

    def build() -> None:
        time.sleep(0.5)
        note("compiling rows", 5, 9)
        time.sleep(0.5)
        act()
        note.close(status)

    return in_thread(build)


def test_watching_a_build_from_its_data_on(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partial = runs / "5555555555555555.partial"

    def train() -> None:
        unfinished(partial, "tickets", 0, os.getpid())
        emit = recorded(partial, lambda _: None)
        emit(step(40))
        time.sleep(0.5)
        (partial / MANIFEST).write_text("# bytes 1\n")
        partial.rename(runs / "5555555555555555")

    thread = noted(runs, "built", train)
    assert run(["watch", "project/recipe.toml"]) == 0
    thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("preparing")
    assert lines[0].endswith("project/recipe.toml")
    assert lines[1:3] == ["reading sources: 3 rows", "compiling rows: 5 rows"]
    assert lines[3].startswith("tickets  ")
    assert lines[4].startswith("  step 40/40")
    assert lines[5].startswith("built: ")


@pytest.mark.parametrize(("status", "code"), [("up to date", 0), ("invalid", 1), ("", 3)])
def test_watching_a_build_that_never_trains(
    runs: Path, capsys: pytest.CaptureFixture[str], status: str, code: int
) -> None:
    thread = noted(runs, status or "failed", lambda: None)
    assert run(["watch", "--json"]) == code
    thread.join()
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in found] == ["data", "data", "ended"]
    assert (found[0]["phase"], found[0]["done"], found[0]["total"]) == ("reading sources", 3, 10)
    assert found[-1]["status"] == (status or "failed")
    assert run(["watch", "project"]) == 1, "it has ended"


def test_watching_as_json_a_build_that_fails(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partial = runs / "4444444444444444.partial"
    emit = recorded(partial, lambda _: None)
    emit(Failed("FTC705", "the loss is \x1b[31mNaN"))
    with (partial / EVENTS).open("a") as file:
        file.write('{"event": "of another release"}\n')

    def end() -> None:
        time.sleep(0.2)
        (runs / ".4444444444444444.lock").unlink()

    thread = in_thread(end)
    assert run(["watch", str(partial), "--json"]) == 3
    thread.join()
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in found] == ["run", "failed", "ended"]
    assert (found[0]["plan"], found[-1]["status"]) == ("4444444444444444", "failed")


def test_watching_a_build_that_is_stopped_or_is_none(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emit = recorded(runs / "4444444444444444.partial", lambda _: None)
    emit(Stopped(3))
    thread = in_thread(lambda: (time.sleep(0.2), (runs / ".4444444444444444.lock").unlink()))  # type: ignore[func-returns-value]
    assert run(["watch", "project"]) == 130
    thread.join()
    assert "was stopped" in capsys.readouterr().out
    assert run(["watch", "project"]) == 1
    assert "No build is running" in capsys.readouterr().err


def test_events_that_cannot_be_written_stop_no_build(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where the directory would be")
    heard: list[object] = []
    recorded(tmp_path, heard.append)(Phase("load"))
    assert heard == [Phase("load")]
