"""The SQL of imported data sets, run by DuckDB over rows as the peers' own formats have them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ftc import api
from importing.peer_configs import Import

HUMAN = {"from": "human", "value": "hi"}
GPT = {"from": "gpt", "value": "hello"}
SYSTEM = {"from": "system", "value": "be kind"}


def rows_of(text: str | None, tables: dict[str, list[dict[str, Any]]], home: Path) -> list[dict[str, Any]]:
    """What a recipe's query makes of rows."""
    assert text is not None
    values = tomllib.loads(text)
    con = duckdb.connect()
    for name, rows in tables.items():
        file = home / f"{name}.rows.json"
        file.write_text(json.dumps(rows), encoding="utf-8")
        con.execute(f"create table {name} as from read_json('{file}')")
    found = con.sql(values["data"]["query"])
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def axolotl(entry: str, **more: Any) -> str:
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items())
    return f"base_model: a/b\nlearning_rate: 0.001\nsequence_len: 64\n{lines}datasets:\n  - {entry}\n"


def llama(info: dict[str, Any], home: Path, **more: Any) -> str:
    (home / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items())
    return f"model_name_or_path: a/b\ncutoff_len: 64\ndataset: {','.join(info)}\n{lines}"


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


GOOD = said(("user", "q"), ("assistant", "good"))
BAD = said(("user", "q"), ("assistant", "bad"))


def test_sharegpt_becomes_messages(imported: Import, home: Path) -> None:
    text = axolotl("{path: t.json, type: sharegpt}")
    (row,) = rows_of(imported(text).text, {"t": [{"conversations": [SYSTEM, HUMAN, GPT]}]}, home)
    assert row["messages"] == said(("system", "be kind"), ("user", "hi"), ("assistant", "hello"))


def test_fields_roles_and_loss_of_messages(imported: Import, home: Path) -> None:
    entry = (
        "{path: t.json, type: chat_template, field_messages: talk, drop_system_message: true, "
        "message_property_mappings: {role: who, content: what}, message_field_training: learn, "
        "roles: {user: [asker], assistant: [bot]}}"
    )
    talk = [
        {"who": "system", "what": "s", "learn": True},
        {"who": "asker", "what": "it's?", "learn": False},
        {"who": "bot", "what": "yes", "learn": True},
    ]
    (row,) = rows_of(imported(axolotl(entry)).text, {"t": [{"talk": talk}]}, home)
    assert row["messages"] == [
        {"role": "user", "content": "it's?", "weight": 0},
        {"role": "assistant", "content": "yes", "weight": 1},
    ]


def test_alpaca_has_its_headings(imported: Import, home: Path) -> None:
    done = imported(axolotl("{path: t.json, type: alpaca}"))
    rows = [
        {"instruction": "Add.", "input": "1 1", "output": "2"},
        {"instruction": "Greet.", "input": "", "output": "hi"},
    ]
    with_input, without = rows_of(done.text, {"t": rows}, home)
    assert with_input["prompt"] == "### Instruction:\nAdd.\n\n### Input:\n1 1\n\n### Response:\n"
    assert without == {"prompt": "### Instruction:\nGreet.\n\n### Response:\n", "completion": "hi"}
    assert tomllib.loads(done.text or "")["render"]["chat"] is False
    assert "introduction" in done.verdicts["datasets", 0, "type"].why


def test_formats_of_one_s_own(imported: Import, home: Path) -> None:
    entry = (
        "{path: t.json, type: {field_instruction: q, field_input: more, field_output: a, "
        r'format: "Q: {instruction}\nC: {input}\nA: ", no_input_format: "Q: {instruction}\nA: "}}'
    )
    rows = [{"q": "x", "more": "y", "a": "z"}, {"q": "x", "more": None, "a": "z"}]
    first, second = rows_of(imported(axolotl(entry)).text, {"t": rows}, home)
    assert (first["prompt"], second["prompt"]) == ("Q: x\nC: y\nA: ", "Q: x\nA: ")
    assert first["completion"] == "z"


def test_data_sets_stand_one_behind_the_other(imported: Import, home: Path) -> None:
    text = axolotl("{path: t.json, type: sharegpt}\n  - {path: u.json, type: alpaca}")
    tables = {
        "t": [{"conversations": [HUMAN, GPT]}],
        "u": [{"instruction": "Greet.", "input": "", "output": "hi"}],
    }
    first, second = rows_of(imported(text).text, tables, home)
    assert first["messages"] == said(("user", "hi"), ("assistant", "hello"))
    assert second["messages"][1] == {"role": "assistant", "content": "hi"}


def test_other_columns_do_not_stand_beside_conversations(imported: Import) -> None:
    done = imported(axolotl("{path: t.json, type: sharegpt}\n  - {path: u.txt, type: completion}"))
    assert done.verdicts["datasets", 1, "path"].kind == "not_carried"
    assert "sources.u" not in (done.text or "")


@pytest.mark.parametrize(
    ("kind", "row", "wanted"),
    [
        (
            "chatml.intel",
            {"question": "q", "chosen": "good", "rejected": "bad"},
            {"prompt": "q", "chosen": "good", "rejected": "bad"},
        ),
        (
            "chatml.argilla",
            {"instruction": "q", "chosen_response": "good", "rejected_response": "bad"},
            {"prompt": "q", "chosen": "good", "rejected": "bad"},
        ),
        (
            "llama3.ultra",
            {"prompt": "q", "chosen": GOOD, "rejected": BAD},
            {"prompt": "q", "chosen": "good", "rejected": "bad"},
        ),
        (
            "chat_template.default",
            {"messages": GOOD[:1], "chosen": GOOD[1], "rejected": BAD[1]},
            {"chosen": GOOD, "rejected": BAD},
        ),
    ],
)
def test_preferences(
    kind: str, row: dict[str, Any], wanted: dict[str, Any], imported: Import, home: Path
) -> None:
    text = axolotl(f"{{path: t.json, type: {kind}}}", rl="dpo")
    assert rows_of(imported(text).text, {"t": [row]}, home) == [wanted]


def test_instructions_with_history_and_system(imported: Import, home: Path) -> None:
    columns = {"prompt": "q", "query": "more", "response": "a", "history": "before", "system": "rules"}
    text = llama({"t": {"file_name": "t.json", "columns": columns}}, home)
    rows = [
        {"q": "and 2?", "more": "now", "a": "two", "before": [["1?", "one"]], "rules": "count"},
        {"q": "0?", "more": "", "a": "nil", "before": [], "rules": ""},
    ]
    first, second = rows_of(imported(text).text, {"t": rows}, home)
    assert first["messages"] == said(
        ("system", "count"),
        ("user", "1?"),
        ("assistant", "one"),
        ("user", "and 2?\nnow"),
        ("assistant", "two"),
    )
    assert second["messages"] == said(("user", "0?"), ("assistant", "nil"))


def test_judged_answers(imported: Import, home: Path) -> None:
    columns = {"prompt": "q", "response": "a", "kto_tag": "good"}
    text = llama({"t": {"file_name": "t.json", "columns": columns}}, home, stage="kto")
    rows = rows_of(imported(text).text, {"t": [{"q": "x", "a": "y", "good": True}]}, home)
    assert rows == [{"prompt": "x", "completion": "y", "label": True}]


def test_interleaved_data_sets_are_a_mix(imported: Import, home: Path) -> None:
    info = {name: {"file_name": f"{name}.json", "columns": {"prompt": "q", "response": "a"}} for name in "tu"}
    done = imported(llama(info, home, mix_strategy="interleave_under", interleave_probs="0.7,0.3"))
    mix = tomllib.loads(done.text or "")["data"]["mix"]
    assert {name: entry["weight"] for name, entry in mix.items()} == {"t": 0.7, "u": 0.3}


def test_the_folder_of_the_data_sets_is_found_below_the_file_and_nowhere_else(
    imported: Import, home: Path
) -> None:
    (home / "dataset_info.json").unlink()
    (home / "sets").mkdir()
    info = {"t": {"file_name": "t.json", "columns": {"prompt": "q", "response": "a"}}}
    (home / "sets" / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    text = "model_name_or_path: a/b\ndataset: t\ncutoff_len: 9\ndataset_dir: "
    assert tomllib.loads(imported(text + "sets\n").text or "")["data"]["sources"] == {"t": "sets/t.json"}
    outside = imported(text + "../" + home.name + "/sets\n")
    assert outside.text is None
    assert "dataset_info.json" in outside.verdicts["dataset",].why


def test_real_rows_check(imported: Import, home: Path) -> None:
    """`ftc check` reads the columns of files that are there, and finds the query in order."""
    (home / "t.json").write_text(json.dumps([{"conversations": [HUMAN, GPT]}]), encoding="utf-8")
    done = imported(axolotl("{path: t.json, type: sharegpt}"))
    (home / "recipe.toml").write_text(done.text or "", encoding="utf-8")
    assert {finding.code for finding in api.check(home / "recipe.toml").findings} <= {"FTC401"}
