"""Metrics over words against the packages and scripts that define them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.evaluation import Answer, Options, load
from ftc.evaluation.normalise import squad
from ftc.evaluation.rouge import Words
from ftc.evaluation.token_f1 import f1

WORDS = st.lists(
    st.sampled_from(["the", "a", "cat", "Cat!", "sat", "on", "mat.", "an", "it's", "7", "ünder"]), max_size=8
)
TEXTS = WORDS.map(" ".join)


def value(name: str, answer: str, *references: str, **options: object) -> float | None:
    metric = load(name)
    assert metric.score is not None
    columns = {"references": list(references)} if len(references) > 1 else {}
    return metric.score(Answer("", answer, references[0], columns), Options(**options))  # type: ignore[arg-type]


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_f1_is_that_of_squad_s_own_script(answer: str, reference: str) -> None:
    qasper = pytest.importorskip("lm_eval.tasks.qasper.metrics")
    assert squad(answer) == qasper.normalize_answer(answer)
    if squad(answer) and squad(reference):
        assert f1(answer, reference) == pytest.approx(qasper.f1_abstractive([answer], [reference]))


def test_f1_of_worked_examples() -> None:
    assert value("f1", "The Denver Broncos", "Denver Broncos") == 1
    assert value("f1", "in the year 1976", "1976") == pytest.approx(0.5)
    assert value("f1", "", "1976") == 0
    assert value("f1", "the", "a") == 1  # nothing is left of either
    assert value("f1", "Paris", "Rome", "Paris, France") == pytest.approx(2 / 3)


@given(TEXTS, TEXTS)
def test_f1_is_symmetric_and_within_its_range(one: str, other: str) -> None:
    assert f1(one, other) == f1(other, one)
    assert 0 <= f1(one, other) <= 1
    assert f1(one, one) == 1


def test_exact_match_says_what_it_leaves_aside() -> None:
    assert value("exact_match", " person\n", "person") == 1
    assert value("exact_match", "Person", "person") == 0
    assert value("exact_match", "The person.", "person", normalise="squad") == 1
    assert value("exact_match", " person", "person", normalise="none") == 0
    assert value("exact_match", "six", "6", "six") == 1


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Positive", 1),
        ("positive.", 1),
        ('"positive"', 1),
        ("It is positive.", 1),
        ("It is very positive.", 0),
        ("positive or negative", 0),
        ("nonpositive", 0),
        ("", 0),
    ],
)
def test_accuracy_reads_the_one_label_that_an_answer_names(answer: str, right: int) -> None:
    labels = ("positive", "very positive", "negative")
    assert value("accuracy", answer, "positive", labels=labels) == right


def test_accuracy_without_labels_compares_the_whole_answer() -> None:
    assert value("accuracy", " Sport. ", "sport") == 1
    assert value("accuracy", "It is sport", "sport") == 0


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("The capital is Paris.", "paris", 1),
        ("personal", "person", 0),
        ("in 1917", "17", 0),
        ("a  new\nyear", "new year", 1),
        ("C++ is a language", "C++", 1),
        ("日本の首都は東京です", "東京", 1),
        ("Straße", "strasse", 1),
        ("ähnlich", "nlich", 0),
        ("", "x", 0),
    ],
)
def test_contains_means_whole_words(answer: str, reference: str, right: int) -> None:
    assert value("contains", answer, reference) == right


def test_contains_without_a_reference_scores_nothing() -> None:
    assert value("contains", "anything", "  ") is None


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("so 12 * 7 = 84.", "84", 1),
        ("$1,234.50 in all", "1234.5", 1),
        ("-5 degrees", "-5", 1),
        ("−5", "-5", 1),
        ("7-5", "5", 1),
        ("about 6.02e23", "602000000000000000000000", 1),
        ("42%", "42", 1),
        ("version 1.2.3", "2.3", 0),
        ("none", "3", 0),
        ("4 or 5", "4", 0),
        ("007", "7", 1),
    ],
)
def test_the_last_number_counts(answer: str, reference: str, right: int) -> None:
    assert value("number_match", answer, reference) == right


def test_a_number_may_be_off_by_the_tolerance() -> None:
    assert value("number_match", "101", "100", tolerance=0.01) == 1
    assert value("number_match", "102", "100", tolerance=0.01) == 0
    assert value("number_match", "102", "no number here") is None


@given(st.decimals(-(10**12), 10**12, places=3))
def test_a_number_is_read_as_it_was_written(number: object) -> None:
    assert value("number_match", f"It is {number:,}.", f"{number}") == 1


@settings(deadline=None)
@given(st.text(string.ascii_letters + string.digits + " .,-!?'\n"))
def test_the_words_of_rouge_are_the_package_s_own_for_ascii(text: str) -> None:
    from rouge_score.tokenizers import DefaultTokenizer

    assert Words().tokenize(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


def test_rouge_of_other_alphabets_is_not_zero() -> None:
    assert value("rouge1", "η γάτα κοιμάται", "η γάτα τρώει") == pytest.approx(2 / 3)
    assert value("rougeL", "Zwölf Boxkämpfer", "zwölf boxkämpfer") == 1


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_rouge_is_that_of_the_package(answer: str, reference: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    ascii_only = [text.replace("ü", "u") for text in (answer, reference)]
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(ascii_only[1], ascii_only[0])
    for name, found in theirs.items():
        assert value(name, *ascii_only) == pytest.approx(found.fmeasure)


def test_rouge_of_a_worked_example() -> None:
    """Lin 2004, section 3: `police killed the gunman` and `police kill the gunman` share 3 of 4 in order."""
    assert value("rougeL", "police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert value("rougeL", "the gunman kill police", "police killed the gunman") == pytest.approx(0.5)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6))
def test_bleu_of_a_suite_is_sacrebleu_s_corpus_bleu(pairs: list[tuple[str, str]]) -> None:
    from sacrebleu import corpus_bleu

    bleu = load("bleu")
    assert bleu.parts is not None
    assert bleu.combine is not None
    parts = [bleu.parts(Answer("", answer, reference), Options()) for answer, reference in pairs]
    found = bleu.combine([sum(column) for column in zip(*parts, strict=True)])
    answers, references = zip(*pairs, strict=True)
    assert found == pytest.approx(corpus_bleu(list(answers), [list(references)]).score)
    assert -1e-9 <= found <= 100 + 1e-9


def test_bleu_and_chrf_of_one_answer_are_sacrebleu_s() -> None:
    from sacrebleu import sentence_bleu, sentence_chrf

    answer, references = "the cat is on the mat", ["there is a cat on the mat", "the cat sat on the mat"]
    assert value("bleu", answer, *references) == pytest.approx(sentence_bleu(answer, references).score)
    assert value("chrf", answer, *references) == pytest.approx(sentence_chrf(answer, references).score)
    assert value("chrf", answer, answer) == pytest.approx(100)
