from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.data.kept.lineage import Lineage
from ftc.data.kept.lookup import Accounted
from ftc.data.kept.shown import PackedIn, ShownExample, Token
from ftc.data.query.origin import SourceRow
from ftc.diagnostics import Finding

TOKENS = (
    ("<|im_start|>", False),
    ("system\nYou name.", False),
    ("<|im_end|>", False),
    ("\n", False),
    ("<|im_start|>assistant\n", False),
    ("hu", True),
    ("man\n", True),
    ("\tlocation", True),
    ("<|im_end|>", True),
    ("\n", False),
)


def example(tokens: tuple[tuple[str, bool], ...] = TOKENS, name: str = "trec:12") -> ShownExample:
    trained = sum(on for _, on in tokens)
    each = tuple(Token(number, text, on) for number, (text, on) in enumerate(tokens, 100))
    return ShownExample(name, "train", tokens=tokens, length=len(tokens), trained=trained, each=each)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, object]]]:
    """Let the library answer with given examples; returns the list of calls it was given."""

    def install(*examples: ShownExample, findings: tuple[Finding, ...] = ()) -> list[dict[str, object]]:
        calls: list[dict[str, object]] = []

        def answer(recipe: Path, **options: object) -> api.ExamplesResult:
            calls.append({"recipe": recipe, **options})
            return api.ExamplesResult(recipe, findings, examples)

        monkeypatch.setattr(api, "examples", answer)
        return calls

    return install


def test_trained_tokens_stand_in_brackets_without_colour(ftc, shown, snapshot) -> None:
    shown(example(), example((("one document.", True), ("<|endoftext|>", True)), name="more:1"))
    ran = ftc("show", "r.toml")
    assert (ran.code, ran.err) == (0, "")
    snapshot("show", ran.out)


def test_trained_tokens_are_coloured_line_by_line(ftc, shown) -> None:
    shown(example())
    lines = ftc("show", "--color", "always", "r.toml").out.splitlines()
    assert lines[:6] == [
        "\x1b[1mtrec:12\x1b[0m  \x1b[2mtrain, 10 tokens, 4 with loss\x1b[0m",
        "<|im_start|>system⏎",
        "You name.<|im_end|>⏎",
        "<|im_start|>assistant⏎",
        "\x1b[30;42mhuman⏎\x1b[0m",
        "\x1b[30;42m⇥location<|im_end|>\x1b[0m⏎",
    ]


def test_text_that_looks_like_our_marks_is_told_apart(ftc, shown) -> None:
    shown(example((("a ⟦b⟧ ", False), ("c", True))))
    assert "\na <U+27E6>b<U+27E7> ⟦c⟧\n" in ftc("show", "r.toml").out


@pytest.mark.parametrize("color", ["always", "never"])
def test_a_row_cannot_touch_the_terminal(ftc, shown, color: str) -> None:
    shown(example((("\x1b[2J\x1b[42mevil\r", False), ("\x07ok\x1b[0m", True)), name="\x1b]0;x\x07"))
    out = ftc("show", "--color", color, "r.toml").out
    assert "␛[2J␛[42mevil␍" in out
    assert "␇ok␛[0m" in out
    assert "␛]0;x␇" in out
    assert "\x07" not in out


def test_a_huge_row_is_abridged_unless_wanted_in_full(ftc, shown) -> None:
    shown(example((("x" * 1_000_000, False), ("y" * 5000, True))))
    short, full = ftc("show", "r.toml").out, ftc("show", "--full", "r.toml").out
    assert "\n… 998,800 characters without loss not shown; --full shows them …\n" in short
    assert short.count("x") < 1300
    assert "y" * 5000 in short
    assert "x" * 1_000_000 in full


def test_options_reach_the_library(ftc, shown) -> None:
    calls = shown()
    ftc("show", "r.toml", "--rows", "7", "--eval", "--longest", "--set", "seed=3")
    [call] = calls
    assert {key: call[key] for key in ("rows", "part", "order", "set")} == {
        "rows": 7,
        "part": "eval",
        "order": "longest",
        "set": ("seed=3",),
    }


def test_several_recipes_are_told_apart(ftc, shown) -> None:
    shown(example())
    assert re.findall(r"^.\.toml$", ftc("show", "a.toml", "b.toml").out, re.MULTILINE) == ["a.toml", "b.toml"]


def test_rows_must_be_at_least_one(ftc, shown) -> None:
    shown()
    assert ftc("show", "r.toml", "--rows", "0").code == 2


def test_json_has_every_token(ftc, shown) -> None:
    shown(example())
    document = json.loads(ftc("show", "--json", "r.toml").out)
    [result] = document["results"]
    [only] = result["examples"]
    assert (only["id"], only["part"], only["length"], only["trained"]) == ("trec:12", "train", 10, 4)
    assert tuple((text, trained) for text, trained in only["tokens"]) == TOKENS


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the library answer with the ways of given rows."""

    def install(*rows: Lineage, findings: tuple[Finding, ...] = ()) -> None:
        monkeypatch.setattr(api, "trace", lambda recipe, *_, **__: api.TraceResult(recipe, findings, rows))

    return install


def way(**changes: Any) -> Lineage:
    values = {"question": "Who wrote\nHamlet?", "kind": " human", "tags": ["a", None], "n": float("nan")}
    packed = PackedIn(4, 10, 90, 128, tuple(f"trec:{n}" for n in range(20)))
    row = Lineage(
        id="trec:12",
        query="",
        source=SourceRow("trec", 12, {**values, "more": "x" * 200}),
        values={"prompt": "Who wrote\nHamlet?", "completion": " human"},
        side="train",
        why="the hash of its `prompt` is 0.7170 of the way from 0 to 1; those below 0.2 are held out",
        fate=None,
        reason="",
        changes=(Accounted("trec:12", "redacted", "email"),),
        examples=(replace(example(), packed=packed),),
    )
    return replace(row, **changes)


WENT = {"side": None, "why": "", "fate": "too_long", "reason": "57 tokens, and the limit is 56"}


def test_the_way_of_a_row_is_shown_from_its_source_to_its_text(ftc, traced, snapshot) -> None:
    traced(way())
    ran = ftc("show", "r.toml", "--id", "trec:12")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    snapshot("show-id", ran.out)


def test_every_token_is_shown_with_its_number_and_loss(ftc, traced, snapshot) -> None:
    traced(way(source=None, changes=()))
    snapshot("show-tokens", ftc("show", "r.toml", "--id", "trec:12", "--tokens").out)


def test_a_row_that_went_says_why_and_what_it_would_have_been(ftc, traced, snapshot) -> None:
    traced(way(**WENT, examples=(), changes=(), text=(("a prompt", False), (" an answer", True))))
    ran = ftc("show", "r.toml", "--id", "trec:12")
    assert ran.code == 0
    snapshot("show-went", ran.out)


def test_all_parts_of_a_split_row_are_shown(ftc, traced) -> None:
    parts = tuple(example(name=f"trec:12/{part}") for part in (1, 2))
    traced(way(examples=parts, changes=(Accounted("trec:12", "split", "2 pieces"),)))
    lines = ftc("show", "r.toml", "--id", "trec:12").out.splitlines()
    assert "trec:12/1  train, 10 tokens, 4 with loss" in lines
    assert "trec:12/2  train, 10 tokens, 4 with loss" in lines
    assert "changed    split: 2 pieces" in lines


def test_an_unreadable_row_is_shown_as_it_stands(ftc, traced) -> None:
    raw = SourceRow("trec", 6, None, '{"broken\x1b[2J: 1}')
    traced(way(id="trec.jsonl:6", source=raw, values=None, examples=(), changes=(), **WENT))
    out = ftc("show", "r.toml", "--id", "trec.jsonl:6").out
    assert '           {"broken␛[2J: 1}\n' in out
    assert "carry loss" not in out


def test_json_has_the_whole_way(ftc, traced) -> None:
    traced(way())
    (result,) = json.loads(ftc("show", "--json", "r.toml", "--id", "trec:12").out)["results"]
    (row,) = result["rows"]
    assert row["source"]["values"]["tags"] == ["a", None]
    assert row["source"]["values"]["n"] == "nan"
    assert row["changes"] == [{"id": "trec:12", "fate": "redacted", "reason": "email"}]
    (only,) = row["examples"]
    assert only["each"][5] == [105, "hu", True]
    assert (only["sequence"]["number"], only["sequence"]["rows"][0]) == (4, "trec:0")


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    calls: list[dict[str, object]] = []

    def answer(recipe: Path, **options: object) -> api.AccountResult:
        calls.append(options)
        rows = (Accounted("trec:\x1b1", "filtered", "the query leaves the row out"),)
        return api.AccountResult(recipe, (), rows, 41 if options["fates"] != ("split",) else 0)

    monkeypatch.setattr(api, "account", answer)
    return calls


def test_rows_that_went_are_listed_with_their_reasons(ftc, listed) -> None:
    ran = ftc("show", "r.toml", "--dropped")
    assert ran.out == (
        "trec:␛1\n    filtered: the query leaves the row out\n\nand 40 more; --rows shows more of them\n\n"
    )
    ftc("show", "r.toml", "--fate", "filtered", "--fate", "too_long", "--rows", "7")
    assert [(call["fates"], call["rows"]) for call in listed] == [((), 20), (("filtered", "too_long"), 7)]
    assert ftc("show", "r.toml", "--fate", "split").out == "no row went that way\n\n"
    (result,) = json.loads(ftc("show", "r.toml", "--dropped", "--json").out)["results"]
    assert (result["total"], result["rows"][0]["fate"]) == (41, "filtered")


@pytest.mark.parametrize(
    "typed",
    [
        ("--id", "a", "--rows", "3"),
        ("--id", "a", "--dropped"),
        ("--longest", "--random"),
        ("--dropped", "--eval"),
        ("--fate", "filtered", "--tokens"),
        ("--fate", "eaten"),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(ftc, typed: tuple[str, ...]) -> None:
    assert ftc("show", "r.toml", *typed).code == 2


def test_an_id_that_is_not_there_is_said_and_counts_as_wrong(ftc, traced) -> None:
    traced(findings=(Finding("FTC604", "no row has the id x", place="x"),))
    ran = ftc("show", "r.toml", "--id", "x")
    assert (ran.code, ran.out) == (1, "")
    assert "no row has the id x" in ran.err
