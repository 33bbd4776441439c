"""What sources cost: what a check loads for each kind, and how soon reading stops on Ctrl-C."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

HERE = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
HEAVY = "{'pyarrow', 'fsspec', 'sqlite3', 'psycopg', 'huggingface_hub', 'aiohttp', 's3fs', 'numpy', 'pandas'}"


def loaded(directory: Path, entry: str) -> set[str]:
    """The libraries for single kinds that looking at a source loads."""
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from ftc.recipe.load import load_recipe; from ftc.facts.cache import Cache\n"
        "from ftc.facts.sources import resolve_source\n"
        "text = '[model]\\nbase = \"x/y\"\\n[data]\\nsources.t = ' + sys.argv[1] + '\\n'\n"
        "Path('recipe.toml').write_text(text); loaded = load_recipe(Path('recipe.toml'))\n"
        "resolve_source(loaded.recipe, 't', loaded.origins, Cache(Path('cache')))\n"
        f"print(' '.join({HEAVY} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code, entry, *HERE]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_kind_loads_what_it_needs_alone(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("{}\n")
    (tmp_path / "t.csv").write_text("a\n1\n")
    (tmp_path / "t.json").write_text("[]")
    (tmp_path / "t.md").write_text("# a\n")
    sqlite3.connect(tmp_path / "t.db").execute("create table t (a)").connection.close()
    for name in ("t.jsonl", "t.csv", "t.json", "t.md"):
        assert loaded(tmp_path, f'"{name}"') == set(), name
    assert loaded(tmp_path, '"t.db"') == {"sqlite3"}
    for address in ("https://example.org/t.csv", "s3://bucket/t.csv"):
        assert loaded(tmp_path, f'"{address}"') == set()
    assert loaded(tmp_path, '{ dataset = "someone/chats" }') == set()
    assert loaded(tmp_path, '{ database = { env = "FTC_NO_SUCH" }, table = "t" }') == set()


def big_table(path: Path) -> None:
    con = sqlite3.connect(path)
    con.execute("create table t (n integer, a text)")
    numbers = "with recursive c(n) as (select 1 union all select n + 1 from c where n < 3000000)"
    con.execute(f"insert into t {numbers} select n, printf('%0100d', n) from c")
    con.commit()
    con.close()


def big_lines(path: Path) -> None:
    with duckdb.connect() as con:
        rows = "select i as n, repeat('x', 300) || i as a from range(3_000_000) r(i)"
        con.execute(f"copy ({rows}) to '{path}' (format json)")


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize(("name", "make"), [("t.db", big_table), ("t.jsonl", big_lines)])
def test_reading_stops_on_an_interrupt(tmp_path: Path, name: str, make) -> None:
    make(tmp_path / name)
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from source_jobs import good\n"
        "from ftc.data.query.ingest import ingested; from ftc.facts.cache import Cache\n"
        "source = good(Path.cwd(), sys.argv[1])\n"
        "tell = lambda *step: print('reading', flush=True)\n"
        "ingested((source.step,), {'t': source.paths}, Cache(Path('cache')), tell)\n"
        "print('finished', flush=True)\n"
    )
    command = [sys.executable, "-c", code, f'"{name}"', *HERE]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "reading\n"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert "finished" not in out
    assert "KeyboardInterrupt" in err
    assert not list((tmp_path / "cache").glob("sources/*/*"))
