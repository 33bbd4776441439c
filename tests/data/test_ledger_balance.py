"""Every row is trained on, held out or in the ledger, once: over data and settings of all kinds.

The judges are DuckDB over the files that a compilation leaves, and the generated rows themselves.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from data_requests import Job, chat, source
from ftc.data.compile import Compiled
from ftc.plan.account import STAYING
from ftc.plan.steps import (
    DedupeStep,
    LimitStep,
    RenderStep,
    SampleStep,
    SelectionStep,
    SplitStep,
)
from models import write_tiny_tokenizer

WORDS = ("the", "capital", "of", "a", "country", "fox", "jumps", "me@fox.io")
FORGETS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that leaves out reasoning once other messages follow."""

TALK = """{{ [
    {"role": "user", "content": prompt}, {"role": "assistant", "content": "<think>a</think>" ~ completion},
    {"role": "user", "content": prompt}, {"role": "assistant", "content": completion},
][:4 if completion is string and completion.split() | length % 2 else 2] | tojson }}"""
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join)
odd = st.sampled_from([None, "", " "])
rows = st.fixed_dictionaries(
    {"g": st.integers(0, 4), "prompt": texts | texts | odd, "completion": texts | texts | odd}
)
GOOD = [
    {"g": n % 4, "prompt": f"the {word}", "completion": f"{word} of a {word}"} for n, word in enumerate(WORDS)
]
"""Rows that every set of rows begins with, so that there is something to train on."""

BAD = ('{"g": 1,', "nonsense", '{"g": 1} {"g": 2', "\\")
lines = st.lists(rows | rows | st.sampled_from(BAD), min_size=1, max_size=30)


@dataclass(frozen=True)
class Settings:
    """What a recipe may say of the rows."""

    sql: str
    mix: tuple[tuple[str, float, int], ...]
    id: bool
    sample: SampleStep | None
    dedupe: DedupeStep | None
    split: SplitStep
    max_length: int
    redact: bool


def split(**changes: Any) -> SplitStep:
    return SplitStep(**{"fraction": None, "rows": None, "keys": ("prompt",), "seed": 1, **changes})


splits = st.one_of(
    st.just(split()),
    st.floats(0.1, 0.9).map(lambda part: split(fraction=part)),
    st.floats(0.1, 0.9).map(lambda part: split(fraction=part, keys=("g",))),
    st.integers(1, 9).map(lambda count: split(rows=count)),
    st.floats(0.1, 0.9).map(lambda part: split(fraction=part, stratify="g")),
)
lengths = st.integers(12, 60)
TRACED = (
    "select n, g, prompt, completion from t",
    "select n, g, prompt, completion from t where g < 3",
    "select n, g, prompt, completion from t where g > 1 order by g desc, n limit 7",
)
UNTRACED = (
    "select n, g, prompt, completion from t union all select n + 1000, g, prompt, completion from t",
    "select min(n) as n, g, prompt, completion from t group by all",
    "select a.n * 100 + b.n as n, a.g, a.prompt, b.completion from t a join t b on a.g = b.g",
)
queries = st.sampled_from(TRACED + UNTRACED)
parts = st.tuples(queries, st.floats(0.1, 3), st.integers(1, 3))
FORMS = (
    ("completion", "drop"),
    ("completion", "truncate"),
    ("chat", "drop"),
    ("text", "split"),
    ("unrolled", "drop"),
)
"""The form of the rows, and what becomes of long ones."""

SCALE = {"text": 1 / 6, "chat": 3, "unrolled": 5}
"""How much longer a row of a form may be: its template has tokens too, and a document is to be split."""

KINDS: tuple[dict[str, Any], ...] = (
    {"method": "exact"},
    {"method": "near", "similarity": 0.5, "words": 2, "hashes": 64, "bands": 32},
)
everything = st.builds(
    Settings,
    sql=queries,
    mix=st.just(()) | st.lists(parts, min_size=2, max_size=3).map(tuple),
    id=st.booleans(),
    sample=st.none()
    | st.floats(0.1, 1).map(lambda part: SampleStep(fraction=part, rows=None))
    | st.integers(1, 20).map(lambda count: SampleStep(fraction=None, rows=count)),
    dedupe=st.sampled_from([None, *(DedupeStep(**kind, columns=("completion", "prompt")) for kind in KINDS)]),
    split=splits,
    max_length=lengths,
    redact=st.booleans(),
)


@cache
def tokenizer() -> Path:
    """A directory with a tokenizer, made once."""
    directory = Path(mkdtemp())
    write_tiny_tokenizer(directory)
    return directory


def rendering(form: str) -> RenderStep:
    step = Job(Path(), ()).render
    if form == "chat":
        step = chat(user="{{ prompt }}", assistant="{{ completion }}")
    elif form == "text":
        fields = {"text": "{{ prompt }} {{ completion }}"}
        step = step.model_copy(update={"form": "text", "fields": fields, "train_on": "all"})
    elif form == "unrolled":
        step = chat(messages=TALK).model_copy(update={"chat_template": FORGETS, "history": "unroll"})
    return step.model_copy(update={"unproved": "drop"})


def run(
    directory: Path, content: list[str | dict[str, Any]], chosen: Settings, form: str, too_long: str
) -> tuple[Job, Compiled]:
    lines = enumerate([*GOOD, *content])
    numbered = [line if isinstance(line, str) else json.dumps({"n": n, **line}) for n, line in lines]
    path = directory / "t.jsonl"
    path.write_text("\n".join(numbered) + "\n", encoding="utf-8")
    shutil.copytree(tokenizer(), directory / "tokenizer")
    job = Job(directory, (source(path),), sql=chosen.sql, id="n" if chosen.id else None)
    job.mix = {f"q{place}": part for place, part in enumerate(chosen.mix)}
    job.selection = SelectionStep(sample=chosen.sample, dedupe=chosen.dedupe, seed=3)
    most = round(chosen.max_length * SCALE.get(form, 1))
    job.limits = LimitStep(max_length=most, too_long=too_long, invalid="drop")
    redact = ("email",) if chosen.redact else ()
    job.split, job.render = chosen.split, rendering(form).model_copy(update={"redact": redact})
    return job, job.run()


class Judge:
    """DuckDB over the files of a compilation."""

    def __init__(self, directory: Path) -> None:
        self._con = duckdb.connect()
        for name in ("train", "eval"):
            shards = sorted(map(str, directory.glob(f"{name}-*.parquet")))
            table = f"read_parquet({shards})" if shards else "(select '' as id where false)"
            self._con.execute(f"create view {name} as select id from {table}")
        for name in ("dropped", "changed"):
            self._con.execute(f"create table {name} as from '{directory / name}.parquet'")
        self._con.execute("create view kept as from train union all from eval")

    def value(self, sql: str) -> Any:
        return self._con.execute(sql).fetchall()[0][0]

    def column(self, sql: str) -> list[Any]:
        return [row[0] for row in self._con.execute(sql).fetchall()]

    def counts(self, table: str) -> dict[str, int]:
        return dict(self._con.execute(f"select fate, count(*) from {table} group by 1").fetchall())


def expected_ids(job: Job, content: list[str | dict[str, Any]]) -> set[str] | None:
    """The ids of all rows by the rules of the documentation; None where they are made of content."""
    if job.mix or job.request().queries[0].traced_source is None:
        return None
    lines = enumerate([*GOOD, *content], 1)
    return {f"data/t.jsonl:{n}" if isinstance(line, str) else f"t:{n}" for n, line in lines}


def check(job: Job, compiled: Compiled, chosen: Settings, content: list[str | dict[str, Any]]) -> None:
    ledger, directory = compiled.ledger, compiled.directory
    assert ledger is None or ledger.unexplained == 0
    if ledger is None or directory is None:  # nothing is left to train on, or to hold out, or ids are wrong
        event(", ".join(sorted({problem.code for problem in compiled.problems})))
        assert {problem.code for problem in compiled.problems} <= {"FTC601", "FTC602", "FTC605", "FTC212"}
        return
    judge = Judge(directory)
    event("compiled" + (" in parts" if ledger.more else ""))
    lost = {fate: 0 for line in ledger.lines for fate in [line.fate]}
    for line in ledger.lines:
        lost[line.fate] += line.rows
    assert judge.counts("dropped") == {fate: rows for fate, rows in lost.items() if fate not in STAYING}
    assert judge.counts("changed") == {fate: rows for fate, rows in lost.items() if fate in STAYING}
    assert judge.value("select count(*) from train") == ledger.train
    assert judge.value("select count(*) from eval") == ledger.eval
    gone, kept = judge.value("select count(*) from dropped"), judge.value("select count(*) from kept")
    assert gone + kept == ledger.read + ledger.more
    both = "(select id from kept union all select id from dropped)"
    assert judge.column(f"select id from {both} group by 1 having count(*) > 1") == []
    first = {id_ for line in ledger.lines for id_ in line.first_ids}
    known = "select id from dropped union select id from changed"
    assert first <= set(judge.column(known))
    own = "regexp_replace(id, '^(t:[0-9]+)/[0-9]+$', '\\1')"
    whole = set(judge.column(f"select distinct {own} from {both} x"))
    expected = expected_ids(job, content)
    if expected is not None and not chosen.id:
        assert whole == expected


@pytest.mark.parametrize(("form", "too_long"), FORMS)
@given(lines, everything)
@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
)
def test_every_row_is_trained_held_out_or_accounted_for_once(
    form: str, too_long: str, content: list[str | dict[str, Any]], chosen: Settings
) -> None:
    with TemporaryDirectory() as name:
        job, compiled = run(Path(name), content, chosen, form, too_long)
        check(job, compiled, chosen, content)
