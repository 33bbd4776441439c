"""Suites of a build on a model of random weights: rows by query, own metrics, gates, answers kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ftc
from runtime.in_process import launched

WORDS = ["fox", "dog", "country", "capital"]
RECIPE = """
name = "suites"
[model]
base = "{model}"
[data]
sources.chats = "chats.jsonl"
split = {{ eval = 8 }}
[lints]
small_eval = "allow"
[train]
steps = 12
batch = 8
learning_rate = 1e-2

[[eval]]
metrics = ["exact_match", "loss"]
gate = ">= base + 2"
baselines = ["few_shot", "retrieval"]
examples = 2

[[eval]]
name = "asked"
sources.extra = "extra.jsonl"
query = "select question as prompt, answer as reference, level from extra where level < 9"
metrics = ["loss", "exact_match", {{ python = "metrics.py:of_level" }}]
max_new_tokens = 4
gates.loss = "<= base * 1.02"

[[eval]]
name = "prompts"
query = "select 'the dog number ' || i || '?' as prompt, 4 as at_most, 1 as at_least from range(1, 6, 4) t(i)"
metrics = ["length"]
unit = "characters"
max_new_tokens = 3

[[eval]]
tasks = ["ftc_colours", "ftc_echo"]
task_files = "tasks"
limit = 2
gates."ftc_colours.acc" = ">= base - 1"
"""
COLOURS = """
task: ftc_colours
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "the colour of {{question}}?"
doc_to_choice: "{{choices}}"
doc_to_target: "{{right}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
ECHO = """
task: ftc_echo
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["?"], max_gen_toks: 3, do_sample: false}
metric_list: [{metric: bleu, aggregation: bleu, higher_is_better: true}]
"""
COLOURED = [
    {"question": "snow", "choices": ["fox", "a very long dog"], "right": 0},
    {"question": "grass", "choices": ["dog", "a very long fox"], "right": 1},
    {"question": "coal", "choices": ["dog", "fox"], "right": 0},
]
METRICS = '''
def of_level(answer, reference, columns):
    """The level of the row, where its answer is right."""
    return float(columns["level"]) if answer.strip() == reference else 0.0
'''


def write_project(directory: Path, model: Path, recipe: str = RECIPE) -> Path:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"the {WORDS[i % 4]} number {i}?"},
                {"role": "assistant", "content": WORDS[i % 4]},
            ]
        }
        for i in range(64)
    ]
    extra = [
        {"question": f"the {WORDS[i % 4]} number {i + 90}?", "answer": WORDS[i % 4], "level": i % 3}
        for i in range(6)
    ]
    extra += [{"question": "the fox number 8? " * 200, "answer": "fox", "level": 1}]
    extra += [{"question": "left out", "answer": "fox", "level": 9}]
    for name, lines in (("chats", rows), ("extra", extra)):
        text = "".join(json.dumps(row) + "\n" for row in lines)
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
    tasks = directory / "tasks"
    tasks.mkdir()
    for name, text in (("colours.yaml", COLOURS), ("echo.yaml", ECHO)):
        (tasks / name).write_text(text, encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in COLOURED)
    (tasks / "rows.jsonl").write_text(lines, encoding="utf-8")
    (directory / "metrics.py").write_text(METRICS, encoding="utf-8")
    path = directory / "recipe.toml"
    path.write_text(recipe.format(model=model), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[ftc.BuildResult]:
    directory = tmp_path_factory.mktemp("suites")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("ftc.artifact.build", "ftc.launch.local"):
            patch.setattr(f"{module}.launch", launched)
        yield ftc.build(write_project(directory, tiny_model), runs=directory / "runs")


def answers(run: Path, suite: str) -> list[dict[str, Any]]:
    lines = (run / "answers" / f"{suite}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def suite_of(result: ftc.BuildResult, name: str) -> dict[str, Any]:
    assert result.evaluation is not None
    return next(suite for suite in result.evaluation["suites"] if suite["suite"] == name)


def test_a_failed_gate_is_an_error_and_the_run_is_whole(built: ftc.BuildResult) -> None:
    assert built.status == "built", built.findings
    assert built.run is not None
    assert built.gates_failed
    failed = [finding for finding in built.findings if finding.code == "FTC730"]
    assert len(failed) == 1
    assert "exact_match of `held_out`" in failed[0].message
    assert (built.run / "MANIFEST.sha256").is_file()


def test_the_gate_that_holds_holds(built: ftc.BuildResult) -> None:
    (gate,) = suite_of(built, "asked")["gates"]
    figures = {one["metric"]: one for one in suite_of(built, "asked")["metrics"]}
    loss = figures["loss"]
    assert gate["passed"]
    assert gate["bound"] == pytest.approx(loss["before"]["value"] * 1.02)
    assert loss["after"]["value"] < loss["before"]["value"]
    assert loss["after"]["low"] <= loss["after"]["value"] <= loss["after"]["high"]
    assert loss["change"]["difference"] == pytest.approx(loss["after"]["value"] - loss["before"]["value"])


def test_rows_that_are_too_long_are_said(built: ftc.BuildResult) -> None:
    (left,) = [finding for finding in built.findings if finding.code == "FTC564"]
    assert "1 of 8 rows of the suite `asked`" in left.message
    assert suite_of(built, "asked")["rows"] == 6
    assert built.plan is not None
    asked = next(step for step in built.plan.suites if step.name == "asked")
    assert asked.rows is not None
    fates = {line.fate: line.rows for line in asked.rows.ledger.lines}
    assert fates == {"too_long": 1, "filtered": 1}


def test_own_metrics_see_the_columns(built: ftc.BuildResult) -> None:
    assert built.run is not None
    for number, row in enumerate(answers(built.run, "asked")):
        assert row["prompt"] == f"the {WORDS[number % 4]} number {number + 90}?"
        assert row["reference"] == WORDS[number % 4]
        for when in ("before", "after"):
            right = row[when]["answer"].strip() == row["reference"]
            assert row[when]["scores"]["exact_match"] == right
            assert row[when]["scores"]["of_level"] == (number % 3 if right else 0)


def test_prompts_need_no_reference(built: ftc.BuildResult) -> None:
    assert built.run is not None
    for row in answers(built.run, "prompts"):
        assert row["reference"] is None
        for when in ("before", "after"):
            assert row[when]["scores"]["length"] == (1 <= len(row[when]["answer"].strip()) <= 4)


def test_baselines_stand_beside_the_tuned_model(built: ftc.BuildResult) -> None:
    assert built.run is not None
    suite = suite_of(built, "held_out")
    assert [one["baseline"] for one in suite["baselines"]] == ["few_shot", "retrieval"]
    for baseline in suite["baselines"]:
        assert baseline["tokens"]["prompt_tokens"] > 2 * suite["tokens"]["before"]["prompt_tokens"]
        figures = {one["metric"]: one for one in baseline["metrics"]}
        kind = baseline["baseline"]
        scores = [row[kind]["scores"]["exact_match"] for row in answers(built.run, "held_out")]
        assert figures["exact_match"]["value"]["value"] == pytest.approx(sum(scores) / 8)
        assert figures["loss"]["to_tuned"]["pairs"] == 8


def test_a_prompt_that_is_trained_on_is_said(built: ftc.BuildResult) -> None:
    found = [finding for finding in built.findings if finding.code == "FTC565"]
    trained = (built.run / "plan.json").read_text() if built.run else ""
    assert "suite-prompts-00000.parquet" in trained
    assert [finding.message.split("`")[1] for finding in found] == ["prompts"]


def test_tasks_of_the_harness_are_a_suite(built: ftc.BuildResult) -> None:
    assert built.run is not None
    suite = suite_of(built, "harness")
    colours, bleu = suite["metrics"]
    assert (colours["metric"], bleu["metric"]) == ("ftc_colours.acc", "ftc_echo.bleu")
    assert colours["change"]["pairs"] == 2  # `limit` leaves the third row out
    assert colours["after"]["low"] <= colours["after"]["value"] <= colours["after"]["high"]
    assert bleu["after"]["value"] is not None
    assert bleu["after"]["low"] is None  # a figure of the whole task
    assert [gate["passed"] for gate in suite["gates"]] == [True]
    rows = answers(built.run, "harness")
    assert [row["id"] for row in rows] == ["ftc_colours:0", "ftc_colours:1", "ftc_echo:0", "ftc_echo:1"]
    assert [row["reference"] for row in rows] == ["fox", "a very long fox", "fox", "dog"]
    for row in rows[:2]:
        right = row["after"]["answer"] == row["reference"]
        assert row["after"]["scores"] == {"ftc_colours.acc": right}
    assert built.evaluation is not None
    assert built.evaluation["after"]["harness.ftc_colours.acc_rows"] == 2


def test_an_unchanged_run_fails_its_gate_again(built: ftc.BuildResult) -> None:
    assert built.run is not None
    again = ftc.build(built.path, runs=built.run.parents[1])
    assert again.status == "up to date"
    assert again.gates_failed
    assert again.digest == built.digest


def test_measured_later_it_is_the_same_to_the_bit(built: ftc.BuildResult) -> None:
    from ftc.jobs.comparing import compare
    from ftc.jobs.evaluating import evaluate

    assert built.run is not None
    assert built.evaluation is not None
    sealed = (built.run / "MANIFEST.sha256").read_bytes()
    found = evaluate(built.run, str(built.path))
    assert found.evaluation is not None, found.findings
    assert found.gates_failed
    assert {when: found.evaluation[when] for when in ("before", "after")} == {
        when: built.evaluation[when] for when in ("before", "after")
    }
    assert found.directory is not None
    assert found.directory.parent == built.run.with_name(f"{built.run.name}.evals")
    assert (built.run / "MANIFEST.sha256").read_bytes() == sealed
    suites = compare(built.run, built.run).suites
    assert [suite.suite for suite in suites] == ["held_out", "asked", "prompts", "harness"]
    assert not any(suite.flips for suite in suites)
