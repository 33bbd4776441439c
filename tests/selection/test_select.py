"""What becomes of each row of real results: samples, exact duplicates, sides as stated, mixes."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from selection_rows import decisions_of, duplicates, exact, job, selected, step

from data_requests import Job, pairs, source, write_jsonl
from ftc.data.selection.problem import SelectionProblem
from ftc.data.selection.select import Decision
from ftc.plan.steps import SplitStep

NOTHING = SplitStep(fraction=None, rows=None, keys=("prompt",), seed=0)


def held(found: dict[str, Decision]) -> set[str]:
    return {id_ for id_, decision in found.items() if decision.side == "eval"}


def gone(found: dict[str, Decision]) -> dict[str, str]:
    return {id_: d.refusal.fate for id_, d in found.items() if d.refusal is not None}


def test_nothing_is_decided_where_nothing_is_asked(tmp_path: Path) -> None:
    found = decisions_of(job(tmp_path, pairs(20)))
    assert set(found.values()) == {Decision("train")}


@pytest.mark.parametrize("count", [0, 1, 7, 20, 500])
def test_a_sample_has_exactly_as_many_rows(tmp_path: Path, count: int) -> None:
    rows = pairs(100)
    found = decisions_of(job(tmp_path, rows, selection=step(rows=count)))
    assert Counter(gone(found).values())["sampled_out"] == max(0, 100 - count)


def test_a_sample_by_fraction_grows_with_it_and_is_near_it(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", pairs(4000))
    before: set[str] = set()
    for fraction in (0.1, 0.2, 0.5, 0.9):
        here = Job(tmp_path, (source(path),), selection=step(fraction=fraction))
        kept = {id_ for id_, decision in decisions_of(here).items() if decision.refusal is None}
        assert abs(len(kept) - 4000 * fraction) < 5 * (4000 * fraction * (1 - fraction)) ** 0.5
        assert before <= kept
        before = kept


def test_a_sample_goes_by_the_rows_ids_and_the_seed(tmp_path: Path) -> None:
    rows = [{"key": f"k{n}", **row} for n, row in enumerate(pairs(300))]
    shuffled = random.Random(1).sample(rows, len(rows))  # noqa: S311

    def kept(place: str, rows: Any, **settings: Any) -> set[str]:
        found = decisions_of(job(tmp_path / place, rows, id="key", **settings))
        return {id_ for id_, decision in found.items() if decision.refusal is None}

    first = kept("a", rows, selection=step(fraction=0.3))
    assert kept("b", shuffled, selection=step(fraction=0.3)) == first
    assert kept("c", [{"key": "new", **pairs(1)[0]}, *rows], selection=step(fraction=0.3)) - {"new"} == first
    assert kept("d", rows, selection=step(fraction=0.3, seed=1)) != first
    twice = "select key, any_value(n) as n, any_value(prompt) as prompt, any_value(completion) as completion"
    assert kept("e", rows, sql=f"{twice} from t group by key", selection=step(fraction=0.3)) == first


def test_the_first_of_equal_rows_stays(tmp_path: Path) -> None:
    rows = [{"prompt": p, "completion": c} for p, c in ["ax", "bx", "ax", "ay", "bx", "ax"]]
    assert duplicates(tmp_path / "both", rows, exact("prompt", "completion")) == {2: 0, 4: 1, 5: 0}
    assert duplicates(tmp_path / "one", rows, exact("prompt")) == {2: 0, 3: 0, 4: 1, 5: 0}


def test_nulls_and_texts_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    rows = [{"prompt": p, "completion": "c"} for p in [None, "null", "", '"', "a\u0000b", "ab", None]]
    assert duplicates(tmp_path, rows, exact("prompt", "completion")) == {6: 0}


def test_exact_duplicates_against_pythons_own_dictionary(tmp_path: Path) -> None:
    chance = random.Random(3)  # noqa: S311
    rows = [{"prompt": chance.choice("abcdefgh"), "completion": chance.choice("xyz")} for _ in range(3000)]
    first: dict[tuple[str, str], int] = {}
    wanted = {}
    for number, row in enumerate(rows):
        found = first.setdefault((row["prompt"], row["completion"]), number)
        if found != number:
            wanted[number] = found
    assert duplicates(tmp_path, rows, exact("prompt", "completion")) == wanted


def test_a_row_is_named_that_the_sample_left(tmp_path: Path) -> None:
    rows = [{"prompt": "same", "completion": "c", "n": n} for n in range(50)]
    here = job(tmp_path, rows, selection=step(fraction=0.2, dedupe=exact("prompt")))
    found = decisions_of(here)
    stays = [id_ for id_, decision in found.items() if decision.refusal is None]
    assert len(stays) == 1
    reasons = {d.refusal.reason for d in found.values() if d.refusal and d.refusal.fate == "duplicate"}
    assert reasons == {f"same as {stays[0]}"}


@pytest.mark.parametrize("word", ["eval", "test", "Validation", " dev ", "VAL", "valid", "evaluation"])
def test_a_column_says_the_side(tmp_path: Path, word: str) -> None:
    rows = [{**row, "part": word if row["n"] % 3 == 0 else "Train"} for row in pairs(30)]
    split = SplitStep(fraction=None, rows=None, keys=(), seed=0, column="part")
    assert held(decisions_of(job(tmp_path, rows, split=split))) == {f"t:{n + 1}" for n in range(0, 30, 3)}


def test_a_column_with_other_values_is_a_problem(tmp_path: Path) -> None:
    words = ["train", "eval", "holdout", None, "holdout"]
    rows = [{**row, "part": word} for row, word in zip(pairs(5), words, strict=True)]
    split = SplitStep(fraction=None, rows=None, keys=(), seed=0, column="part")
    done = job(tmp_path, rows, split=split).run()
    (problem,) = done.problems
    assert (problem.code, problem.rows, problem.at) == ("FTC226", 3, ("data", "split", "column"))
    assert problem.notes == ("'holdout' in 2 rows", "no value in 1 row", "such as t:3, t:4, t:5")


@pytest.mark.parametrize(
    ("sql", "keys", "wanted"),
    [
        ("select n from t where n < 3", ("n",), {0, 1, 2}),
        ("select distinct n % 5 as n from t", ("n",), {0, 1, 2, 3, 4}),
        (
            "select prompt, completion, n from t where completion like '%3'",
            ("completion", "n", "prompt"),
            {3, 10},
        ),
        ("select completion from t where n = 3", ("completion",), {3, 10}),
    ],
)
def test_a_query_of_its_own_says_what_is_held_out(
    tmp_path: Path, sql: str, keys: tuple[str, ...], wanted: set[int]
) -> None:
    here = job(tmp_path, pairs(14))
    query = here.query(sql).model_copy(update={"traced_source": None})
    here.split = NOTHING.model_copy(update={"keys": keys, "query": query})
    assert held(decisions_of(here)) == {f"t:{n + 1}" for n in wanted}


def test_a_query_that_holds_out_nothing_is_a_problem(tmp_path: Path) -> None:
    here = job(tmp_path, pairs(5))
    for sql, words in (
        ("select n from t where n > 99", "returns none"),
        ("select n + 99 as n from t", "none has"),
    ):
        query = here.query(sql).model_copy(update={"traced_source": None})
        here.split = NOTHING.model_copy(update={"keys": ("n",), "query": query})
        (problem,) = here.run().problems
        assert problem.code == "FTC602"
        assert words in problem.message


def test_a_failing_query_of_the_split_is_reported_there(tmp_path: Path) -> None:
    here = job(tmp_path, pairs(5))
    query = here.query("select n, prompt::int as p from t").model_copy(update={"traced_source": None})
    here.split = NOTHING.model_copy(update={"keys": ("n",), "query": query})
    (problem,) = here.run().problems
    assert (problem.code, problem.at) == ("FTC213", ("data", "split", "query"))


def test_groups_are_never_on_both_sides(tmp_path: Path) -> None:
    rows = [{**row, "who": f"c{row['n'] % 17}"} for row in pairs(400)]
    for split in (
        SplitStep(fraction=0.3, rows=None, keys=("who",), seed=0),
        SplitStep(fraction=None, rows=50, keys=("who",), seed=0),
        SplitStep(fraction=0.3, rows=None, keys=("who",), seed=0, stratify="completion"),
    ):
        done = job(tmp_path / f"{split.rows}{split.stratify}", rows, split=split).run()
        assert done.step is not None, done.problems
        assert done.step.eval is not None
        with selected(job(tmp_path / f"again{split.rows}{split.stratify}", rows, split=split)) as selection:
            if selection.threshold:
                continue
            sides: dict[str, set[str | None]] = {}
            for number, row in enumerate(rows):
                sides.setdefault(row["who"], set()).add(selection.of(0, number).side)
            assert all(len(side) == 1 for side in sides.values())


def mix(here: Path, **settings: Any) -> Job:
    here.mkdir(parents=True, exist_ok=True)
    domain = write_jsonl(here / "domain.jsonl", pairs(40))
    general = write_jsonl(here / "general.jsonl", [{**row, "prompt": f"g{row['n']}"} for row in pairs(300)])
    found = (source(domain, name="domain"), source(general, name="general"))
    parts = settings.pop("parts", {"domain": (0.8, 1), "replay": (0.2, 1)})
    sql = {"domain": "select * from domain", "replay": "select * from general"}
    return Job(here, found, mix={name: (sql[name], *part) for name, part in parts.items()}, **settings)


def test_a_mix_is_as_long_as_what_is_exhausted_first(tmp_path: Path) -> None:
    found = decisions_of(mix(tmp_path))
    train = Counter(id_.split("/")[0] for id_, decision in found.items() if decision.side == "train")
    assert train == {"domain": 40, "replay": 10}
    assert Counter(gone(found).values()) == {"unmixed": 290}
    reason = next(d.refusal.reason for d in found.values() if d.refusal)
    assert reason == "a pass of the mix takes 10 of the 300 training rows of `replay`"


def test_rows_repeat_where_a_mix_may_repeat_them(tmp_path: Path) -> None:
    found = decisions_of(mix(tmp_path, parts={"domain": (0.5, 3), "replay": (0.5, 1)}))
    copies = Counter((id_.split("/")[0], d.copies) for id_, d in found.items() if d.side == "train")
    assert copies == {("domain", 3): 40, ("replay", 1): 120}
    found = decisions_of(mix(tmp_path / "b", parts={"domain": (0.9, 9), "replay": (0.1, 1)}))
    copies = Counter((id_.split("/")[0], d.copies) for id_, d in found.items() if d.side == "train")
    assert copies == {("domain", 9): 40, ("replay", 1): 40}
    found = decisions_of(mix(tmp_path / "c", parts={"domain": (1, 2), "replay": (5, 1)}))
    copies = Counter((id_.split("/")[0], d.copies) for id_, d in found.items() if d.side == "train")
    assert copies == {("domain", 1): 20, ("domain", 2): 20, ("replay", 1): 300}


def test_held_out_rows_are_never_mixed_away(tmp_path: Path) -> None:
    split = SplitStep(fraction=0.25, rows=None, keys=("prompt",), seed=0)
    here = mix(tmp_path, split=split)
    found = decisions_of(here)
    out = held(found)
    alone = decisions_of(mix(tmp_path / "even", split=split, parts={"domain": (40, 1), "replay": (300, 1)}))
    assert out == held(alone)
    assert any(id_.startswith("replay/") for id_ in out)
    done = here.run()
    assert done.step is not None, done.problems
    left = 40 - sum(id_.startswith("domain/") for id_ in out)
    domain, replay = done.step.mix
    assert (domain.rows, domain.used, domain.trained) == (left, left, left)
    assert replay.trained == replay.used == round(left / 4)
    assert done.step.eval is not None
    assert done.step.eval.rows == len(out)
    assert done.step.ledger.unexplained == 0


def test_an_empty_part_of_a_mix_is_a_problem(tmp_path: Path) -> None:
    here = mix(tmp_path)
    here.mix = {**here.mix, "none": ("select * from domain where n > 99", 1.0, 1)}
    with pytest.raises(SelectionProblem), selected(here):
        pass
    (problem,) = here.run().problems
    assert (problem.code, problem.at) == ("FTC601", ("data", "mix", "none"))


def test_everything_at_once_balances_to_zero(tmp_path: Path) -> None:
    split = SplitStep(fraction=None, rows=20, keys=("prompt",), seed=3, stratify="completion")
    here = mix(
        tmp_path,
        parts={"domain": (1, 2), "replay": (2, 1)},
        split=split,
        selection=step(fraction=0.9, dedupe=exact("prompt", "completion"), seed=3),
    )
    here.mix = {**here.mix, "again": ("select * from domain where n % 2 = 0", 0.5, 1)}
    done = here.run()
    assert done.step is not None, done.problems
    ledger = done.step.ledger
    assert ledger.unexplained == 0
    assert {line.fate for line in ledger.lines} == {"filtered", "sampled_out", "duplicate", "unmixed"}
    assert ledger.read == 40 + 300 + 40
    assert ledger.eval == 20
    again = here.run()
    assert again.cached
    assert again.step == done.step
