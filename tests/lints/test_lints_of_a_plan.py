"""From a recipe to findings: places, levels, what is kept and what is compiled again; redaction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import ftc
from ftc.cli.main import run
from ftc.diagnostics import Severity
from ftc.lints.kept import FILE
from ftc.lints.redact import Redactor

TOKEN = "gh" + "p_" + "a1B2" * 9
STORY = "a long question about the {} in the garden, which nobody saw before the {} came to stay, number {}"
WORDS = ["sun", "moon", "river", "stone", "bread", "letter", "horse", "window", "winter", "summer", "bridge"]


def story(n: int) -> str:
    return STORY.format(WORDS[n % 11], WORDS[n // 11 % 11], n)


ROWS: list[dict[str, Any]] = [
    {"prompt": story(n), "completion": f"This is the answer to the question of number {n}.", "side": "train"}
    for n in range(60)
]
ODD: list[dict[str, Any]] = [
    {"prompt": story(3), "completion": "This is the answer to the question of number 3.", "side": "eval"},
    {"prompt": story(7).upper(), "completion": "This is an answer in no capitals.", "side": "eval"},
    {"prompt": story(5), "completion": "And this is quite another answer.", "side": "train"},
    {"prompt": "mail ada@lovelace.org", "completion": f"with {TOKEN} in it.", "side": "train"},
    {"prompt": "the end <|im_end|> of it", "completion": "caf\ufffd.", "side": "train"},
    {"prompt": "nothing to say", "completion": "  ", "side": "train"},
]


class Project:
    """A recipe over some rows in a directory of its own."""

    def __init__(self, directory: Path, model: Path) -> None:
        self.directory, self._model = directory, model

    def write(self, rows: list[dict[str, Any]], data: str = "", more: str = "") -> Path:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.directory / "rows.jsonl").write_text(text, encoding="utf-8")
        recipe = self.directory / "recipe.toml"
        recipe.write_text(
            f'[model]\nbase = "{self._model}"\n[data]\nsources.rows = "rows.jsonl"\n'
            f'query = "select * from rows"\n{data}\n[render]\nchat = false\n{more}',
            encoding="utf-8",
        )
        return recipe


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return Project(tmp_path, tiny_model)


SPLIT = 'split = { column = "side" }'


def codes(result: ftc.PlanResult) -> dict[str, Severity]:
    return {finding.code: finding.severity for finding in result.findings}


def test_odd_rows_are_said_at_their_places(project: Project) -> None:
    result = ftc.plan(project.write(ROWS + ODD, SPLIT))
    assert result.ok
    wanted = {"FTC608", "FTC801", "FTC802", "FTC806", "FTC807", "FTC811", "FTC812", "FTC813"}
    assert codes(result) == dict.fromkeys(wanted, Severity.WARNING)
    by_code = {finding.code: finding for finding in result.findings}
    places = {code: finding.span.place.partition(":")[2] for code, finding in by_code.items() if finding.span}
    assert {code: place.split(":")[0] for code, place in places.items()} == {
        **dict.fromkeys(wanted, "5"),
        **dict.fromkeys(["FTC608", "FTC801", "FTC813"], "6"),
        **dict.fromkeys(["FTC811", "FTC812"], "4"),
    }
    assert by_code["FTC608"].message == "one held-out row has a prompt that is trained on too"
    assert any(note.startswith("rows:61 and rows:4: stone in the garden") for note in by_code["FTC608"].notes)
    assert any(note.startswith("rows:62 and rows:8: A LONG QUESTION") for note in by_code["FTC801"].notes)
    assert "1 × <|im_end|>" in by_code["FTC807"].notes
    assert any("encoded as the control token itself" in note for note in by_code["FTC807"].notes)
    assert "rows:64: …[EMAIL] with [SECRET] in it." in by_code["FTC811"].notes
    assert all(finding.help for finding in result.findings)


def test_every_result_is_there_and_unstated_ones_of_little_weight_say_nothing(project: Project) -> None:
    result = ftc.plan(project.write(ROWS + ODD, SPLIT))
    assert result.lints is not None
    rows = {one.lint: (level, one.rows) for level, one in result.lints}
    assert rows["encoding_damage"] == (None, 1)
    assert rows["empty_answers"] == ("warn", 1)


def test_another_level_compiles_nothing_and_plans_the_same(project: Project) -> None:
    recipe = project.write(ROWS + ODD, SPLIT)
    first = ftc.plan(recipe)
    assert first.data is not None
    before = (first.data / FILE).stat().st_mtime_ns
    stages: list[str] = []
    levels = ["lints.leakage=deny", "lints.near_leakage=allow", "lints.encoding_damage=warn"]
    second = ftc.plan(recipe, set=levels, progress=lambda stage, *_: stages.append(stage))
    assert not second.ok
    assert second.data == first.data
    assert (first.data / FILE).stat().st_mtime_ns == before
    assert "compiling rows" not in stages
    found = codes(second)
    assert found["FTC608"] is Severity.ERROR
    assert found["FTC808"] is Severity.WARNING
    assert "FTC801" not in found
    assert ftc.plan(recipe, set=levels[1:]).digest == first.digest


def test_a_denied_lint_stops_a_build_before_it_begins(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = project.write(ROWS + ODD, SPLIT, '[lints]\nsecrets = "deny"\n')
    assert run(["plan", str(recipe)]) == 1
    text = capsys.readouterr().err
    assert "error[FTC811]: one row has a secret in its text" in text
    assert 'secrets = "deny"' in text
    assert run(["build", str(recipe)]) == 1
    assert not (project.directory / "runs").exists()


def test_the_summary_in_80_columns(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = project.write(ROWS + ODD, SPLIT)
    assert run(["plan", str(recipe)]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("lints"))
    assert lines[start : start + 13] == [
        "lints              lint                   level  rows  first",
        "           FTC608  leakage                warn      1  rows:61",
        "           FTC801  near_leakage           warn      1  rows:62",
        "           FTC802  contradictory_answers  warn      2  rows:6",
        "           FTC806  empty_answers          warn      1  rows:66",
        "           FTC807  control_tokens         warn      1  rows:65",
        "           FTC808  encoding_damage        few       1  rows:65",
        "           FTC811  secrets                warn      1  rows:64",
        "           FTC812  personal_data          warn      1  rows:64",
        "           FTC813  small_eval             warn      2",
        "           the other 5 lints found nothing",
        "           `ftc explain FTC608` says what it means, `ftc show --id ROW` shows a",
        "           row",
    ]
    assert max(map(len, lines)) <= 80


def test_the_document_has_every_result(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = project.write(ROWS + ODD, SPLIT)
    assert run(["plan", str(recipe), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    found = {one["lint"]: one for one in result["lints"]}
    assert found["leakage"]["first"] == [
        {"id": "rows:61", "other": "rows:4", "excerpt": found["leakage"]["first"][0]["excerpt"]}
    ]
    assert found["encoding_damage"]["level"] is None
    assert found["secrets"]["facts"] == {"kinds": {"GitHub token": 1}}


def test_clean_rows_say_nothing(project: Project) -> None:
    result = ftc.plan(project.write(ROWS))
    assert result.findings == ()
    assert result.lints == ()


def test_few_held_out_rows_for_a_score(project: Project) -> None:
    rows = [{"prompt": story(n), "completion": WORDS[n % 2]} for n in range(60)]
    result = ftc.plan(project.write(rows, "split = { eval = 10 }"))
    assert codes(result) == {"FTC813": Severity.WARNING}
    assert "10 held-out rows are few" in result.findings[0].message


def test_near_duplicates_in_different_groups_are_named(project: Project) -> None:
    texts = [" ".join(f"{WORDS[(n + k) % 11]}{n * k}" for k in range(1, 30)) for n in range(90)]
    rows = [{"prompt": text, "completion": f"It is {n}.", "who": f"c{n}"} for n, text in enumerate(texts)]
    rows += [{**row, "prompt": f"{row['prompt']} please", "who": f"other {row['who']}"} for row in rows]
    result = ftc.plan(project.write(rows, 'split = { eval = 0.3, group = "who" }'))
    (finding,) = (one for one in result.findings if one.code == "FTC801")
    assert any("is in the group" in note and "in other c" in note for note in finding.notes), finding.notes


PLANTED = ["ada@lovelace.org", "bob.smith@corp-mail.net", TOKEN, "4539578763621486", "DE75512108001245126199"]
KINDS = ["credit_card", "email", "iban", "secret"]
LEFT = ["lovelace", "corp-mail", TOKEN[6:14], "4539", "DE75"]


def secret_rows() -> list[dict[str, Any]]:
    """Planted values in texts, in messages' depths, in JSON that escapes them, in numbers, in broken rows."""
    rows: list[dict[str, Any]] = [
        {"prompt": f"write to {PLANTED[0]} now", "completion": f"sent with {TOKEN}", "note": PLANTED[1]},
        {"prompt": json.dumps({"to": f"x\n{PLANTED[0]}"}), "completion": f"pay to {PLANTED[4]}", "note": "n"},
        {"prompt": f"card {PLANTED[3]} of {PLANTED[0]}", "completion": "done", "note": PLANTED[0]},
        {
            "prompt": f"a very long one by {PLANTED[1]} " + "word " * 600,
            "completion": "x",
            "note": "too long",
        },
        {"prompt": f"nothing {PLANTED[0]}", "completion": None, "note": "invalid"},
        {"prompt": f"same {PLANTED[0]}", "completion": "a", "note": "n"},
        {"prompt": f"same {PLANTED[0]}", "completion": "b", "note": "n"},
    ]
    return rows + [{"prompt": story(n), "completion": "fine", "note": "n"} for n in range(20)]


TEMPLATES = 'prompt = "{{ prompt }} ({{ note }})"\ncompletion = "{{ completion }}"\n'


def everything_in(directory: Path) -> str:
    """All that is in the files of a directory, Parquet's columns as text."""
    texts = []
    for path in sorted(directory.rglob("*")):
        if path.suffix == ".parquet":
            texts += [repr(row) for row in pq.read_table(path).to_pylist()]
        elif path.is_file():
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(texts)


def test_nothing_that_is_redacted_is_left_anywhere(project: Project) -> None:
    data = f'redact = {json.dumps(KINDS)}\ninvalid = "drop"\ntoo_long = "drop"\nmax_length = 400'
    recipe = project.write(secret_rows(), data, TEMPLATES)
    result = ftc.plan(recipe)
    assert result.ok, result.findings
    assert result.data is not None
    assert result.plan is not None
    assert result.plan.data is not None
    shown = ftc.examples(recipe, rows=30)
    rendered = ["".join(text for text, _ in one.tokens) for one in shown.examples]
    assert "write to [EMAIL] now ([EMAIL])" in rendered[0]
    assert "sent with [SECRET]" in rendered[0]
    assert "card [CREDIT_CARD] of [EMAIL]" in rendered[2]
    said = repr(replace(result, forecasts=None))  # figures that may have any digits
    for text in (everything_in(result.data), said, "".join(rendered)):
        assert not [value for value in LEFT if value in text]
    traced = ftc.trace(recipe, ["rows:1", "rows:3"])
    assert "[EMAIL]" in repr(traced.rows[0].values)
    assert not [value for value in LEFT if value in repr(traced)]
    raw = ftc.trace(recipe, ["rows:1", "rows:3"], raw=True)
    assert raw.rows[0].source is not None
    assert all(PLANTED[0] in repr(one) for one in (raw.rows[0].values, raw.rows[0].source.values))
    (line, *more) = [line for line in result.plan.data.ledger.lines if line.fate == "redacted"]
    assert sum(one.rows for one in (line, *more)) == 5
    reasons = {one.reason: one.first_ids for one in (line, *more)}
    assert reasons["replaced by [CREDIT_CARD], [EMAIL]"] == ("rows:3",)
    assert reasons["replaced by [EMAIL], [SECRET]"] == ("rows:1",)
    changed = pq.read_table(result.data / "changed.parquet").to_pylist()
    assert [row["id"] for row in changed if row["fate"] == "redacted"] == [
        f"rows:{n}" for n in (1, 2, 3, 6, 7)
    ]
    assert result.lints is not None
    assert not {"secrets", "personal_data"} & {one.lint for _, one in result.lints}


def test_messages_are_redacted_in_their_depths(project: Project) -> None:
    messages = [
        {"role": "user", "content": f"I am {PLANTED[0]}"},
        {"role": "assistant", "content": f"Hello {PLANTED[0]}, your token is {TOKEN}."},
    ]
    recipe = project.write([{"messages": messages}] * 3, 'redact = ["email", "secret"]')
    text = recipe.read_text("utf-8").replace("[render]\nchat = false\n", "")
    recipe.write_text(text, "utf-8")
    result = ftc.plan(recipe)
    assert result.ok, result.findings
    (example, *_) = ftc.examples(recipe, rows=1).examples
    text = "".join(piece for piece, _ in example.tokens)
    assert "I am [EMAIL]" in text
    assert "Hello [EMAIL], your token is [SECRET]." in text


def test_ids_that_hold_what_is_redacted_are_an_error(project: Project) -> None:
    rows = [
        {"prompt": "a", "completion": "b", "who": PLANTED[0]},
        {"prompt": "c", "completion": "d", "who": "n"},
    ]
    result = ftc.plan(project.write(rows, 'id = "who"\nredact = ["email"]\ninvalid = "drop"'))
    assert codes(result) == {"FTC815": Severity.ERROR}
    assert "lovelace" not in repr(result.findings)


def test_equal_groups_stay_equal_when_their_column_is_redacted(project: Project) -> None:
    rows = [
        {"prompt": story(n), "completion": f"It is {n}.", "who": f"person{n % 40}@mail.net"}
        for n in range(120)
    ]
    split = 'split = { eval = 0.3, group = "who" }'
    plain = ftc.plan(project.write(rows, split)).plan
    clean = ftc.plan(project.write(rows, f'{split}\nredact = ["email"]')).plan
    assert plain is not None
    assert clean is not None
    assert plain.data is not None
    assert clean.data is not None
    assert plain.data.eval is not None
    assert clean.data.eval is not None
    assert clean.data.eval.rows == plain.data.eval.rows


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ({"a@b.net": 1}, {"[EMAIL]": 1}),
        (["x", None, 7, 4539578763621486], ["x", None, 7, "[CREDIT_CARD]"]),
        ('{"to": "x\\nada@lovelace.org"}', '{"to": "x\\n[EMAIL]"}'),
        ('{"to": "a\\u0040b.net"}', '{"to": "[EMAIL]"}'),
        ('{"n": "\\n", "m": 1.0}', '{"n": "\\n", "m": 1.0}'),
        ("[not json\\n a@b.net", "[not json\\n [EMAIL]"),
        (True, True),
        (3.5, 3.5),
    ],
)
def test_values_of_every_kind(value: object, clean: object) -> None:
    values, _ = Redactor(["email", "credit_card"]).row({"column": value})
    assert values == {"column": clean}


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**row, "completion": row["completion"] + " word" * 300} for _ in range(50) for row in ROWS] + ODD
    recipe = project.write(rows, 'too_long = "truncate"')
    kept: list[bytes] = []
    for jobs in ("1", "2"):
        monkeypatch.setenv("FTC_JOBS", jobs)
        monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / f"cache{jobs}"))
        data = ftc.plan(recipe).data
        assert data is not None
        kept.append((data / FILE).read_bytes())
    assert kept[0] == kept[1]
