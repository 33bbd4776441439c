from __future__ import annotations

import json

import pytest

from ftc.diagnostics.codes import CODES
from ftc.diagnostics.explain import explanation


@pytest.mark.parametrize("typed", ["FTC204", "ftc204", "204"])
def test_a_code_is_understood_however_it_is_typed(ftc, typed: str) -> None:
    ran = ftc("explain", typed)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (explanation("FTC204") or "").strip() + "\n"


def test_several_codes_come_one_after_another(ftc) -> None:
    ran = ftc("explain", "FTC203", "FTC101", "ftc203")
    pages = [(explanation(code) or "").strip() for code in ("FTC203", "FTC101")]
    assert ran.out == "\n\n".join(pages) + "\n"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("FTC24", "did you mean `FTC2"),
        ("FTC999", "there is no code `FTC999`"),
        ("what", "there is no code `WHAT`; `ftc explain` lists them all"),
    ],
)
def test_an_unknown_code_is_a_usage_error(ftc, typed: str, answer: str) -> None:
    ran = ftc("explain", typed)
    assert (ran.code, ran.out) == (2, "")
    assert answer in ran.err


def test_without_a_code_all_are_listed(ftc) -> None:
    ran = ftc("explain")
    assert [line.split()[0] for line in ran.out.splitlines() if line.startswith("FTC")] == list(CODES)
    assert max(map(len, ran.out.splitlines())) <= 80


def test_json(ftc) -> None:
    document = json.loads(ftc("explain", "--json", "204").out)
    assert document["results"] == [
        {"code": "FTC204", "summary": CODES["FTC204"], "text": explanation("FTC204"), "ok": True}
    ]
    everything = json.loads(ftc("explain", "--json").out)["results"]
    assert {entry["code"]: entry["summary"] for entry in everything} == CODES
