"""What a JSONL file says is what is rendered: no keys of other rows, no quotes, no other form of a date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_requests import Job, chat, source, write_jsonl
from ftc.facts.json_types import faithful_type
from ftc.facts.sandbox import connect
from ftc.plan.steps import RenderStep, SplitStep
from models import CHATML

WITH_TOOLS = "{{ tools | tojson }}" + CHATML.replace(
    "message['content']",
    "message['content'] + (message['tool_calls'] | tojson if message['tool_calls'] else '')",
)
ARGUMENTS: list[dict[str, Any]] = [
    {"x": 1},
    {"city": "Paris", "when": None},
    {"x": 2.5, "day": "2024-1-5"},
    {"deep": {"b": [], "a": "2024-01-05T10:00:00Z"}},
]


def called(n: int, arguments: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = {key: {} for key in arguments}
    tool = {"type": "function", "function": {"name": f"f{n}", "parameters": parameters}}
    function = {"name": f"f{n}", "arguments": arguments}
    return {
        "messages": [
            {"role": "user", "content": f"q{n}"},
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
        ],
        "tools": [tool],
    }


def texts(job: Job, part: str = "train") -> list[str]:
    """The compiled rows, decoded by the tokenizer itself."""
    from tokenizers import Tokenizer

    compiled = job.run()
    assert compiled.directory is not None, compiled.problems
    tokenizer = Tokenizer.from_file(str(job.tokenizer))
    table = pq.read_table(compiled.directory / f"{part}-00000.parquet")
    return [tokenizer.decode(ids, skip_special_tokens=False) for ids in table["input_ids"].to_pylist()]


def with_tools() -> RenderStep:
    return chat(messages=None, tools=None).model_copy(update={"chat_template": WITH_TOOLS})


@pytest.mark.parametrize("as_text", [False, True])
def test_tool_calls_have_no_keys_of_other_rows(tmp_path: Path, as_text: bool) -> None:
    rows = [called(n, arguments) for n, arguments in enumerate(ARGUMENTS)]
    written = [{key: json.dumps(row[key]) if as_text else row[key] for key in row} for row in rows]
    path = write_jsonl(tmp_path / "t.jsonl", written)
    for row, text in zip(rows, texts(Job(tmp_path, (source(path),), render=with_tools())), strict=True):
        assert text.startswith(json.dumps(row["tools"]))
        assert json.dumps(row["messages"][1]["tool_calls"]) in text


def test_tool_calls_of_parquet_have_no_keys_of_other_rows(tmp_path: Path) -> None:
    import pyarrow as pa

    rows = [called(0, {"x": 1}), called(1, {"city": "Paris"})]
    for row in rows:
        del row["tools"][0]["function"]["parameters"]  # Parquet has no objects without keys
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    found = texts(Job(tmp_path, (source(tmp_path / "t.parquet"),), render=with_tools()))
    assert ['"arguments": {"x": 1}' in found[0], '"arguments": {"city": "Paris"}' in found[1]] == [True, True]


def test_content_of_several_kinds_is_text_where_it_is_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "look"}]
    path = write_jsonl(
        tmp_path / "t.jsonl",
        [
            {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": 'say "y"'}]}
            for content in (parts, "plain")
        ],
    )
    template = CHATML.replace(
        "message['content']",
        "(message['content'] if message['content'] is string else message['content'][0].text)",
    )
    render = chat(messages=None).model_copy(update={"chat_template": template})
    first, second = texts(Job(tmp_path, (source(path),), render=render))
    assert ["user\nlook<" in first, "user\nplain<" in second] == [True, True]
    assert [text.count('\nsay "y"<') for text in (first, second)] == [1, 1]


def test_a_column_of_several_kinds_fills_a_template_without_quotes(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", [{"q": "one", "more": {"k": "v"}}, {"q": 2, "more": "w"}])
    render = Job(tmp_path, ()).render.model_copy(
        update={"fields": {"prompt": "{{ q }}:", "completion": "{{ more if more is string else more.k }}"}}
    )
    job = Job(
        tmp_path, (source(path),), render=render, split=SplitStep(fraction=None, rows=None, keys=(), seed=0)
    )
    assert texts(job) == ["one:v<|im_end|>", "2:w<|im_end|>"]


@pytest.mark.parametrize("as_text", [False, True])
def test_two_answers_to_one_prompt_are_on_one_side(tmp_path: Path, as_text: bool) -> None:
    rows = [
        [{"role": "user", "content": f"q{n % 20}"}, {"role": "assistant", "content": f"a{n}"}]
        for n in range(60)
    ]
    path = write_jsonl(
        tmp_path / "t.jsonl", [{"messages": json.dumps(row) if as_text else row} for row in rows]
    )
    split = SplitStep(fraction=None, rows=20, keys=("messages",), seed=0)
    job = Job(tmp_path, (source(path),), render=chat(messages=None), split=split)
    train, held = ({text.split("assistant")[0] for text in texts(job, part)} for part in ("train", "eval"))
    assert len(held) == 7
    assert len(train) == 13
    assert not train & held


@pytest.mark.parametrize("text", ["bad \ud83d y", "\ude00"])
@pytest.mark.parametrize(
    "template", [CHATML, CHATML.replace("message['content']", "message['content'] | upper")]
)
def test_half_a_character_is_refused(tmp_path: Path, text: str, template: str) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": text}]
    path = write_jsonl(tmp_path / "t.jsonl", [{"messages": json.dumps(messages)}])
    render = chat(messages=None).model_copy(update={"chat_template": template})
    (problem,) = Job(tmp_path, (source(path),), render=render).run().problems
    assert problem.code == "FTC604"
    assert "surrogate" in problem.notes[0]


@pytest.mark.parametrize(
    ("guessed", "read"),
    [
        ("DATE", "DATE"),
        ("UUID", "VARCHAR"),
        ("TIMESTAMP[]", "VARCHAR[]"),
        ("STRUCT(a STRUCT(b DATE))", "STRUCT(a STRUCT(b DATE))"),
        ('STRUCT("it""s" TIME, b MAP(VARCHAR, BIGINT))[][]', 'STRUCT("it""s" VARCHAR, "b" JSON)[][]'),
    ],
)
def test_types_in_which_json_is_read(guessed: str, read: str) -> None:
    con = connect()
    assert faithful_type(con, guessed) == read
    con.close()
