"""`ftc init`: what it makes of columns, and that the recipe it writes checks."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc import api
from ftc.recipe.load import load_recipe
from ftc.recipe.starter import Origin, guess, quoted, starter_recipe, table_name

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
SHAREGPT = [
    {"from": "human", "value": "hi"},
    {"from": "gpt", "value": "hello"},
    {"from": "system", "value": "s"},
]
ROW_KINDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "messages": ({"messages": CHAT}, ("messages",)),
    "conversations": ({"id": 1, "conversations": CHAT}, ("messages",)),
    "sharegpt": ({"conversations": SHAREGPT}, ("messages",)),
    "prompt_completion": ({"prompt": "a", "completion": "b"}, ("prompt", "completion")),
    "question_answer": ({"Question": "a", "Answer": "b", "n": 3}, ("prompt", "completion")),
    "context": ({"question": "a", "context": "c", "answer": "b"}, ("prompt", "completion")),
    "alpaca": ({"instruction": "a", "input": "", "output": "b"}, ("prompt", "completion")),
    "classes": ({"text": "a", "label": 3}, ("prompt", "completion")),
    "chat_pair": ({"prompt": CHAT[:1], "completion": CHAT[1:]}, ("messages",)),
    "preference": ({"prompt": "a", "chosen": "b", "rejected": "c"}, ("prompt", "completion")),
    "preference_chat": ({"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": CHAT[1:]}, ("messages",)),
    "preference_bare": ({"chosen": "b", "rejected": "c"}, ("text",)),
    "text": ({"url": "u", "text": "a"}, ("text",)),
    "one_column": ({"Bemerkung": "a", "n": 1}, ("text",)),
    "two_columns": ({'the "user" says': "a", "n": 1, "select": "b"}, ("prompt", "completion")),
}


def write_jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def returned(recipe: Path, data: Path) -> list[dict[str, Any]]:
    """What the recipe's query returns, asked of DuckDB itself."""
    settings = tomllib.loads(recipe.read_text(encoding="utf-8"))
    [(table, source)] = settings["data"]["sources"].items()
    assert (
        recipe.parent / (source if isinstance(source, str) else source["path"])
    ).resolve() == data.resolve()
    with duckdb.connect() as con:
        con.execute(f"create table {table} as select * from '{data}'")
        con.execute(settings["data"]["query"])
        names = [column[0] for column in con.description]
        return [dict(zip(names, row, strict=True)) for row in con.fetchall()]


@pytest.mark.parametrize("kind", ROW_KINDS)
def test_a_written_recipe_checks(ftc, tiny_model: Path, tmp_path: Path, kind: str) -> None:
    row, columns = ROW_KINDS[kind]
    data = write_jsonl(tmp_path / "rows.jsonl", row, row)
    assert ftc("init", data, "--base", tiny_model).code == 0
    recipe = tmp_path / "recipe.toml"
    assert api.check(recipe).findings == ()
    assert tuple(returned(recipe, data)[0]) == columns


def test_the_kinds_of_conversation_come_out_alike(ftc, tmp_path: Path) -> None:
    said = {}
    for kind in ("messages", "conversations", "sharegpt", "chat_pair", "preference_chat"):
        data = write_jsonl(tmp_path / f"{kind}.jsonl", ROW_KINDS[kind][0])
        assert ftc("init", data, "-o", f"{kind}.toml").code == 0
        said[kind] = returned(tmp_path / f"{kind}.toml", data)[0]["messages"]
    assert said.pop("sharegpt") == [*CHAT, {"role": "system", "content": "s"}]
    assert all(messages == CHAT for messages in said.values())


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"instruction": "do", "input": "this", "output": "x"}, "do\n\nthis"),
        ({"instruction": "do", "input": "", "output": "x"}, "do"),
        ({"instruction": "do", "input": None, "output": "x"}, "do"),
        ({"question": "why", "context": "because", "answer": "x"}, "because\n\nwhy"),
    ],
)
def test_what_belongs_to_a_prompt_is_put_there(ftc, tmp_path: Path, row: dict[str, Any], prompt: str) -> None:
    data = write_jsonl(
        tmp_path / "rows.jsonl", {**row, "input": row.get("input", "x")}, {**row, "input": "full"}
    )
    ftc("init", data)
    assert returned(tmp_path / "recipe.toml", data)[0] == {"prompt": prompt, "completion": "x"}


def test_the_file_reads_well(ftc, snapshot, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data = write_jsonl(
        tmp_path / "data" / "support tickets.jsonl", {"question": "a", "answer": "b", "score": 0.5}
    )
    ran = ftc("init", data, "--schema")
    assert ran.err == ""
    assert (
        ran.out
        == "Wrote recipe.toml: prompts in `question`, answers in `answer`.\nnext: ftc plan recipe.toml\n"
    )
    snapshot("init_recipe", (tmp_path / "recipe.toml").read_text(encoding="utf-8"))
    schema = json.loads((tmp_path / "recipe.schema.json").read_text(encoding="utf-8"))
    assert "model" in schema["properties"]


def test_preference_training_is_said_not_to_be_there(ftc, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", ROW_KINDS["preference"][0])
    ran = ftc("init", data)
    assert "preference training (DPO) is not there yet: this trains on the chosen answers alone" in ran.out
    assert "# Mind: preference training" in (tmp_path / "recipe.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "question,answer\nhow,so\n"),
        ("semicolons.csv", "question;answer\nhow;so\n"),
        ("rows.tsv", "question\tanswer\nhow\tso\n"),
        ("latin.csv", "question,answer\nfür,so\n".encode("latin-1")),
        ("utf16.csv", "question,answer\nfür,so\n".encode("utf-16")),
        ("odd [1] *.csv", "question,answer\nhow,so\n"),
        ("2024-select.csv", "question,answer\nhow,so\n"),
    ],
)
def test_csv_of_many_kinds(ftc, tiny_model: Path, tmp_path: Path, name: str, content: str | bytes) -> None:
    data = tmp_path / name
    data.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert ftc("init", data, "--base", tiny_model).code == 0
    checked = api.check(tmp_path / "recipe.toml")
    assert checked.findings == ()


def test_parquet(ftc, tiny_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.parquet"
    with duckdb.connect() as con:
        con.execute(f"copy (select 'a' as text, 'b' as category) to '{data}'")
    assert ftc("init", data, "--base", tiny_model).code == 0
    assert api.check(tmp_path / "recipe.toml").ok
    assert returned(tmp_path / "recipe.toml", data) == [{"prompt": "a", "completion": "b"}]


def test_paths_are_those_from_the_recipe(ftc, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", {"text": "a"})
    (tmp_path / "model").mkdir()
    (tmp_path / "recipes").mkdir()
    assert ftc("init", data.name, "-o", "recipes/a.toml", "--base", "model").code == 0
    settings = tomllib.loads((tmp_path / "recipes" / "a.toml").read_text(encoding="utf-8"))
    assert settings["data"]["sources"] == {"rows": "../rows.jsonl"}
    assert settings["model"]["base"] == "../model"


def test_nothing_is_replaced_unless_forced(ftc, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", {"text": "a"})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("mine", encoding="utf-8")
    ran = ftc("init", data)
    assert (ran.code, ran.out) == (2, "")
    assert "recipe.toml is there already; --force replaces it, -o writes another file" in ran.err
    assert recipe.read_text(encoding="utf-8") == "mine"
    assert ftc("init", data, "--force").code == 0
    assert recipe.read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("rows.xlsx", b"x", "FTC202", "does not say by its name what it is"),
        ("rows.parquet", b"not parquet", "FTC210", "`rows.parquet` cannot be read"),
        ("rows.csv", b"", "FTC202", "`rows.csv` is empty"),
        ("numbers.csv", b"a,b\n1,2\n", "FTC501", "has no column of text to train on"),
        ("rows.jsonl", b"[1, 2]\n", "FTC202", "are not JSON objects"),
    ],
)
def test_a_file_that_cannot_serve_is_a_finding(ftc, tmp_path, name, content, code, message) -> None:
    (tmp_path / name).write_bytes(content)
    ran = ftc("init", tmp_path / name)
    assert (ran.code, ran.out) == (1, "")
    assert f"error[{code}]" in ran.err
    assert message in ran.err
    assert not (tmp_path / "recipe.toml").exists()
    document = json.loads(ftc("init", "--json", tmp_path / name).out)
    assert document["results"][0]["findings"][0]["code"] == code


def test_json_says_what_was_seen(ftc, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", {"prompt": "a", "completion": "b"})
    [result] = json.loads(ftc("init", "--json", data).out)["results"]
    assert result == {
        "recipe": "recipe.toml",
        "ok": True,
        "findings": [],
        "data": str(data),
        "columns": {"prompt": "VARCHAR", "completion": "VARCHAR"},
        "says": "prompts in `prompt`, answers in `completion`",
        "note": None,
    }


def test_every_keyword_of_duckdb_is_quoted_where_it_must_be() -> None:
    with duckdb.connect() as con:
        words = [word for (word,) in con.execute("select keyword_name from duckdb_keywords()").fetchall()]
        for word in words:
            source = f"(select 'x' as \"{word}\") as {table_name(word)}"
            name = quoted(word)
            assert con.execute(
                f"select {name} as prompt, {name}::varchar || 'y' from {source}"
            ).fetchall() == [("x", "xy")]
            con.execute(f"create or replace table {table_name(word)} as from (select 1)")
    assert len(words) > 400


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20))
def test_any_column_name_survives_sql_and_toml(name: str) -> None:
    columns = {name: "VARCHAR"}
    found = guess(columns)
    assert found is not None
    text = starter_recipe(Origin("rows.jsonl", "rows", {}), columns, found)
    query = tomllib.loads(text)["data"]["query"]
    with duckdb.connect() as con:
        con.execute(f"create table rows as select 'x' as {quoted(name)}")
        assert con.execute(query).fetchall() == [("x",)]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_any_file_name_makes_a_plain_table_name(stem: str) -> None:
    name = table_name(stem)
    with duckdb.connect() as con:
        con.execute(f"create table {name} as select 1 as one")


def test_a_written_recipe_loads_by_itself(tmp_path: Path) -> None:
    columns = {"prompt": "VARCHAR", "completion": "VARCHAR"}
    found = guess(columns)
    assert found is not None
    path = tmp_path / "recipe.toml"
    path.write_text(
        starter_recipe(Origin("rows.csv", "rows", {"delimiter": ";"}), columns, found), encoding="utf-8"
    )
    loaded = load_recipe(path, ())
    assert loaded.findings == ()
    assert loaded.recipe is not None


def _saved_dataset(path: Path) -> None:
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    for split in ("test", "train"):
        (path / split).mkdir(parents=True)
        (path / split / "state.json").write_text(json.dumps(state))
        table = pa.table({"question": ["q"], "answer": [split]})
        place = str(path / split / "data-00000-of-00001.arrow")
        with pa.OSFile(place, "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
            out.write_table(table)
    (path / "dataset_dict.json").write_text(json.dumps({"splits": ["test", "train"]}))


def _database(path: Path) -> None:
    con = sqlite3.connect(path)
    con.execute("create table counts (n integer)")
    con.execute("create table tickets (id integer primary key, question text, answer text)")
    con.execute("insert into tickets values (1, 'a', 'b')")
    con.commit()
    con.close()


def _texts(path: Path) -> None:
    (path / "deep").mkdir(parents=True)
    (path / "a.md").write_text("# A\ntext")
    (path / "deep" / "b.txt").write_text("more")


def _parts(path: Path) -> None:
    path.mkdir()
    for part in range(2):
        write_jsonl(path / f"{part}.jsonl", {"question": "a", "answer": "b"})


def _arrow(path: Path) -> None:
    table = pa.table({"question": ["a"], "answer": ["b"]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)


KINDS = {
    "rows.json": (lambda p: p.write_text('[{"question": "a", "answer": "b"}]'), "rows.json", "prompts"),
    "guide.md": (lambda p: p.write_text("# Guide\ntext"), "guide.md", "plain documents"),
    "docs": (_texts, {"path": "docs", "format": "text"}, "plain documents"),
    "rows.arrow": (_arrow, "rows.arrow", "prompts"),
    "shop.db": (_database, {"path": "shop.db", "table": "tickets"}, "prompts"),
    "chats": (_saved_dataset, {"path": "chats", "split": "train"}, "prompts"),
    "parts": (_parts, "parts/*.jsonl", "prompts"),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_has_a_first_recipe(ftc, tiny_model: Path, tmp_path: Path, name: str) -> None:
    write, source, says = KINDS[name]
    write(tmp_path / name)
    ran = ftc("init", tmp_path / name, "--base", tiny_model)
    assert ran.code == 0, ran.err
    assert says in ran.out
    settings_ = tomllib.loads((tmp_path / "recipe.toml").read_text(encoding="utf-8"))
    assert list(settings_["data"]["sources"].values()) == [source]
    assert api.check(tmp_path / "recipe.toml").findings == ()
    assert ("mind" in ran.out) is (name in ("shop.db", "chats"))


def test_a_directory_of_several_kinds_has_none(ftc, tmp_path: Path) -> None:
    _parts(tmp_path / "parts")
    (tmp_path / "parts" / "x.csv").write_text("a\n")
    ran = ftc("init", tmp_path / "parts")
    assert ran.code == 1
    assert "holds files of several kinds: .csv, .jsonl" in ran.err
