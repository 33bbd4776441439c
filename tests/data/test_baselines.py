"""Training examples before a prompt: what is retrieved, against BM25 written out; how they stand together."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.data.baselines import K1, Asked, B, nearest, write_rows

WORDS = st.lists(
    st.sampled_from(["fox", "dog", "the", "lazy", "capital", "Straße", "東京", "42"]), max_size=7
)
TEXTS = st.lists(WORDS.map(" ".join), min_size=1, max_size=6)


def rows(texts: list[str], name: str) -> list[Asked]:
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    return [Asked(f"{name}{number}", turns, text) for number, text in enumerate(texts)]


def bm25(question: str, texts: list[str]) -> list[float]:
    words = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    there = [counts for counts in words if counts]
    mean = sum(sum(counts.values()) for counts in there) / len(there) if there else 1.0
    total = len(there)

    def score(counts: Counter[str]) -> float:
        found = 0.0
        for word in set(re.findall(r"\w+", question.lower())):
            times, known = counts[word], sum(word in one for one in words)
            weight = math.log(1 + (total - known + 0.5) / (known + 0.5))
            length = sum(counts.values()) / mean
            found += weight * times * (K1 + 1) / (times + K1 * (1 - B + B * length)) if times else 0.0
        return found

    return [score(counts) for counts in words]


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS)
def test_the_nearest_are_those_of_bm25(questions: list[str], texts: list[str]) -> None:
    found = nearest(rows(questions, "s"), rows(texts, "p"), 2)
    for question, near in zip(questions, found, strict=True):
        scores = bm25(question, texts)
        best = sorted((-round(score, 9), number) for number, score in enumerate(scores) if score > 0)[:2]
        assert [one.id for one in reversed(near)] == [f"p{number}" for _, number in best]


@pytest.mark.parametrize("kind", ["few_shot", "retrieval"])
def test_a_row_is_no_example_of_itself(kind: str, tmp_path: Path) -> None:
    same = rows(["the fox", "the dog"], "r")
    write_rows(kind, 2, same, same, 0, tmp_path / "rows")  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert [len(line["messages"]) for line in lines] == [4, 4]


def test_one_system_message_stands_first(tmp_path: Path) -> None:
    system = {"role": "system", "content": "be brief"}
    suite = [Asked("s", [system, *rows(["a"], "s")[0].turns], "a")]
    pool = [Asked("p", [system, *rows(["a"], "p")[0].turns], "a")]
    write_rows("few_shot", 1, suite, pool, 0, tmp_path / "rows")
    (line,) = map(json.loads, (tmp_path / "rows").read_text().splitlines())
    assert [turn["role"] for turn in line["messages"]] == ["system", "user", "assistant", "user", "assistant"]


def test_texts_stand_apart(tmp_path: Path) -> None:
    turns = [{"role": "prompt", "content": "Q: a\nA:"}, {"role": "completion", "content": " b"}]
    asked = [{"role": "prompt", "content": "Q: c\nA:"}, {"role": "completion", "content": " d"}]
    write_rows("few_shot", 1, [Asked("s", asked, "")], [Asked("p", turns, "")], 0, tmp_path / "rows")
    (line,) = map(json.loads, (tmp_path / "rows").read_text().splitlines())
    assert line == {"id": "s", "prompt": "Q: a\nA: b\n\nQ: c\nA:", "completion": " d"}
