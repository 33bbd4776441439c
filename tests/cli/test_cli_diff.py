from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ftc.cli.diff_view import change_lines
from ftc.cli.layout import display_width
from ftc.jobs import diffing
from ftc.jobs.results import PlanResult
from ftc.plan.compare import Change

RECIPE = """[model]
base = "{model}"
[data]
sources.tickets = "tickets.jsonl"
query = \"\"\"
  select prompt, completion
  from tickets
  where n % 5 <> 0
\"\"\"
split = {{ eval = 0.2 }}
max_length = 48
too_long = "drop"
[render]
chat = false
[train]
epochs = 1
"""


def write_rows(path: Path, first: int, last: int) -> None:
    rows = [{"n": n, "prompt": f"{n}?" + " the" * (n % 13), "completion": " fox"} for n in range(first, last)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture(autouse=True)
def unforecast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without forecasts, which hang on the machine and the installed packages."""
    if "forecast" not in request.fixturenames:
        monkeypatch.setattr(PlanResult, "forecast", None)
        monkeypatch.setattr(diffing, "_forecast", lambda old, new, _: (old, new))


@pytest.fixture
def old(ftc, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe in the directory that `ftc` runs in, with a cache of its own."""
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    shutil.copytree(tiny_model, tmp_path / "tiny")
    write_rows(tmp_path / "tickets.jsonl", 0, 100)
    path = tmp_path / "old.toml"
    path.write_text(RECIPE.format(model="tiny"), encoding="utf-8")
    return path


def changed(old: Path, name: str, *pairs: tuple[str, str]) -> str:
    text = old.read_text(encoding="utf-8")
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    (old.parent / name).write_text(text, encoding="utf-8")
    return name


@pytest.fixture
def new(old: Path) -> str:
    """The same with more rows, another query, limit and rank, and a stated learning rate."""
    write_rows(old.parent / "more.jsonl", 2, 120)
    return changed(
        old,
        "new.toml",
        ('"tickets.jsonl"', '"more.jsonl"'),
        ("n % 5 <> 0", "n % 7 <> 0"),
        ("max_length = 48", "max_length = 64"),
        ("epochs = 1", "epochs = 2\nlearning_rate = 0.001"),
    )


def plain(text: str) -> str:
    """A screen without what differs from machine to machine: digests of plans."""
    return re.sub(r"plan [0-9a-f]{16}", "plan DIGEST", text)


def test_a_difference_is_told_in_words(ftc, old, new, snapshot) -> None:
    ran = ftc("diff", "old.toml", new)
    assert (ran.code, ran.err) == (0, "")
    assert max(map(display_width, ran.out.splitlines())) <= 80
    snapshot("diff", plain(ran.out))


def test_the_same_says_so(ftc, old) -> None:
    ran = ftc("diff", "old.toml", "old.toml", "--exit-code")
    assert (ran.code, ran.err) == (0, "")
    assert plain(ran.out) == (
        "old        old.toml (recipe, old, plan DIGEST)\n"
        "new        old.toml (recipe, old, plan DIGEST)\n\n"
        "They are one and the same plan: nothing would be made anew.\n\n"
    )


def test_an_override_is_compared_with_the_recipe_as_it_is(ftc, old) -> None:
    ran = ftc("diff", "old.toml", "old.toml", "--set", "train.learning_rate=0.001")
    assert plain(ran.out).split("\n\n")[1:] == [
        (
            "No count of rows, tokens or steps differs. No row is compiled anew; the model is\n"
            "trained from the beginning."
        ),
        "row ids    all 80 compiled rows are the same",
        "schedule   learning_rate: 0.0002 → 0.001",
        (
            "made anew  training: from the first step, as the plan is another (the schedule)\n"
            "           kept as they are: sources, rows"
        ),
        (
            "Chosen otherwise, where the recipe leaves it open:\n"
            "  train.learning_rate: no longer chosen, was 0.0002"
        ),
        "",
    ]


def planned(ftc, recipe: str, out: str, *options: str) -> str:
    ran = ftc("plan", recipe, *options)
    assert ran.code == 0, ran.err
    (Path(out)).write_text(ran.out, encoding="utf-8")
    return out


FORECAST = """forecast +old +new +change
 +on +T4 +L4
 +hours, likely .*
 +US dollars, likely .*
"""


@pytest.mark.usefixtures("forecast")
def test_what_it_costs_is_told(ftc, old) -> None:
    here = changed(old, "t4.toml", ("[train]", '[hardware]\ngpu = "T4"\n[train]'))
    there = changed(old, "l4.toml", ("[train]", '[hardware]\ngpu = "L4"\n[train]'))
    assert re.search(FORECAST, ftc("diff", here, there).out)
    beside = ftc("plan", here, there).out
    assert re.search(r"forecast +on +T4 +L4\n", beside)
    (result,) = json.loads(ftc("diff", "--json", here, there).out)["results"]
    figures = {figure["name"]: figure["values"] for figure in result["figures"]}
    assert figures["forecast.device"] == ["T4", "L4"]
    assert all(value > 0 for value in figures["forecast.cost"])


@pytest.mark.usefixtures("forecast")
def test_a_plan_from_a_file_is_forecast_as_the_recipe_is(ftc, old, new, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(ftc("plan", "old.toml", "--after", "lints").out, encoding="utf-8")
    (between,) = json.loads(ftc("diff", "--json", "old.toml", new).out)["results"]
    for sides in (("old.json", new), (new, "old.json")):
        (found,) = json.loads(ftc("diff", "--json", *sides).out)["results"]
        memory = next(one["values"] for one in found["figures"] if one["name"] == "forecast.memory")
        right = next(one["values"] for one in between["figures"] if one["name"] == "forecast.memory")
        assert memory == (right if sides[0] == "old.json" else right[::-1])


def figures_of(ftc, old: str, new: str) -> dict[str, list[float]]:
    (found,) = json.loads(ftc("diff", "--json", old, new).out)["results"]
    return {one["name"]: one["values"] for one in found["figures"] if one["name"].startswith("forecast")}


@pytest.mark.usefixtures("forecast")
def test_plan_files_and_runs_are_forecast_as_they_were_planned(ftc, old, tmp_path: Path) -> None:
    here = changed(old, "t4.toml", ("[train]", '[hardware]\ngpu = "T4"\n[train]'))
    pair = '[hardware]\ngpu = "L4"\nprices."L4" = 7.5\n[train]'
    there = changed(old, "l4.toml", ("[train]", pair), ("= 48", "= 40"))
    planned(ftc, here, "t4.json", "--after", "lints")
    run = tmp_path / "runs/old/0123"
    run.mkdir(parents=True)
    planned(ftc, there, str(run / "plan.json"), "--after", "lints")
    between = figures_of(ftc, here, there)
    assert between["forecast.device"] == ["T4", "L4"]
    assert figures_of(ftc, "t4.json", str(run)) == between
    assert figures_of(ftc, here, str(run)) == between


@pytest.mark.usefixtures("forecast")
def test_what_keeps_a_plan_file_from_a_forecast_is_said(ftc, old, new, tmp_path: Path) -> None:
    planned(ftc, "old.toml", "old.json", "--after", "lints")
    planned(ftc, new, "new.json", "--after", "lints")
    known = figures_of(ftc, "old.json", "new.json")
    assert set(known) == {"forecast.device", "forecast.memory"}
    told = ftc("diff", "old.json", "new.json").out
    assert "of both, not all is known: this machine was not measured" in told
    shutil.rmtree(tmp_path / "cache/data")
    assert figures_of(ftc, "old.json", "new.json") == known
    assert "compiled rows are not at hand" in " ".join(ftc("diff", "old.json", "new.json").out.split())
    shutil.rmtree(tmp_path / "cache/config")
    assert figures_of(ftc, "old.json", "new.json") == {}
    said = "of both, not all is known: its model's configuration is not in the cache"
    assert said in " ".join(ftc("diff", "old.json", "new.json").out.split())


@pytest.fixture
def forecast() -> None:
    """A test that is about forecasts."""


def test_plans_and_runs_are_compared_as_recipes_are(ftc, old, new) -> None:
    from_recipes = ftc("diff", "old.toml", new).out
    planned(ftc, "old.toml", "old.json", "--after", "lints")
    planned(ftc, new, "new.json", "--json")
    body = from_recipes.partition("\n\n")[2]
    assert ftc("diff", "old.json", "new.json").out.partition("\n\n")[2] == body
    run = Path("runs/old/0123")
    run.mkdir(parents=True)
    shutil.copy("old.json", run / "plan.json")
    assert ftc("diff", str(run), "new.json").out.partition("\n\n")[2] == body
    shutil.rmtree("cache")
    without = ftc("diff", str(run), "new.json").out
    told = "which rows differ cannot be told: the compiled rows of one side are not at hand"
    assert told in " ".join(without.split())
    assert "came" not in without


def test_what_two_runs_were_measured_at_is_compared(ftc, old, new) -> None:
    for name, recipe, right in (("one", "old.toml", 8), ("two", new, 11)):
        run = Path(name)
        run.mkdir()
        planned(ftc, recipe, str(run / "plan.json"), "--after", "lints")
        after = {"loss": 1 / right, "exact_match": right / 16}
        after |= {"exact_match_right": right, "exact_match_rows": 16}
        (run / "eval.json").write_text(json.dumps({"before": {}, "after": after}), encoding="utf-8")
    assert (
        "measured   after training  old             new              change\n"
        "           loss            0.125           0.091            −0.034\n"
        "           exact match     0.500  8 of 16  0.688  11 of 16  +0.188\n"
    ) in ftc("diff", "one", "two").out
    assert "measured" not in ftc("diff", "one", new).out
    Path("two/eval.json").write_text("{", encoding="utf-8")
    assert "measured" not in ftc("diff", "one", "two").out


def test_the_exit_code_tells_if_asked(ftc, old, new) -> None:
    assert ftc("diff", "old.toml", new).code == 0
    assert ftc("diff", "old.toml", new, "--exit-code").code == 1
    assert ftc("diff", "old.toml", "missing.toml").code == 1
    assert ftc("diff", "old.toml", "missing.toml", "--exit-code").code == 2


def test_json_has_every_difference(ftc, old, new) -> None:
    document = json.loads(ftc("diff", "--json", "old.toml", new).out)
    (result,) = document["results"]
    assert (document["command"], document["ok"], result["same"]) == ("diff", True, False)
    assert [result[side]["kind"] for side in ("old", "new")] == ["recipe", "recipe"]
    figures = {figure["name"]: figure["values"] for figure in result["figures"]}
    assert figures["rows.read"] == [100, 118]
    assert [one["stage"] for one in result["redone"]] == ["sources", "rows", "training"]
    assert [one["name"] for one in result["queries"]] == [""]
    assert {one["path"] for one in result["settings"]} >= {"limits.max_length", "train.epochs"}
    assert result["rows"]["came"]["rows"] > 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", "{", "error[FTC881]: the plan cannot be compared: it is not JSON"),
        ("x.json", "[]", "error[FTC881]: the plan cannot be compared: it is no plan of this release"),
        ("x.json", '{"name": "x", "seed": 0}', "error[FTC881]: the plan cannot be compared: it is not whole"),
        ("x.json", '{"results": []}', "error[FTC881]: the plan cannot be compared: it has no plan"),
        ("x.json", None, "error[FTC880]: there is no such file or directory"),
        ("x.toml", "[model]\nbas = 1\n", "error[FTC10"),
    ],
)
def test_what_cannot_be_compared_is_a_finding(ftc, old, name: str, text: str | None, message: str) -> None:
    if text is not None:
        Path(name).write_text(text, encoding="utf-8")
    ran = ftc("diff", "old.toml", name)
    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err


def test_several_plans_of_one_file_and_a_sample_s_are_refused(ftc, old, new) -> None:
    ran = ftc("plan", "--json", "old.toml", new)
    Path("two.json").write_text(ran.out, encoding="utf-8")
    assert "it has 2 plans" in ftc("diff", "old.toml", "two.json").err
    text = RECIPE.format(model="tiny").replace("n % 5", "n % 6")
    Path("other.toml").write_text(text, encoding="utf-8")
    planned(ftc, "other.toml", "sample.json", "--json", "--sample", "40")
    assert "it is of a sample, whose figures are" in ftc("diff", "old.toml", "sample.json").err


def test_a_directory_of_runs_names_them(ftc, old) -> None:
    for digest in ("0123", "4567"):
        run = Path("runs/old") / digest
        run.mkdir(parents=True)
        (run / "plan.json").write_text("{}", encoding="utf-8")
    ran = ftc("diff", "runs/old", "old.toml")
    assert ran.code == 1
    assert "name one: runs/old/0123, runs/old/4567" in ran.err


def test_an_override_needs_a_recipe(ftc, old) -> None:
    planned(ftc, "old.toml", "old.json", "--after", "lints")
    ran = ftc("diff", "old.toml", "old.json", "--set", "seed=1")
    assert (ran.code, ran.out) == (2, "")
    assert "--set changes a recipe, and old.json is a plan" in ran.err


def test_a_seed_is_told_once(ftc, old) -> None:
    out = ftc("diff", "old.toml", "old.toml", "--set", "seed=1").out
    assert out.count("seed: 0 → 1") == 1


def test_long_texts_are_told_by_their_lines() -> None:
    template = "{% for m in messages %}\n{{ m.content }}\n{% endfor %}\n{{ eos_token }}"
    change = Change("render.chat_template", template, template.replace("m.content", "m.content | trim"))
    assert list(change_lines(change, 40)) == [
        "chat_template:",
        "  @@ -1,4 +1,4 @@",
        "   {% for m in messages %}",
        "  -{{ m.content }}",
        "  +{{ m.content | trim }}",
        "   {% endfor %}",
        "   {{ eos_token }}",
    ]
    assert list(change_lines(Change("tune.peft", None, {"r": 8, "bias": "none"}), 40)) == [
        "peft: unset → r 8, bias none"
    ]


def test_recipes_are_planned_side_by_side(ftc, old, new, snapshot) -> None:
    changed(old, "long.toml", ("max_length = 48", "max_length = 128"))
    screen = ftc("plan", "-q", "old.toml", new, "long.toml").out
    table = "side by side" + screen.partition("side by side")[2]
    assert max(map(display_width, table.splitlines())) <= 80
    snapshot("plan-several", table)


def test_many_recipes_are_told_in_several_tables(ftc, old) -> None:
    names = [changed(old, f"r{n}.toml", ("epochs = 1", f"epochs = {n}")) for n in range(1, 8)]
    table = ftc("plan", "-q", *names).out.partition("side by side")[2]
    assert max(map(display_width, table.splitlines())) <= 80
    heads = [line.split() for line in table.splitlines() if ".toml" in line]
    assert [head[0] for head in heads] == ["r1.toml"] * len(heads)
    assert [name for head in heads for name in head[1:]] == names[1:]


def test_json_of_several_recipes_has_the_comparison(ftc, old, new) -> None:
    document = json.loads(ftc("plan", "--json", "old.toml", new).out)
    found = document["comparison"]
    assert found["recipes"] == ["old.toml", "new.toml"]
    values = {figure["name"]: figure["values"] for figure in found["figures"]}
    assert values["rows.read"] == [100, 118]
    assert {"limits.max_length", "sql.query"} <= {one["path"] for one in found["settings"]}
    assert "comparison" not in json.loads(ftc("plan", "--json", "old.toml").out)


def test_a_recipe_with_mistakes_is_left_out_of_the_table(ftc, old) -> None:
    changed(old, "bad.toml", ("epochs = 1", "epoch = 1"))
    ran = ftc("plan", "-q", "old.toml", "bad.toml")
    assert ran.code == 1
    assert "side by side" not in ran.out


def test_a_sample_is_a_plan_with_its_errors(ftc, old, snapshot) -> None:
    text = old.read_text(encoding="utf-8").replace("max_length = 48", "max_length = 16")
    Path("short.toml").write_text(text, encoding="utf-8")
    ran = ftc("plan", "-q", "short.toml", "--sample", "40")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(display_width, ran.out.splitlines())) <= 80
    snapshot("plan-sample", ran.out.partition("machine ")[0])


def test_a_sample_has_no_canonical_plan(ftc, old) -> None:
    ran = ftc("plan", "old.toml", "--sample", "10", "--after", "lints")
    assert (ran.code, ran.out) == (2, "")
    assert ftc("plan", "old.toml", "--sample", "0").code == 2
