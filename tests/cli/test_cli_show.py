from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc import api
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


def example(tokens: tuple[tuple[str, bool], ...] = TOKENS, name: str = "trec:12") -> api.ShownExample:
    trained = sum(on for _, on in tokens)
    return api.ShownExample(id=name, part="train", tokens=tokens, length=len(tokens), trained=trained)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, object]]]:
    """Let the library answer with given examples; returns the list of calls it was given."""

    def install(*examples: api.ShownExample, findings: tuple[Finding, ...] = ()) -> list[dict[str, object]]:
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
    ftc("show", "r.toml", "--rows", "7", "--eval", "--id", "a", "--id", "b", "--set", "seed=3")
    [call] = calls
    assert {key: call[key] for key in ("rows", "part", "ids", "set")} == {
        "rows": 7,
        "part": "eval",
        "ids": ("a", "b"),
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


def test_an_id_that_is_not_there_is_said_and_counts_as_wrong(ftc, shown) -> None:
    shown(findings=(Finding("FTC604", "no row has the id x", place="x"),))
    ran = ftc("show", "r.toml", "--id", "x")
    assert (ran.code, ran.out) == (1, "")
    assert "no row has the id x" in ran.err
