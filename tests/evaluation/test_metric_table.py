"""The table of metrics: each loads by its name, and loading the table loads no library."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.evaluation import METRICS, Answer, Options, checks, load
from ftc.evaluation.retrieval import discounted, gains, ndcg, recall, reciprocal_rank
from ftc.evaluation.statistics import bootstrap_parts

PERFECT = {
    "mrr": {"ranked": ["a", "b"], "relevant": ["a"]},
    "recall": {"ranked": ["a", "b"], "relevant": ["a", "b"]},
    "ndcg": {"ranked": ["a", "b"], "relevant": {"a": 2, "b": 1}},
    "preference_accuracy": {"chosen": -1.0, "rejected": -2.0},
    "refusal_accuracy": {"refuse": False},
    "json_schema": {"json_schema": {"const": 7}},
    "regex": {"pattern": "^7$"},
    "format": {"form": "one_word"},
    "length": {"at_most": 1},
    "checks": {"checks": [{"metric": "contains"}]},
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_loads_and_has_the_best_score_for_a_right_answer(name: str) -> None:
    metric = load(name)
    assert metric.name == name
    assert metric.title
    if metric.score is None:
        assert metric.needs in ("loss", "judge", "harness")
        return
    text = "one of seven" if name == "rouge2" else "7"
    answer = Answer("What is it?", text, text, PERFECT.get(name, {}))
    found = metric.score(answer, Options(labels=("7", "8")))
    best = metric.high if metric.better == "higher" else metric.low
    assert found == pytest.approx(best)


def test_the_table_and_its_metrics_load_no_library() -> None:
    probe = """
import sys
from ftc.evaluation import METRICS, Options, load
from ftc.evaluation.suites import SUITES, rows
[load(name) for name in METRICS], [rows(name) for name in SUITES]
load("json_schema").problems(Options(json_schema={"type": "object"}))
heavy = {"numpy", "rouge_score", "sacrebleu", "jsonschema", "nltk", "torch", "transformers", "lm_eval"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", probe], check=True)


def test_a_missing_library_is_found_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    for name in ("rouge1", "rougeL", "bleu", "chrf", "json_schema"):
        (found,) = load(name).problems(Options())
        assert found.code == "FTC570"
        assert 'pip install "ftc[eval]"' in found.help[0]


def test_perplexity_is_the_exponential_of_the_mean_loss() -> None:
    metric = load("perplexity")
    assert metric.combine is not None
    found = bootstrap_parts([(math.log(4) * 3, 3.0), (math.log(4) * 5, 5.0)], metric.combine, seed=1)
    assert (found.low, found.value, found.high) == (pytest.approx(4),) * 3
    assert metric.combine([1e6, 1.0]) == math.inf
    assert load("loss").better == "lower"


def test_a_tie_of_preferences_counts_half() -> None:
    score = load("preference_accuracy").score
    assert score is not None
    assert [score(Answer("", "", "", {"chosen": c, "rejected": 1.0}), Options()) for c in (2, 1, 0)] == [
        1,
        0.5,
        0,
    ]
    assert score(Answer("", ""), Options()) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=20))
def test_macro_f1_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    metric = load("macro_f1")
    assert metric.parts is not None
    assert metric.combine is not None
    rows = [metric.parts(Answer("", found, right), Options(labels=(*"abcde",))) for found, right in pairs]
    ours = metric.combine([sum(column) for column in zip(*rows, strict=True)])
    found, right = zip(*pairs, strict=True)
    assert ours == pytest.approx(sklearn.f1_score(right, found, average="macro"))


def test_reciprocal_rank_of_the_textbook_example() -> None:
    """The plurals of cat, torus and virus: ranks 3, 2 and 1 (Wikipedia, Mean reciprocal rank), 11/18."""
    ranked = [["catten", "cati", "cats"], ["torii", "tori", "toruses"], ["viruses", "virii", "viri"]]
    right = ["cats", "tori", "viruses"]
    found = [reciprocal_rank(r, gains([one]), 10) for r, one in zip(ranked, right, strict=True)]
    assert sum(found) / 3 == pytest.approx(11 / 18)
    assert reciprocal_rank(ranked[0], gains(["cats"]), 2) == 0


def test_ndcg_of_the_textbook_example() -> None:
    """Gains 3, 2, 3, 0, 1, 2 in this order (Wikipedia, Discounted cumulative gain): 6.861."""
    relevant = {f"d{n}": gain for n, gain in enumerate([3, 2, 3, 0, 1, 2], 1)}
    assert discounted([*relevant.values()]) == pytest.approx(6.861, abs=5e-4)
    both = {**gains(relevant), "d7": 3.0, "d8": 2.0}
    assert ndcg([*relevant], both, 6) == pytest.approx(0.785, abs=5e-4)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=12).filter(any), st.integers(1, 12), st.randoms())
def test_ndcg_is_that_of_scikit_learn(grades: list[int], k: int, random: object) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    ids = [f"d{n}" for n in range(len(grades))]
    ranked = random.sample(ids, len(ids))  # type: ignore[attr-defined]
    scores = [float(-ranked.index(one)) for one in ids]
    theirs = sklearn.ndcg_score([grades], [scores], k=k)
    assert ndcg(ranked, gains(dict(zip(ids, grades, strict=True))), k) == pytest.approx(theirs)


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.sets(st.sampled_from("abcdef"), min_size=1))
def test_recall_grows_with_k(ranked: list[str], relevant: set[str]) -> None:
    found = [recall(ranked, gains(sorted(relevant)), k) for k in range(8)]
    assert found == sorted(found)
    assert found[-1] == len(relevant & set(ranked)) / len(relevant)
