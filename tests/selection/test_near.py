"""Near duplicates against an exhaustive search: every pair by the Jaccard similarity of Python's own sets."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_rows import decisions, duplicates, near

from ftc.data.selection.bands import FOUND, bands_for
from ftc.data.selection.shingles import shingles

WORD = re.compile(r"[0-9a-z\u0080-\U0010ffff]+")
plain = st.text(st.sampled_from("ab c.,-_09é"), max_size=60)


def words_in_a_row(text: str, count: int = 3) -> set[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    if len(words) < count:
        return {tuple(words)}
    return {tuple(words[at : at + count]) for at in range(len(words) - count + 1)}


def jaccard(a: str, b: str) -> float:
    some, others = words_in_a_row(a), words_in_a_row(b)
    return len(some & others) / len(some | others)


def texts(count: int, seed: int) -> list[str]:
    """Texts of which about half are made of others by changing a few words."""
    chance = random.Random(seed)  # noqa: S311
    words = [f"w{n}" for n in range(300)]
    made: list[list[str]] = []
    for _ in range(count):
        if made and chance.random() < 0.5:
            text = list(chance.choice(made))
            for _ in range(chance.randrange(0, 9)):
                text[chance.randrange(len(text))] = chance.choice(words)
        else:
            text = chance.choices(words, k=chance.randrange(2, 80))
        made.append(text)
    return [" ".join(text) for text in made]


@given(st.lists(plain, min_size=1, max_size=12), st.integers(1, 4))
@settings(deadline=None)
def test_sets_of_words_are_those_of_pythons_regular_expressions(some: list[str], count: int) -> None:
    hashes, bounds = shingles(pa.array(some, pa.string()), count)
    assert len(bounds) == len(some) + 1
    found = [set(hashes[a:b].tolist()) for a, b in pairwise(bounds)]
    wanted = [words_in_a_row(text, count) for text in some]
    for i, own in enumerate(found):
        assert len(own) == len(wanted[i])
        for j, other in enumerate(found):
            assert len(own & other) == len(wanted[i] & wanted[j])


def test_a_slice_of_a_column_has_the_same_sets() -> None:
    column = pa.array(["one two three four", "", "five six seven", "un deux trois quatre"])
    whole, bounds = shingles(column, 3)
    part, inner = shingles(column.slice(1, 2), 3)
    assert part.tolist() == whole[bounds[1] : bounds[3]].tolist()
    assert inner.tolist() == (bounds[1:4] - bounds[1]).tolist()


def test_chinese_characters_are_words() -> None:
    hashes, bounds = shingles(
        pa.array(["今天天气很好。我们去公园", "今天天气很好，我们去公园", "今天 abc"]), 3
    )
    sets = [set(hashes[a:b].tolist()) for a, b in pairwise(bounds)]
    assert len(sets[0]) == 9
    assert sets[0] == sets[1], "punctuation counts"
    assert len(sets[2]) == 1


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.95, 1.0])
def test_the_bands_find_a_pair_at_the_threshold(similarity: float) -> None:
    bands = bands_for(similarity, 128)
    assert 1 - (1 - similarity ** (128 // bands)) ** bands >= FOUND
    if bands > 1:
        assert 1 - (1 - similarity ** (128 // (bands - 1))) ** (bands - 1) < FOUND


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("similarity", [0.6, 0.8])
def test_against_every_pair(tmp_path: Path, seed: int, similarity: float) -> None:
    rows = texts(300, seed)
    gone = duplicates(tmp_path, [{"prompt": text, "completion": ""} for text in rows], near(similarity))
    assert all(jaccard(rows[row], rows[first]) >= similarity for row, first in gone.items())
    assert all(first < row and first not in gone for row, first in gone.items())
    stay = [row for row in range(len(rows)) if row not in gone]
    missed = [
        (a, b) for at, b in enumerate(stay) for a in stay[:at] if jaccard(rows[a], rows[b]) >= similarity
    ]
    assert len(missed) <= 0.02 * len(gone)


def test_what_stays_has_no_near_duplicates_and_keeps_its_order(tmp_path: Path) -> None:
    rows = [{"prompt": text, "completion": str(n)} for n, text in enumerate(texts(250, 9))]
    gone = duplicates(tmp_path / "once", rows, near(0.7))
    left = [row for n, row in enumerate(rows) if n not in gone]
    assert gone
    assert duplicates(tmp_path / "twice", left, near(0.7)) == {}


def test_messages_are_compared_by_what_is_said(tmp_path: Path) -> None:
    said = "the quick brown fox jumps over the lazy dog and then sleeps in the sun until noon"
    rows = [
        {"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": "ok"}]},
        {"messages": [{"role": "user", "content": said + "!"}, {"role": "assistant", "content": "ok"}]},
        {"messages": [{"role": "user", "content": "something else"}, {"role": "assistant", "content": "ok"}]},
    ]
    step = near(0.8).model_copy(update={"columns": ("messages",)})
    assert duplicates(tmp_path / "structs", rows, step) == {1: 0}
    sql = "select to_json(messages) as messages from t"
    assert duplicates(tmp_path / "json", rows, step, sql=sql) == {1: 0}


def test_many_rows_that_share_a_band_are_compared_in_bounded_time(tmp_path: Path) -> None:
    boiler = " ".join(f"b{n}" for n in range(40))
    rows = [{"prompt": f"{boiler} {n} {n * 7} {n * 13} end{n}", "completion": ""} for n in range(1500)]
    gone = duplicates(tmp_path, rows, near(0.9))
    assert gone == {}
    assert len(decisions(tmp_path / "again", rows, near(0.7))) == 1500
