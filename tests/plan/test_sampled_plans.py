"""Plans from a sample of the rows, held to the plans of all rows."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import ftc
from ftc.jobs.results import PlanResult
from ftc.plan.figures import fates, figures

HEAD = '[model]\nbase = "{model}"\n[data]\nsources.rows = "rows.jsonl"\n'
PLAIN = "[render]\nchat = false\n"
QUERY = "select prompt, completion, n, kind from rows where n % 10 <> 0"
LONG = f'query = "{QUERY}"\nmax_length = 24\ntoo_long = '
RECIPES = {
    "dropped": f'{LONG}"drop"\nsplit = {{ eval = 0.3 }}\n{PLAIN}',
    "cut": f'{LONG}"truncate"\nsplit = {{ eval = 200 }}\n{PLAIN}',
    "duplicates": f"""query = "select prompt, completion, kind, twin from rows"
max_length = 24
too_long = "drop"
dedupe = {{ method = "exact", columns = ["kind", "twin"] }}
{PLAIN}""",
    "a sample of a sample": f'{LONG}"drop"\nsample = 600\nsplit = {{ eval = 0.3 }}\n{PLAIN}',
    "stratified": f'{LONG}"drop"\nsplit = {{ eval = 0.3, stratify = "kind" }}\n{PLAIN}',
    "packed": f'{LONG}"drop"\npacking = true\nsplit = {{ eval = 0.3 }}\n{PLAIN}',
    "pieces": 'query = "select body as text from rows"\nmax_length = 24\ntoo_long = "split"\n',
    "mixed": """mix.a = { query = "select prompt, completion from rows where kind = 'a'", weight = 0.5 }
mix.b = { query = "select prompt, completion from rows where kind <> 'a'", weight = 0.5, repeat = 2 }
max_length = 24
too_long = "drop"
"""
    + PLAIN,
}
EXACT = ("rows.read", "rows.filtered", "rows.sampled_out", "rows.duplicate", "rows.unmixed")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a thousand rows and a cache of its own."""
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    draw = random.Random(3)  # noqa: S311
    rows = []
    for n in range(1000):
        words = " the" * int(draw.lognormvariate(1.6, 0.8))
        row = {"n": n, "kind": draw.choice("aab"), "twin": n // 2 if n % 3 else n}
        rows.append({**row, "prompt": f"{n}?{words}", "completion": " fox", "body": f"a{words}. b{words}."})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def recipe(project: Path, model: Path, text: str) -> Path:
    path = project / "r.toml"
    path.write_text(HEAD.format(model=model) + text, encoding="utf-8")
    return path


def ids(result: PlanResult) -> set[str]:
    assert result.data is not None
    files = [*result.data.glob("train-*.parquet"), *result.data.glob("eval-*.parquet")]
    return {id_ for file in files for id_ in pq.read_table(file, columns=["id"]).column(0).to_pylist()}


@pytest.mark.parametrize("name", RECIPES)
def test_the_true_counts_are_within_what_the_sample_says(project: Path, tiny_model: Path, name: str) -> None:
    path = recipe(project, tiny_model, RECIPES[name])
    sampled = ftc.plan(path, sample=200)
    assert sampled.ok, sampled.findings
    sampling, scaled = sampled.sampling, sampled.plan
    assert sampling is not None
    assert (sampled.digest, sampling.looked_at) == (None, 200)
    assert scaled.data.ledger.unexplained == 0
    whole = ftc.plan(path)
    assert whole.sampling is None
    true, said = figures(whole.plan), figures(scaled)
    assert {key: said.get(key) for key in EXACT} == {key: true.get(key) for key in EXACT}
    for key, known in sampling.figures.items():
        slack = 1 if key == "train.steps" else 0  # a step is not a part of one
        assert known.low - slack <= true.get(key, 0) <= known.high + slack, key
        assert said[key] == pytest.approx(known.value, abs=1), key
    for line in scaled.data.ledger.lines:
        known = sampling.lines.get((line.fate, line.reason))
        assert known is None or known.value == line.rows > 0
    lost = whole.plan.data.ledger.lost
    assert scaled.data.ledger.lost == pytest.approx(lost, rel=0.35, abs=20)
    assert scaled.data.mix == whole.plan.data.mix
    if scaled.data.sequences is not None:
        laid_out, real = scaled.data.sequences, whole.plan.data.sequences
        assert laid_out.rows == scaled.data.train.rows + scaled.data.train.repeats
        assert laid_out.count == pytest.approx(real.count, rel=0.25)


def test_pieces_of_a_row_count_as_one_drawing(project: Path, tiny_model: Path) -> None:
    sampled = ftc.plan(recipe(project, tiny_model, RECIPES["pieces"]), sample=200)
    ledger = sampled.plan.data.ledger
    assert ledger.more == ledger.train - 1000 > 0
    assert fates(ledger)["split"] > 0
    lengths = sampled.sampling.figures["tokens.train"]
    rows = sampled.sampling.figures["rows.train"]
    assert 0.02 < rows.margin < 0.3
    assert 0.02 < lengths.margin < 0.3


def test_the_rows_are_those_that_data_sample_takes(project: Path, tiny_model: Path) -> None:
    text = f'query = "{QUERY}"\n{PLAIN}'
    looked_at = ftc.plan(recipe(project, tiny_model, text), sample=50)
    again = ftc.plan(recipe(project, tiny_model, text), sample=50)
    assert again.data == looked_at.data
    taken = ftc.plan(recipe(project, tiny_model, text.replace(PLAIN, f"sample = 50\n{PLAIN}")))
    assert ids(looked_at) == ids(taken)
    assert len(ids(looked_at)) == 50
    assert looked_at.data != taken.data


def test_the_whole_data_is_made_as_if_there_had_been_no_sample(
    project: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe(project, tiny_model, RECIPES["dropped"])
    sampled, after = ftc.plan(path, sample=200), ftc.plan(path)
    monkeypatch.setenv("FTC_CACHE_DIR", str(project / "other-cache"))
    alone = ftc.plan(path)
    assert after.digest == alone.digest
    assert after.plan == alone.plan
    assert after.data.name == alone.data.name != sampled.data.name
    assert sampled.data.name not in {entry.name for entry in (project / "other-cache").rglob("*")}


@pytest.mark.parametrize("rows", [900, 5000])
def test_a_sample_of_all_rows_is_the_plan_itself(project: Path, tiny_model: Path, rows: int) -> None:
    path = recipe(project, tiny_model, RECIPES["dropped"])
    everything = ftc.plan(path, sample=rows)
    assert [finding.code for finding in everything.findings].count("FTC883") == 1
    plain = ftc.plan(path)
    assert (plain.digest, plain.data) == (everything.digest, everything.data)
    later = ftc.plan(path, sample=10)
    assert (later.digest, later.sampling) == (plain.digest, None)


def test_held_out_rows_are_not_lost_among_many(project: Path, tiny_model: Path) -> None:
    path = recipe(project, tiny_model, f'query = "{QUERY}"\nsplit = {{ eval = 20 }}\n{PLAIN}')
    sampled = ftc.plan(path, sample=30)
    held_out, train = sampled.plan.data.eval.rows, sampled.plan.data.train.rows
    assert (held_out, train) == (20, 880)
    assert sampled.sampling.compiled == {"train": 15, "eval": 15}


def test_too_small_a_sample_is_told_as_that(project: Path, tiny_model: Path) -> None:
    path = recipe(project, tiny_model, f'query = "{QUERY}"\nsplit = {{ eval = 0.01 }}\n{PLAIN}')
    (finding,) = ftc.plan(path, sample=3).findings
    assert finding.code == "FTC882"
    assert finding.message == "of the 3 rows that were looked at, of 900, none is held out"


def test_a_mistake_found_in_the_sample_says_so(project: Path, tiny_model: Path) -> None:
    path = recipe(project, tiny_model, f'{LONG}"error"\n{PLAIN}')
    (finding,) = ftc.plan(path, sample=100).findings
    assert finding.code == "FTC603"
    assert finding.notes[-1] == "of 100 rows that were looked at"


def test_stated_steps_are_no_estimate(project: Path, tiny_model: Path) -> None:
    path = recipe(project, tiny_model, RECIPES["dropped"])
    follow, stated = ftc.plan(path, sample=200), ftc.plan(path, sample=200, set=["train.steps=7"])
    assert "train.steps" in follow.sampling.figures
    assert "train.steps" not in stated.sampling.figures
    assert stated.plan.train.steps == 7
