"""`ftc sweep` from the recipe to the table, with a runtime that is done at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_runs import FakeRuntime, rows_of
from ftc import api
from ftc.cli.main import run
from ftc.plan import compiling

RECIPE = """
[model]
base = "{model}"
[data]
sources.qa = "qa.jsonl"
split = {{ eval = 8 }}
[tune]
method = "full"
[train]
steps = 4
batch = 4
[lints]
small_eval = "allow"
[sweep]
keys."train.learning_rate" = [1e-4, 1e-3, 1e-2]
keys.train.weight_decay = [0.0, 0.1]
"""


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows_of(
        tmp_path / "qa.jsonl", [{"prompt": f"what is {i}", "completion": f"the dog {i}"} for i in range(24)]
    )
    (tmp_path / "recipe.toml").write_text(RECIPE.format(model=tiny_model))
    monkeypatch.chdir(tmp_path)
    return Path("recipe.toml")


def change(recipe: Path, *changes: tuple[str, str]) -> None:
    text = recipe.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    recipe.write_text(text)


def rate(plan) -> float:
    return plan.train.arguments["learning_rate"]


def by_rate(plan) -> float:
    """The loss is best at a learning rate of a thousandth, without weight decay."""
    return abs(rate(plan) - 1e-3) * 100 + plan.train.arguments["weight_decay"]


def test_every_variant_is_built_once_and_the_best_is_named(recipe: Path, runtime: FakeRuntime):
    runtime.loss = by_rate
    found = api.sweep(recipe)
    assert (found.status, found.ok, len(found.variants)) == ("built", True, 6)
    assert [one.status for one in found.variants] == ["built"] * 6
    assert dict(found.best.values) == {"train.learning_rate": 1e-3, "train.weight_decay": 0.0}
    assert found.best.value == 0.0
    assert found.best.seconds == 2.0
    assert len({digest for _, digest in runtime.built}) == 6
    again = api.sweep(recipe)
    assert [one.status for one in again.variants] == ["up to date"] * 6
    assert (again.best.digest, len(runtime.built)) == (found.best.digest, 6)
    alone = api.build(recipe, set=["train.learning_rate=1e-3", "train.weight_decay=0.0"])
    assert (alone.status, alone.run) == ("up to date", found.best.run)
    assert "sweep" not in (alone.run / "recipe.toml").read_text()


def test_data_that_does_not_change_is_compiled_once(
    recipe: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
):
    rows_of(Path("qa.jsonl"), [{"prompt": f"who is {i}", "completion": f"one fox {i}"} for i in range(24)])
    made: list[bool] = []
    whole = compiling.compile_data

    def counted(*arguments, **more):
        done = whole(*arguments, **more)
        made.append(not done.cached)
        return done

    monkeypatch.setattr(compiling, "compile_data", counted)
    assert api.sweep(recipe).status == "built"
    assert len(made) == 6
    assert sum(made) == 1


def test_a_stopped_sweep_goes_on(recipe: Path, runtime: FakeRuntime):
    runtime.stop = lambda plan: rate(plan) == 1e-2
    stopped = api.sweep(recipe)
    assert stopped.status == "stopped"
    assert [one.status for one in stopped.variants] == ["built"] * 4 + ["stopped"]
    runtime.stop = lambda _: False
    done = api.sweep(recipe)
    assert [one.status for one in done.variants] == ["up to date"] * 4 + ["built"] * 2


def test_one_that_fails_does_not_end_the_others(recipe: Path, runtime: FakeRuntime):
    runtime.fail = lambda plan: rate(plan) == 1e-3
    found = api.sweep(recipe)
    assert (found.status, found.ok) == ("failed", False)
    assert [one.status for one in found.variants] == ["built"] * 2 + ["failed"] * 2 + ["built"] * 2
    assert found.best is not None
    assert "FTC705" in [finding.code for finding in found.findings]


def test_nothing_is_built_where_one_variant_is_wrong(recipe: Path, runtime: FakeRuntime):
    change(recipe, ("[0.0, 0.1]", "[0.0, 1.5]"))
    found = api.sweep(recipe)
    assert (found.status, runtime.built) == ("invalid", [])
    (finding,) = found.findings
    assert (finding.code, finding.span.place) == ("FTC104", "recipe.toml:16:33")


def test_a_variant_that_breaks_the_budget_is_named_before_the_first_is_built(
    recipe: Path, runtime: FakeRuntime
):
    change(recipe, ("[sweep]", '[hardware]\ngpu = "L4"\n[budget]\nmax_hours = 1\n[sweep]'))
    change(recipe, ("keys.train.weight_decay = [0.0, 0.1]", "keys.train.steps = [4, 4000000]"))
    found = api.sweep(recipe)
    assert found.status == "invalid"
    assert runtime.built == []
    assert [finding.code for finding in found.findings] == ["FTC890"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('metric = "exact_macth"', "FTC744"),
        ("prune = true", "FTC745"),
    ],
)
def test_metrics_that_are_not_measured(recipe: Path, runtime: FakeRuntime, line: str, code: str):
    change(recipe, ("[sweep]", f"[sweep]\n{line}"))
    found = api.sweep(recipe)
    assert [finding.code for finding in found.findings] == [code]
    assert found.findings[0].span.place.startswith("recipe.toml:15:")
    assert runtime.built == []


def test_a_key_that_makes_no_difference_is_said(recipe: Path, runtime: FakeRuntime):
    change(recipe, ("keys.train.weight_decay = [0.0, 0.1]", 'keys."budget.max_hours" = [10, 20]'))
    found = api.sweep(recipe, plan_only=True)
    assert (found.status, runtime.built) == ("planned", [])
    same = [finding for finding in found.findings if finding.code == "FTC746"]
    assert [finding.span.place for finding in same] == ["recipe.toml:16:6"]


def test_without_a_sweep(recipe: Path):
    text = recipe.read_text()
    recipe.write_text(text[: text.index("[sweep]")])
    assert [finding.code for finding in api.sweep(recipe).findings] == ["FTC742"]


def pruning(recipe: Path) -> None:
    rates = '"train.learning_rate" = [1e-3, 2e-3, 3e-3, 4e-3, 9e-3, 5e-4]'
    change(
        recipe,
        ('"train.learning_rate" = [1e-4, 1e-3, 1e-2]', rates),
        ("keys.train.weight_decay = [0.0, 0.1]\n", "prune = true\n"),
        ("steps = 4\n", "steps = 4\neval_every = 2\n"),
    )


def test_a_bad_variant_is_broken_off_and_stays_so(recipe: Path, runtime: FakeRuntime):
    pruning(recipe)
    runtime.loss = rate
    runtime.held_out = lambda plan: {2: rate(plan) + 1, 4: rate(plan)}
    found = api.sweep(recipe)
    assert [one.status for one in found.variants] == ["built"] * 4 + ["pruned", "built"]
    assert found.variants[4].step == 2
    assert found.best.values["train.learning_rate"] == 5e-4
    built = len(runtime.built)
    again = api.sweep(recipe)
    assert [one.status for one in again.variants] == ["up to date"] * 4 + ["pruned", "up to date"]
    assert len(runtime.built) == built
    change(recipe, ("prune = true", "prune = false"))
    assert [one.status for one in api.sweep(recipe).variants] == ["up to date"] * 4 + ["built", "up to date"]


def test_a_search_by_a_sampler(recipe: Path, runtime: FakeRuntime):
    change(
        recipe,
        ("[1e-4, 1e-3, 1e-2]", "{ low = 1e-4, high = 1e-2, log = true }"),
        ("[sweep]", '[sweep]\nmethod = "tpe"\ntrials = 4'),
    )
    runtime.loss = by_rate
    planned = api.sweep(recipe, plan_only=True)
    assert planned.searched
    assert {one.values["train.learning_rate"] for one in planned.variants} == {1e-4, 1e-2}
    found = api.sweep(recipe)
    assert (found.status, len(found.variants)) == ("built", 4)
    again = api.sweep(recipe)
    assert [one.digest for one in again.variants] == [one.digest for one in found.variants]
    assert {one.status for one in again.variants} == {"up to date"}


def test_the_table_and_the_json(recipe: Path, runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]):
    runtime.loss = by_rate
    assert run(["sweep", str(recipe)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["learning_rate", "weight_decay", "state", "loss", "time", "run"]
    assert [line.split()[0] for line in lines[1:7]] == ["0.0001", "0.0001", "0.001", "0.001", "0.01", "0.01"]
    assert lines[3].split()[:6] == ["0.001", "0", "built", "*", "0", "2"]
    assert lines[8].startswith("* best by loss (lower is better): train.learning_rate = 0.001")
    assert run(["sweep", "--json", str(recipe)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert (found["ok"], found["best"], found["better"]) == (True, 2, "lower")
    assert found["variants"][2]["values"] == {"train.learning_rate": 0.001, "train.weight_decay": 0.0}
    runtime.stop = lambda plan: plan.train.steps == 5
    assert run(["sweep", str(recipe), "--set", "train.steps=5"]) == 130
    assert "To go on: ftc sweep recipe.toml --set train.steps=5" in capsys.readouterr().err
