"""The parts that pages are made of, by themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftc.data.kept.shown import Token
from ftc.data.packing.lengths import histogram
from ftc.plan.account import Fate, Ledger, LedgerLine, SourceRows
from ftc.report import lengths
from ftc.report.answers import suite_answers
from ftc.report.curves import charts, read_record, thinned
from ftc.report.examples import page_example, pieces
from ftc.report.flow import equation, narrow, wide
from ftc.report.measured import suite_pages
from ftc.report.svg import Scale, coordinate, element, short, ticks

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    from tokenizers import Tokenizer

    from models import write_tiny_tokenizer

    directory = tmp_path_factory.mktemp("tokenizer")
    write_tiny_tokenizer(directory)
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


def shown(tokenizer, parts: list[tuple[str, bool]]) -> tuple[list[tuple[str, bool]], list[Token]]:
    """Stretches and tokens as the viewer of compiled rows gives them."""
    stretches, tokens = [], []
    for text, trained in parts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if ids:
            stretches.append((tokenizer.decode(ids, skip_special_tokens=False), trained))
        for id_ in ids:
            alone = tokenizer.decode([id_], skip_special_tokens=False)
            raw = tokenizer.id_to_token(id_)
            tokens.append(Token(id_, raw if "\ufffd" in alone else alone, trained))
    return stretches, tokens


@settings(max_examples=40, deadline=None)
@given(TEXT, TEXT, TEXT)
@example("日本語", "größe 👩‍👩‍👧", " the fox")
@example("�", "Ã©é", "")
def test_pieces_are_the_text_cut_where_tokens_end(tokenizer, first: str, second: str, third: str) -> None:
    texts = [one for one in (first, second, third) if one]
    parts = [(text, place % 2 == 1) for place, text in enumerate(texts)]
    stretches, tokens = shown(tokenizer, parts)
    cut = list(pieces(stretches, tokens))
    assert "".join(piece.text for piece in cut) == "".join(text for text, _ in stretches)
    assert [id_ for piece in cut for id_ in piece.ids] == [token.id for token in tokens]
    for trained in (True, False):
        of_one = "".join(piece.text for piece in cut if piece.trained is trained)
        assert of_one == "".join(text for text, on in stretches if on is trained)


def test_a_long_text_is_cut_and_says_so(tokenizer) -> None:
    from ftc.data.kept.shown import ShownExample

    stretches, tokens = shown(tokenizer, [("fox & dog " * 2000, True)])
    row = ShownExample("r:1", "train", tuple(stretches), len(tokens), len(tokens), tuple(tokens))
    (text,) = page_example(row, "").texts
    assert re.fullmatch(r"[\d,]+ tokens in the middle are not shown", text.cut)
    assert len(text.body) < 40_000
    assert "& " not in text.body


def test_the_size_of_a_page_does_not_follow_the_data(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    sides = {
        when: {"answer": "a" * 90_000, "scores": {"exact_match": score}, "parts": {}} for when, score in SIDES
    }
    rows = [
        {"id": f"r:{n}" + "x" * 5000, "prompt": "p" * 90_000, "reference": "r", **sides} for n in range(40)
    ]
    (tmp_path / "answers" / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"metric": "exact_match", "title": "exact match", "better": "higher"}
    (found,) = suite_answers(tmp_path, {"suites": [{"suite": "s", "metrics": [told]}]})
    assert [(part.way, part.said) for part in found.changed] == [("wrong to right", "6 of 40 rows")]
    assert len(repr(found)) < 60_000
    assert len(found.others) == 4


SIDES = (("before", 0.0), ("after", 1.0))
FATES: tuple[Fate, ...] = ("invalid", "filtered", "duplicate", "too_long")


@st.composite
def ledgers(draw) -> Ledger:
    gone = draw(st.lists(st.integers(0, 5000), min_size=4, max_size=4))
    train, held, more = draw(st.integers(1, 10**6)), draw(st.integers(0, 9999)), draw(st.integers(0, 99))
    lines = [
        LedgerLine(fate=fate, reason="r", rows=rows, first_ids=())
        for fate, rows in zip(FATES, gone, strict=True)
        if rows
    ]
    if more:
        lines.append(LedgerLine(fate="split", reason="s", rows=1, first_ids=(), more=more))
    read = sum(gone) + train + held - more
    sources = (SourceRows(name="a<b", rows=max(read, 0)),)
    return Ledger(sources=sources, read=read, lines=tuple(lines), train=train, eval=held)


@given(
    st.lists(st.integers(1, 4000), min_size=1, max_size=40),
    st.sampled_from([lengths.WIDE, lengths.NARROW]),
)
def test_labels_of_lengths_stand_within_the_drawing_and_not_on_each_other(
    rows: list[int], width: float
) -> None:
    known = histogram(np.array(rows, np.int32))
    assert known is not None
    counts = tuple(np.histogram(rows, np.array(known.edges))[0].tolist())
    drawn = str(lengths._drawn(lengths.Sides(known, counts, (0,) * len(counts), None, known), width))
    taken = []
    for tag, name in re.findall(r"(<text[^>]*>)((?:half|90 %|half, 90 %))</text>", drawn):
        x, wide = float(re.search(r' x="([\d.]+)"', tag)[1]), 7 * len(name)
        start = x - wide if 'text-anchor="end"' in tag else x
        assert start >= 0
        assert start + wide <= width
        taken.append((start, start + wide))
    assert 1 <= len(taken) <= 2
    assert len(taken) == 1 or taken[0][1] <= taken[1][0]


@given(ledgers().filter(lambda one: one.read > 0))
def test_the_sums_of_the_picture_are_those_of_the_ledger(ledger: Ledger) -> None:
    told = equation(ledger).replace(",", "")
    left, _, right = told.partition(" = ")
    numbers = [
        int(f"{sign}{count}") for sign, count in re.findall(r"(?:^|([+−]) )(\d+)", left.replace("−", "- "))
    ]
    assert re.search(r"; 0 unexplained$", told)
    signed = re.findall(r"(^|\+ |− )(\d+)", left)
    total = sum(-int(count) if sign.startswith("−") else int(count) for sign, count in signed)
    assert total == int(re.match(r"\d+", right)[0]) == ledger.train + ledger.eval
    assert numbers
    for picture in (wide(ledger, None), narrow(ledger, None)):
        assert f">{ledger.train:,}<" in picture
        assert "a<b" not in picture
        heights = [float(value) for value in re.findall(r'height="(-?[\d.]+)"', picture)]
        assert min(heights) >= 0


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_round_and_within(low: float, span: float) -> None:
    high = low + span
    found = ticks(low, high)
    assert len(found) <= 7
    assert all(low - span * 1e-6 <= one <= high + span * 1e-6 for one in found)


def test_figures_are_short_and_coordinates_fixed() -> None:
    assert [short(value) for value in (0.00012, -0.5, 12345.6, 0, 2e7)] == [
        "1.2e−4",
        "−0.5",
        "12,346",
        "0",
        "2e7",
    ]
    assert [coordinate(value) for value in (1.0, -0.001, 2.345678)] == ["1", "0", "2.35"]
    assert Scale(2, 2, 0, 10)(2) == 5


def test_elements_escape_what_they_are_given() -> None:
    made = element("text", '<b>"&\x1b', class_='a" onload="x', aria_label="\u202e")
    told = "&lt;b&gt;&#34;&amp;&lt;U+001B&gt;"
    assert made == f'<text class="a&#34; onload=&#34;x" aria-label="&lt;U+202E&gt;">{told}</text>'


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=500), st.integers(1, 50))
def test_a_thinned_curve_has_means_and_ends_where_it_ended(values: list[float], most: int) -> None:
    points = tuple(enumerate(values))
    found, each = thinned(points, most)
    assert len(found) <= most
    assert found[-1][0] == points[-1][0]
    assert min(values) - 1e-9 <= min(value for _, value in found)
    assert each == -(-len(values) // most)


def test_what_is_not_finite_is_left_out_of_curves(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [{"step": 1, "loss": float("nan"), "tokens": 3}, {"step": 2, "loss": 1.0, "grad_norm": None}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = read_record(path)
    assert record.series == {"loss": ((2, 1.0),)}
    assert [chart.title for chart in charts(record)] == ["training loss"]
    assert charts(read_record(tmp_path / "none")) == ()


def measured(low: float, high: float, p_value: float, better: str) -> str:
    change = {"difference": (low + high) / 2, "low": low, "high": high, "p_value": p_value}
    figure = {"low": None, "value": None, "high": None, "count": 3}
    one = {"metric": "m", "title": "m", "better": better, "before": figure, "after": None, "change": change}
    suite = {"suite": "s", "rows": 3, "metrics": [one], "gates": [], "baselines": []}
    return suite_pages({"suites": [suite]})[0].metrics[0].said


def test_a_change_is_called_one_only_where_both_tests_say_so() -> None:
    assert measured(0.1, 0.3, 0.01, "higher") == "better"
    assert measured(0.1, 0.3, 0.01, "lower") == "worse"
    assert measured(-0.3, -0.1, 0.01, "lower") == "better"
    assert measured(-0.1, 0.3, 0.01, "higher") == "no clear change"
    assert measured(0.1, 0.3, 0.2, "higher") == "no clear change"


def test_rows_that_moved_most_stand_first_where_no_score_is_right_or_wrong(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    rows = [
        {
            "id": f"r:{n}",
            "prompt": "p" * 3000,
            "reference": None,
            "before": {"loss": 1.0, "scores": {"loss": 1.0}, "parts": {}},
            "after": {"loss": 1.0 + n / 10, "scores": {"loss": 1.0 + n / 10}, "parts": {}},
        }
        for n in range(-5, 6)
    ]
    (tmp_path / "answers" / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"metric": "embedding_loss", "title": "loss", "better": "lower"}
    (found,) = suite_answers(tmp_path, {"suites": [{"suite": "s", "metrics": [told]}]})
    ways = [(part.way, part.rows, [row.id for row in part.shown]) for part in found.changed]
    assert ways == [("worse", 5, ["r:5", "r:4", "r:3"]), ("better", 5, ["r:-5", "r:-4", "r:-3"])] or not ways
    assert found.others[0].prompt.cut == "1,800 more characters not shown"
