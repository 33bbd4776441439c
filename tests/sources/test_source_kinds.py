"""Every kind of file through the whole data compiler: good, bad, empty, oddly named, in several shapes."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from source_jobs import bad, declared, good, job, problem, read, types, words

from data_requests import pairs
from ftc.data.query.ingest import UnreadableSource
from ftc.facts.query import describe

ROWS = [{"prompt": row["prompt"] + " é漢\U0001f600", "completion": row["completion"]} for row in pairs(50)]
TABLE = pa.Table.from_pylist(ROWS)
Write = Callable[[Path], None]


def zst(path: Path, content: bytes) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(content)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    head = delimiter.join(rows[0]) + "\n"
    return (
        head + "".join(delimiter.join(f'"{value}"' for value in row.values()) + "\n" for row in rows)
    ).encode()


def arrow_stream(path: Path, table: pa.Table = TABLE) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=7)


def arrow_file(path: Path, table: pa.Table = TABLE) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table, max_chunksize=7)


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as con:
        con.execute("create table pairs (prompt text, completion text)")
        con.executemany("insert into pairs values (:prompt, :completion)", ROWS)
    con.close()


WRITERS: dict[str, Write] = {
    "t.parquet": lambda path: pq.write_table(TABLE, path, row_group_size=9),
    "t.jsonl": lambda path: path.write_bytes(lines(ROWS)) and None,
    "t.ndjson.gz": lambda path: path.write_bytes(gzip.compress(lines(ROWS))) and None,
    "t.jsonl.zst": lambda path: zst(path, lines(ROWS)),
    "t.json": lambda path: path.write_text(json.dumps(ROWS, indent=1)) and None,
    "one line.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())) and None,
    "t.json.zst": lambda path: zst(path, json.dumps(ROWS, ensure_ascii=False).encode()),
    "lines.json": lambda path: path.write_bytes(lines(ROWS)) and None,
    "t.csv": lambda path: path.write_bytes(csv(ROWS)) and None,
    "t.tsv.gz": lambda path: path.write_bytes(gzip.compress(csv(ROWS, "\t"))) and None,
    "t.csv.zst": lambda path: zst(path, csv(ROWS)),
    "ünï [1] 漢.arrow": arrow_file,
    "t.arrows": arrow_stream,
    "t.feather": lambda path: pyarrow.feather.write_feather(TABLE, path, compression="zstd"),
    "t.sqlite": sqlite,
}


@pytest.mark.parametrize("name", WRITERS)
def test_rows_and_ledger_are_exact(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    source = good(tmp_path, json.dumps(name, ensure_ascii=False))
    assert types(source) == {"prompt": "VARCHAR", "completion": "VARCHAR"}
    assert read(source, tmp_path).rows == ROWS
    compiled = job(source, tmp_path, "select * from t where prompt not like '%country 7?%'").run()
    assert compiled.ledger is not None
    assert (compiled.ledger.read, compiled.ledger.train, compiled.ledger.unexplained) == (50, 49, 0)
    assert compiled.ledger.lines[0].first_ids == ("t:8",)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("a.parquet", lambda path: pq.write_table(pa.table({"completion": ["c"], "more": [1]}), path)),
        ("a.jsonl", lambda path: path.write_text('{"completion": "c", "more": 1}\n')),
        ("a.json", lambda path: path.write_text('[{"completion": "c", "more": 1}]')),
        ("a.csv", lambda path: path.write_text("completion,more\nc,1\n")),
        ("a.arrow", lambda path: arrow_file(path, pa.table({"completion": ["c"], "more": [1]}))),
    ],
)
def test_files_with_other_columns_are_joined_by_name(tmp_path: Path, name: str, other: Write) -> None:
    suffix = Path(name).suffix
    other(tmp_path / name)
    WRITERS[f"t{suffix}" if suffix != ".arrow" else "ünï [1] 漢.arrow"](tmp_path / f"b{suffix}")
    source = good(tmp_path, f'"*{suffix}"')
    rows = read(source, tmp_path).rows
    assert dict(rows[0]) == {"completion": "c", "more": 1, "prompt": None}
    assert [(row["prompt"], row["completion"], row["more"]) for row in rows[1:]] == [
        (row["prompt"], row["completion"], None) for row in ROWS
    ]
    assert types(source)["more"] == "BIGINT"


@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
def test_a_key_that_comes_late_is_kept(tmp_path: Path, name: str) -> None:
    """DuckDB tells columns from 20,480 rows unless it is asked for all, and then leaves out what is new."""
    told: list[dict[str, Any]] = [{"messages": [{"role": "user", "content": f"{n}"}]} for n in range(21_000)]
    told.append({"messages": [{"role": "user", "content": "x", "name": "late"}], "more": 1})
    text = lines(told) if name == "t.jsonl" else json.dumps(told).encode()
    (tmp_path / name).write_bytes(text)
    rows = read(good(tmp_path, f'"{name}"'), tmp_path).rows
    assert rows[-1]["messages"] == [{"role": "user", "content": "x", "name": "late"}]
    assert (rows[-1]["more"], rows[0]["more"], len(rows)) == (1, None, 21_001)


@pytest.mark.parametrize("line", ["[1, 2]", "5", '"x"'])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    text = lines(ROWS[:3]) + line.encode() + b"\n" + lines(ROWS[3:6])
    (tmp_path / "t.jsonl").write_bytes(text)
    source = good(tmp_path, '"t.jsonl"')
    found = read(source, tmp_path)
    assert types(source) == {"prompt": "VARCHAR", "completion": "VARCHAR"}
    assert (found.rows, found.bad) == (ROWS[:6], [("t.jsonl:4", "FTC210")])


@pytest.mark.parametrize("text", ["p,c\r\na,b\nc,d\r\n", "p,c\r\na,b\n"])
def test_lines_of_two_kinds_of_ends(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    said = problem(good(tmp_path, '"t.csv"'))
    assert "the lines of t.csv end in CRLF, and line 2 ends in LF" in said


@pytest.mark.parametrize("rows", [1, 30])
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, rows: int) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(ROWS[:rows]))
    (tmp_path / "b.jsonl").write_bytes(lines(ROWS[:2]))
    found = read(good(tmp_path, '"*.jsonl"'), tmp_path)
    assert (found.rows, found.bad) == (ROWS[:rows] + ROWS[:2], [])


def test_columns_in_another_order_are_not_mixed_up(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,completion\np,c\n")
    (tmp_path / "b.csv").write_text("completion,Prompt\nc,p\n")
    (tmp_path / "c.csv").write_text("")
    rows = read(good(tmp_path, '"*.csv"'), tmp_path).rows
    assert rows == [{"prompt": "p", "completion": "c"}] * 2


@pytest.mark.parametrize("name", [name for name in WRITERS if ".sqlite" not in name])
def test_a_file_of_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert "is empty" in words(bad(tmp_path, json.dumps(name, ensure_ascii=False)))


@pytest.mark.parametrize("name", ["t.json", "t.arrow", "t.feather", "t.parquet", "t.sqlite"])
def test_a_file_that_is_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG and so on, and so on")
    try:
        said = problem(good(tmp_path, f'"{name}"'))
    except AssertionError as refused:
        said = str(refused)
    assert "FTC202" in said or "cannot be read as" in said or "is no" in said
    assert str(tmp_path) not in said.replace(str(tmp_path / "recipe.toml"), "")


@pytest.mark.parametrize("name", ["t.jsonl.gz", "t.jsonl.zst", "t.json.gz", "t.csv.gz", "t.txt.gz"])
def test_a_compressed_file_that_is_cut_off(tmp_path: Path, name: str) -> None:
    plain = {"jsonl": lines(ROWS), "csv": csv(ROWS)}.get(name.split(".")[1], json.dumps(ROWS).encode())
    if name.endswith(".gz"):
        whole = gzip.compress(plain)
    else:
        zst(tmp_path / "whole", plain)
        whole = (tmp_path / "whole").read_bytes()
    (tmp_path / name).write_bytes(whole[:-20])
    found = declared(tmp_path, f'"{name}"')
    if isinstance(found, tuple):
        assert [finding.code for finding in found] == ["FTC202"]
    elif problems := describe((found,), "select * from t").problems:
        assert [problem.code for problem in problems] == ["FTC202"]
    else:
        with pytest.raises(UnreadableSource):
            read(found, tmp_path)


def test_elements_that_cannot_be_read_are_named_by_line_and_column(tmp_path: Path) -> None:
    text = '[{"prompt": "a", "completion": "b"},\n 3, {"prompt": nul},\n{"prompt": "c", "completion": "d"}]'
    (tmp_path / "t.json").write_text(text)
    done = read(good(tmp_path, '{ path = "t.json", columns = { prompt = "VARCHAR" } }'), tmp_path)
    assert [row["prompt"] for row in done.rows] == ["a", "c"]
    assert done.bad == [("t.json:2:2", "FTC210"), ("t.json:2:5", "FTC210")]
    assert [(row.number, row.reason) for row in done.account.bad] == [
        (2, "not a JSON object"),
        (3, "not JSON: expecting value at column 12"),
    ]


def test_a_json_file_that_is_cut_off_says_where(tmp_path: Path) -> None:
    text = json.dumps(ROWS * 500, ensure_ascii=False)
    (tmp_path / "t.json").write_text(text[:-40], encoding="utf-8")
    source = good(tmp_path, '"t.json"')
    (problem_,) = job(source, tmp_path).run().problems
    assert problem_.code == "FTC210"
    assert f"t.json:1:{len(text) - 39}: the file ends inside element 25,000" in problem_.message
    (tmp_path / "t.json").write_text('[{"prompt": "a"}, {"prompt": ')
    assert "t.json:1:30: the file ends inside element 2" in problem(good(tmp_path, '"t.json"'))


def test_one_object_is_no_array(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"data": ROWS}, indent=2))
    finding = bad(tmp_path, '"t.json"')
    assert (finding.code, "one JSON object" in finding.message) == ("FTC202", True)


def test_lines_in_a_json_file_are_a_choice(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(lines(ROWS) + b"{\n")
    source = good(tmp_path, '"t.json"')
    (choice,) = source.choices
    assert (choice.key, choice.value) == ("data.sources.t.layout", "lines")
    assert read(source, tmp_path).bad == [("t.json:51", "FTC210")]
    (tmp_path / "u.json").write_text(json.dumps(ROWS))
    assert "mixes arrays and lines" in bad(tmp_path, '"*.json"').message


def test_lines_of_compressed_files_are_counted(tmp_path: Path) -> None:
    zst(tmp_path / "t.jsonl.zst", lines(ROWS[:2]) + b"{\n" + lines(ROWS[2:]))
    done = read(good(tmp_path, '"t.jsonl.zst"'), tmp_path)
    assert done.rows == ROWS
    assert done.bad == [("t.jsonl.zst:3", "FTC210")]


def test_a_damaged_arrow_file_is_named(tmp_path: Path) -> None:
    arrow_stream(tmp_path / "t.arrow")
    content = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "t.arrow").write_bytes(content[:-400])
    (problem_,) = job(good(tmp_path, '"t.arrow"'), tmp_path).run().problems
    assert problem_.code == "FTC210"
    assert "t.arrow is damaged" in problem_.message


def test_arrow_types_that_do_not_go_together(tmp_path: Path) -> None:
    arrow_file(tmp_path / "a.arrow")
    arrow_file(tmp_path / "b.arrow", pa.table({"prompt": pa.array([[1]])}))
    assert "b.arrow of the source `t` has a column of another type" in problem(good(tmp_path, '"*.arrow"'))


def test_dictionaries_and_lists_of_arrow(tmp_path: Path) -> None:
    messages = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]]
    table = pa.table({"kind": pa.array(["x"]).dictionary_encode(), "messages": pa.array(messages)})
    arrow_file(tmp_path / "t.arrow", table)
    source = good(tmp_path, '"t.arrow"')
    assert types(source)["messages"].startswith('STRUCT("role"') or "role" in types(source)["messages"]
    assert read(source, tmp_path).rows == [{"kind": "x", "messages": messages[0]}]


def test_a_tree_of_texts(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "déep").mkdir(parents=True)
    (docs / "a.md").write_text("# One\ntext\n\nmore\n", encoding="utf-8")
    (docs / "déep" / "漢.md").write_text("intro\n# Two\nend", encoding="utf-8")
    (docs / "blank.txt").write_text(" \n\n")
    (docs / "table.csv").write_text("a,b\n")
    (docs / ".hidden.md").write_text("no")
    entry = '{ path = "docs", format = "text", chunk = { by = "heading" } }'
    source = good(tmp_path, entry)
    assert types(source) == {"text": "VARCHAR", "file": "VARCHAR", "part": "BIGINT", "heading": "VARCHAR"}
    assert [tuple(row.values()) for row in read(source, tmp_path).rows] == [
        ("# One\ntext\n\nmore", "docs/a.md", 1, "One"),
        ("intro", "docs/déep/漢.md", 1, None),
        ("# Two\nend", "docs/déep/漢.md", 2, "Two"),
    ]
    (choice,) = source.choices
    assert (choice.key, choice.value) == ("data.sources.t.chunk", {"by": "heading"})
    assert "begins at each heading" in choice.reason
    globbed = good(tmp_path, '"docs/**/*.md"')
    assert [row["part"] for row in read(globbed, tmp_path).rows] == [1, 1]
    compiled = job(source, tmp_path, "select 'p' as prompt, text as completion from t").run()
    assert compiled.ledger is not None
    assert (compiled.ledger.read, compiled.ledger.train) == (4, 3)
    (line,) = compiled.ledger.lines
    assert (line.fate, line.first_ids) == ("filtered", ("docs/blank.txt",))
    assert "white space" in line.reason


def test_a_text_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("eins\nz\xfcei".encode("latin-1"))
    (tmp_path / "b.txt").write_text("drei", encoding="utf-8")
    done = read(good(tmp_path, '"*.txt"'), tmp_path)
    assert [row["text"] for row in done.rows] == ["drei"]
    assert [(row.place, row.code) for row in done.account.bad] == [("a.txt:2", "FTC211")]
    whole = read(good(tmp_path, '{ path = "a.txt", encoding = "latin-1" }'), tmp_path)
    assert [row["text"] for row in whole.rows] == ["eins\nzüei"]


def test_another_source_does_not_read_the_first_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.data.query import ingest as module

    (tmp_path / "a.jsonl").write_bytes(lines(ROWS))
    first = good(tmp_path, '"a.jsonl"')
    read(first, tmp_path)
    seen: list[str] = []
    real = module.ingest

    def counted(source: Any, *rest: Any) -> Any:
        seen.append(source.location)
        return real(source, *rest)

    monkeypatch.setattr(module, "ingest", counted)
    (tmp_path / "b.csv").write_bytes(csv(ROWS))
    second = good(tmp_path, '"b.csv"')
    renamed = second.step.model_copy(update={"name": "u"})
    from ftc.facts.sources import ResolvedSource

    work = job(first, tmp_path, "select t.prompt, u.completion from t join u using (prompt)")
    work.sources = (first, ResolvedSource(renamed, second.paths))
    compiled = work.run()
    assert compiled.ledger is not None
    assert compiled.ledger.train == 50
    assert seen == ["b.csv"]


def test_rows_stream_in_flat_memory(tmp_path: Path) -> None:
    import subprocess
    import sys

    with sqlite3.connect(tmp_path / "t.db") as con:
        con.execute("create table t (n integer, a text)")
        numbers = "with recursive c(n) as (select 1 union all select n + 1 from c where n < 400000)"
        con.execute(f"insert into t {numbers} select n, printf('%0200d', n) from c")
    con.close()
    with duckdb.connect() as con:
        rows = "select i as n, repeat('x', 200) || i as a from range(400_000) r(i)"
        con.execute(f"copy ({rows}) to '{tmp_path}/t.json' (array true)")
    code = (
        "import resource, sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from source_jobs import good, silent; from ftc.data.query.ingest import ingested\n"
        "from ftc.facts.cache import Cache\n"
        "source = good(Path.cwd(), sys.argv[1])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "done = ingested((source.step,), {'t': source.paths}, Cache(Path('c')), silent)\n"
        "assert done.accounts[0].rows == 400_000\n"
        "assert 'pandas' not in sys.modules\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    for entry in ('"t.db"', '"t.json"'):
        here = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
        command = [sys.executable, "-c", code, entry, *here]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 700, "megabytes, of which DuckDB may hold 600"
