"""Tasks of lm-evaluation-harness: a local task put to functions, and names that there are or are not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ftc.evaluation import harness
from ftc.evaluation.harness import Functions, SamplingError, adapted, measured, names, problems

lm_eval = pytest.importorskip("lm_eval")

CHOICE = """
task: ftc_colours
dataset_path: json
dataset_kwargs:
  data_files: {{test: "{rows}"}}
test_split: test
output_type: multiple_choice
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{right}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""
WRITE = """
task: ftc_echo
dataset_path: json
dataset_kwargs:
  data_files: {{test: "{rows}"}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[0]}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 7, do_sample: false}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""
ROWS = [
    {"question": "snow", "choices": ["white", "green"], "right": 0},
    {"question": "grass", "choices": ["violet", "green"], "right": 1},
    {"question": "coal", "choices": ["black", "pink"], "right": 0},
]


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    own = tmp_path / "tasks"
    own.mkdir()
    for name, text in (("colours", CHOICE), ("echo", WRITE)):
        (own / f"{name}.yaml").write_text(text.format(rows=data), encoding="utf-8")
    return own


def shortest(asked: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
    """A model that finds a continuation the likelier the shorter it is."""
    return [(-float(len(continuation)), False) for _, continuation in asked]


def functions(write: Callable[[Sequence[tuple[str, int]]], list[str]] | None = None) -> Functions:
    def encode(text: str) -> list[int]:
        return [ord(character) for character in text]

    return Functions(encode, 0, 1, 8, shortest, write or (lambda asked: [""] * len(asked)))


def test_a_local_task_is_measured(tasks: Path) -> None:
    (found,) = measured(["ftc_colours"], functions(), own=tasks)
    assert (found.task, found.metric, found.better) == ("ftc_colours", "acc", "higher")
    assert found.scores == (
        1.0,
        1.0,
        0.0,
    )  # of a tie the first is taken
    assert found.value == pytest.approx(2 / 3)
    assert [(row.reference, row.answer) for row in found.rows] == [
        ("white", "white"),
        ("green", "green"),
        ("black", "pink"),
    ]


def test_a_task_that_writes_gets_its_stops_and_its_length(tasks: Path) -> None:
    asked: list[tuple[str, int]] = []

    def write(wanted: Sequence[tuple[str, int]]) -> list[str]:
        asked.extend(wanted)
        return ["white\nsnow" for _ in wanted]

    (found,) = measured(["ftc_echo"], functions(write), own=tasks, limit=2)
    assert (found.metric, found.value, found.scores) == ("exact_match", 0.5, (1.0, 0.0))
    assert asked == [("snow", 7), ("grass", 7)]


def test_a_task_that_samples_is_refused() -> None:
    model = adapted(functions())
    request = type("Request", (), {"args": ("prompt", {"do_sample": True})})
    with pytest.raises(SamplingError):
        model.generate_until([request])


def test_a_text_alone_is_scored_token_by_token() -> None:
    request = type("Request", (), {"args": ("a text of 20 letters",)})
    assert adapted(functions()).loglikelihood_rolling([request]) == [-20.0]


def test_names_are_known_or_near(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(tasks) == {"ftc_colours", "ftc_echo"}
    assert problems(["ftc_colours", "arc_easy", "mmlu"], tasks) == ()
    monkeypatch.setattr(harness, "_indexed", lambda _: set())
    (found,) = problems(["arc_esy"])
    assert found.code == "FTC578"
    assert found.help[0].startswith('write "arc_')


def test_a_harness_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "find_spec", lambda _: None)
    (found,) = problems(["arc_easy"])
    assert found.code == "FTC570"
    assert "ftc[harness]" in found.help[0]


def test_looking_for_names_loads_nothing() -> None:
    probe = (
        "import sys; from ftc.evaluation.harness import problems; assert problems(['arc_easy']) == ();"
        "assert not {'lm_eval', 'datasets', 'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)


@pytest.mark.slow
def test_names_are_nearly_those_of_the_harness_s_own_index() -> None:
    indexed = harness._indexed(None)
    found = {name for root in harness._roots() for name in names(root)}
    assert len(found - indexed) <= 5
    assert len(indexed - found) / len(indexed) < 0.05


def test_tasks_whose_rows_come_from_a_hub_are_told_from_those_of_files(tasks: Path, tmp_path: Path) -> None:
    from ftc.facts.tasks import Tasks, tasks_of
    from ftc.recipe.evaluation import Eval
    from ftc.recipe.load import load_recipe

    (tmp_path / "recipe.toml").write_text('[model]\nbase = "x"\n', encoding="utf-8")
    origins = load_recipe(tmp_path / "recipe.toml").origins
    far = CHOICE.format(rows="x").replace("dataset_path: json", "dataset_path: a/b")
    (tasks / "far.yaml").write_text(far.replace("ftc_colours", "ftc_far"), encoding="utf-8")
    named = ("ftc_colours", "ftc_far", "arc_easy")
    found = tasks_of(Eval(tasks=named, task_files="tasks"), ("eval", 0), origins)
    assert isinstance(found, Tasks)
    assert found.from_hub == ("ftc_far", "arc_easy")
