"""Lints of all rows together: exact counts and ids, whatever the batches."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lint_rows import Rows

from ftc.lints import LINTS, describe, small_eval

LONG = "a long story about {} that goes on and on, with many words in it, until {} of them were said in all"


def stories(count: int) -> list[tuple[str, str | None]]:
    words = ["sun", "moon", "river", "stone", "bread", "letter", "garden", "winter", "horse", "window"]
    return [
        (
            " ".join(words[(n * 7 + k * k) % 10] + str((n + k) % 13) for k in range(30)) + f" {n}",
            f"answer {n}.",
        )
        for n in range(count)
    ]


def test_a_held_out_prompt_that_is_trained_on() -> None:
    pairs = [*stories(6), ("the same", "yes"), ("the same", "yes"), ("only here", "no")]
    rows = Rows(pairs, held_out=frozenset({7, 8}))
    result = rows.results()["leakage"]
    assert (result.rows, result.looked_at) == (1, 2)
    assert [(hit.id, hit.other) for hit in result.first] == [("r:8", "r:7")]
    assert "a prompt that is trained on" in describe(result).message


def test_a_document_that_is_trained_on() -> None:
    rows = Rows([("one text", None), ("one text", None), ("another", None)], held_out=frozenset({0}))
    assert describe(rows.results()["leakage"]).message == "one held-out row has a text that is trained on too"


def test_nothing_held_out_or_nothing_trained_leaks_nothing() -> None:
    same = [("the same", "yes")] * 4
    for held_out in (frozenset[int](), frozenset(range(4))):
        assert not {"leakage", "near_leakage"} & set(Rows(same, held_out=held_out).results())


def test_prompts_that_differ_in_case_blanks_and_end_punctuation() -> None:
    pairs = [("What is  it", "a"), ("what is it?", "a"), ("What was it?", "a"), ('"what IS it" ', "a")]
    rows = Rows(pairs, held_out=frozenset({1, 3}))
    result = rows.results()["near_leakage"]
    assert [(hit.id, hit.other) for hit in result.first] == [("r:2", "r:1"), ("r:4", "r:1")]
    assert (result.figure("alike"), result.figure("overlapping")) == (2, 0)


def test_a_prompt_with_a_few_words_changed() -> None:
    known = stories(40)
    words = known[3][0].split()
    near = " ".join([*words[:-2], "changed"])
    far = " ".join(words[:10] + ["other"] * 20)
    rows = Rows(
        [*known, (near, "x"), (far, "y"), (" ".join(words[:6]), "z")], held_out=frozenset({40, 41, 42})
    )
    result = rows.results()["near_leakage"]
    assert [(hit.id, hit.other) for hit in result.first] == [("r:41", "r:4")]
    assert (result.rows, result.figure("overlapping"), result.looked_at) == (1, 1, 3)


def test_a_prompt_inside_a_longer_conversation() -> None:
    known = stories(40)
    turn = known[5][0]
    longer = (f"before it {turn} and its answer, then another question", "answer")
    rows = Rows([*known[:5], *known[6:], longer, (turn, "y")], held_out=frozenset({40}))
    assert rows.results()["near_leakage"].first[0].other == "r:40"


def test_what_a_template_puts_around_prompts_does_not_count() -> None:
    frame = " ".join(f"instruction{n}" for n in range(40))
    pairs: list[tuple[str, str | None]] = [(f"{frame} question {n} about {n * 3}", "x") for n in range(30)]
    assert "near_leakage" not in Rows(pairs, held_out=frozenset({1, 2, 3})).results()
    assert "near_leakage" not in Rows(pairs[:8], held_out=frozenset({1})).results()


def test_the_groups_of_near_duplicates_are_named() -> None:
    known = stories(20)
    pairs = [*known, (known[2][0] + " too", "x")]
    rows = Rows(pairs, held_out=frozenset({20}), groups_by_id={"r:21": "north", "r:3": "south"})
    (note,) = (note for note in describe(rows.results()["near_leakage"]).notes if "group" in note)
    assert note == "r:21 is in the group north, and r:3 in south"


def test_different_answers_to_one_prompt() -> None:
    pairs = [*stories(4), ("is it", "yes"), ("what", "a"), ("is it", "no"), ("what", "a"), ("is it", "no")]
    rows = Rows(pairs)
    result = rows.results()["contradictory_answers"]
    assert (result.rows, result.figure("prompts"), result.facts["closed"]) == (3, 1, False)
    assert [(hit.id, hit.other) for hit in result.first] == [("r:5", "r:7")]
    labelled = Rows([(f"q{n}", "yes" if n % 2 else "no") for n in range(30)] + [("q1", "no")])
    closed = labelled.results()["contradictory_answers"]
    assert (closed.rows, closed.facts["closed"], closed.notable) == (2, True, True)


def test_documents_contradict_nothing() -> None:
    assert "contradictory_answers" not in Rows([("a", None), ("a", None)]).results()


def test_repeated_rows() -> None:
    pairs = [("a", "1"), ("b", "2"), ("a", "1"), ("a", "3"), ("b", "2"), ("a", "1")]
    rows = Rows(pairs, held_out=frozenset({5}))
    result = rows.results()["duplicates"]
    assert (result.rows, [(hit.id, hit.other) for hit in result.first]) == (
        2,
        [("r:3", "r:1"), ("r:5", "r:2")],
    )


def test_few_repeated_rows_are_not_worth_a_word() -> None:
    pairs = stories(400)
    assert not Rows([*pairs, pairs[0]]).results()["duplicates"].notable
    assert Rows([*pairs, *pairs[:8]]).results()["duplicates"].notable


def test_an_answer_that_is_nearly_always_right() -> None:
    def labels(**counts: int) -> Rows:
        answers = [label for label, count in counts.items() for _ in range(count)]
        return Rows([(f"q{n}", answer) for n, answer in enumerate(answers)])

    assert "label_imbalance" not in labels(yes=40, no=60).results()
    common = labels(yes=85, no=15).results()["label_imbalance"]
    assert (common.rows, common.word("common"), common.word("share")) == (85, "yes", "85 %")
    rare = labels(a=50, b=46, c=4).results()["label_imbalance"]
    assert (rare.rows, rare.word("rare")) == (4, "c")
    assert "every training row" in describe(labels(yes=20).results()["label_imbalance"]).message
    assert "label_imbalance" not in Rows([(f"q{n}", f"a{n}") for n in range(100)]).results()


def test_rows_that_are_far_longer() -> None:
    pairs: list[tuple[str, str | None]] = [(f"{'word ' * (20 + n % 9)}{n}", "fine") for n in range(200)]
    assert "length_outliers" not in Rows(pairs).results()
    assert "length_outliers" not in Rows([*pairs, ("word " * 200, "x")]).results()
    rows = Rows([*pairs, ("word " * 300, "x"), ("word " * 900, "x")])
    result = rows.results()["length_outliers"]
    assert (result.rows, rows.ids("length_outliers"), result.figure("longest")) == (
        2,
        ["r:202", "r:201"],
        901,
    )


def wilson(right: int, rows: int) -> tuple[float, float]:
    """Wilson's interval as textbooks write it."""
    z, share = small_eval.Z, right / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return centre - half, centre + half


@settings(deadline=None)
@given(st.integers(1, 500).map(lambda half: 2 * half))
def test_the_widest_interval_of_a_score(rows: int) -> None:
    low, high = wilson(rows // 2, rows)
    assert small_eval.half_width(rows) == pytest.approx((high - low) / 2)
    assert all((b - a) <= (high - low) + 1e-12 for a, b in (wilson(k, rows) for k in range(rows + 1)))


def test_how_many_rows_a_score_needs() -> None:
    needed = small_eval.rows_needed(0.05)
    assert needed == 381
    assert small_eval.half_width(needed) <= 0.05 < small_eval.half_width(needed - 1)
    found = small_eval.judge(100, ("loss", "exact_match"))
    assert found is not None
    assert "100 held-out rows are few: exact match is known to ± 9.6 points" in describe(found).message
    assert small_eval.judge(400, ("exact_match",)) is None
    assert small_eval.judge(5, ("loss",)) is None


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "A?", "b", "write to ada@lovelace.org", "caf\ufffd", LONG.format(1, 2)]),
        st.sampled_from(
            ["yes", "no", "", "It ends here, as it should, with a stop.", "It does not end, as it", None]
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(ROWS, st.integers(1, 40))
def test_results_do_not_depend_on_the_batches(rows: list[tuple[str, str | None, bool]], batch: int) -> None:
    held_out = frozenset(number for number, row in enumerate(rows) if row[2])
    made = Rows([row[:2] for row in rows], held_out=held_out)
    assert made.results(batch) == made.results()


@settings(deadline=None)
@given(ROWS)
def test_counts_are_those_of_counting_by_hand(rows: list[tuple[str, str | None, bool]]) -> None:
    held_out = frozenset(number for number, row in enumerate(rows) if row[2])
    found = Rows([row[:2] for row in rows], held_out=held_out).results()
    seen: set[tuple[object, ...]] = set()
    repeated = sum(row in seen or seen.add(row) is not None for row in rows)
    trained = {asked for asked, _, out in rows if not out}
    leaked = sum(out and asked in trained for asked, _, out in rows)
    answers: dict[str, set[str]] = {}
    for asked, answer, _ in rows:
        answers.setdefault(asked, set()).update([answer] if answer is not None else [])
    contradicted = sum(answer is not None and len(answers[asked]) > 1 for asked, answer, _ in rows)
    wanted = {
        "duplicates": repeated,
        "leakage": leaked,
        "contradictory_answers": contradicted,
        "empty_answers": sum(answer == "" for _, answer, _ in rows),
        "personal_data": sum("@" in asked for asked, _, _ in rows),
        "encoding_damage": sum("\ufffd" in asked for asked, _, _ in rows),
    }
    assert {name: found[name].rows if name in found else 0 for name in wanted} == wanted


@settings(deadline=None)
@given(ROWS)
def test_rows_compared_in_parts_give_the_same(rows: list[tuple[str, str | None, bool]]) -> None:
    made = Rows([row[:2] for row in rows], held_out=frozenset(n for n, row in enumerate(rows) if row[2]))
    whole = made.results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftc.lints.evidence.PART_BITS", 0)
        assert made.results() == whole


def test_every_lint_of_the_table_has_its_file_and_its_words() -> None:
    from ftc.lints import module

    for name in LINTS:
        assert hasattr(module(name), "judge")
        assert hasattr(module(name), "describe")
