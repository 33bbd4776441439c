"""Rows of a suite with training examples before each prompt: the same ones, or those most like the prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftc.data.compile import used_sources
from ftc.data.query.ingest import ingested
from ftc.data.query.result import Result
from ftc.data.query.typed_values import converted, converter
from ftc.data.rendering.conversation import Refused
from ftc.data.rendering.example import Rendered
from ftc.data.rendering.renderer import Renderer
from ftc.data.selection.hashes import key_hash
from ftc.facts.cache import Cache

if TYPE_CHECKING:
    from ftc.data.compile import Progress
    from ftc.data.compiled_rows import Rows

POOL = 20_000
"""Training rows that are searched at most, those with the smallest hashes of their ids."""

K1, B = 1.2, 0.75
"""Constants of BM25 (Robertson and Zaragoza 2009): how soon a word's count saturates, what length weighs."""

SCORES = """
with words as (
  select side, row, unnest(regexp_extract_all(lower(text), '[\\p{L}\\p{N}]+')) as word from texts
), counts as (
  select row, word, count(*) as times from words where side = 'pool' group by all
), lengths as (
  select row, sum(times) as length from counts group by all
), sizes as (
  select count(*) as rows, avg(length) as mean from lengths
), found as (
  select word, ln(1 + ((select rows from sizes) - count(*) + 0.5) / (count(*) + 0.5)) as weight
  from counts group by all
), asked as (
  select distinct row, word from words where side = 'suite'
)
select asked.row, counts.row, round(sum(
  weight * times * ($k1 + 1) / (times + $k1 * (1 - $b + $b * length / (select mean from sizes)))
), 9) as score
from asked join counts using (word) join lengths on lengths.row = counts.row join found using (word)
group by asked.row, counts.row
qualify row_number() over (partition by asked.row order by score desc, counts.row) <= $most
order by asked.row, score desc, counts.row
"""
"""BM25 with Lucene's never negative weight of a word, over words of letters and digits in lower case."""

Kind = Literal["few_shot", "retrieval"]
Turns = list[dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """A row as it can stand in a prompt: its turns, the answer's last, and the text that is searched."""

    id: str
    turns: Turns
    text: str


def asked_rows(rows: Rows, eos: str, cache: Cache, scratch: Path, progress: Progress) -> Iterator[Asked]:
    """The rows of a part as turns, in order. Raises QueryFailure, UnreadableSource and CacheProblem."""
    wanted = set(_ids(rows))
    renderer = Renderer(rows.render, rows.request.tokenizer, eos)
    sources = ingested(used_sources(rows.request), rows.locations.sources, cache, progress)
    for number, query in enumerate(rows.request.queries):
        with Result(query, sources, scratch / f"query-{number}") as result:
            found = ((id_, _turns(renderer, row, eos)) for id_, row in _values(result) if id_ in wanted)
            yield from (Asked(id_, turns, _last_question(turns)) for id_, turns in found if turns)


def _values(result: Result) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row's id and the values of its columns."""
    for ids, batch in result.rows():
        names = batch.schema.names
        columns = [
            converted(column.to_pylist(), converter(result.shapes.get(name)))
            for name, column in zip(names, batch.columns, strict=True)
        ]
        for id_, *values in zip(ids, *columns, strict=True):
            yield id_, dict(zip(names, values, strict=True))


def _ids(rows: Rows) -> Iterator[str]:
    import pyarrow.parquet as pq

    for shard in rows.part.shards:
        with pq.ParquetFile(rows.directory / shard.file.name) as file:
            for batch in file.iter_batches(columns=["id"]):
                yield from batch.column(0).to_pylist()


def _turns(renderer: Renderer, values: dict[str, Any], eos: str) -> Turns | None:
    """A row's messages, or its prompt and completion as turns of their own; None where it has no answer."""
    if renderer.step.form == "chat":
        try:
            messages = renderer.chat(values).messages
        except Refused:
            return None
        return [dict(message) for message in messages] if messages[-1]["role"] == "assistant" else None
    made = renderer(values)
    if not isinstance(made, Rendered) or made.prompt is None:
        return None
    answer = "".join(piece.text for piece in made.pieces).removeprefix(made.prompt).removesuffix(eos)
    return [{"role": "prompt", "content": made.prompt}, {"role": "completion", "content": answer}]


def _last_question(turns: Turns) -> str:
    said = [turn["content"] for turn in turns[:-1] if turn["role"] in ("user", "prompt")]
    return said[-1] if said and isinstance(said[-1], str) else ""


def write_rows(
    kind: Kind, examples: int, suite: Sequence[Asked], pool: Sequence[Asked], seed: int, target: Path
) -> None:
    """The suite's rows with examples before each, one JSON object a line, as a source of rows to compile."""
    ordered = sorted(pool, key=lambda row: (key_hash(seed, [row.id]), row.id))[:POOL]
    chosen: Callable[[int], list[Asked]]
    if kind == "few_shot":
        chosen = lambda _: ordered[:examples]  # noqa: E731
    else:
        found = nearest(suite, ordered, examples)
        chosen = lambda number: found[number]  # noqa: E731
    with target.open("w", encoding="utf-8") as file:
        for number, row in enumerate(suite):
            before = [one for one in chosen(number) if one.id != row.id]
            file.write(json.dumps({"id": row.id, **_together(before, row)}, ensure_ascii=True) + "\n")


def _together(examples: Sequence[Asked], row: Asked) -> dict[str, Any]:
    """One conversation of the examples and the row, or one text."""
    if row.turns[0]["role"] == "prompt":
        texts = [turn["content"] for example in examples for turn in (*example.turns, {"content": "\n\n"})]
        prompt, completion = (turn["content"] for turn in row.turns)
        return {"prompt": "".join(texts) + prompt, "completion": completion}
    system = [turn for turn in row.turns if turn["role"] in ("system", "developer")]
    shown = [turn for one in (*examples, row) for turn in one.turns if turn not in system]
    shown = [turn for turn in shown if turn["role"] not in ("system", "developer")]
    return {"messages": system + shown}


def nearest(suite: Sequence[Asked], pool: Sequence[Asked], most: int) -> list[list[Asked]]:
    """For each row of a suite the training rows most like it by BM25, the likest last."""
    import pyarrow as pa

    from ftc.facts.sandbox import connect

    con = connect()
    try:
        con.execute("set threads=1")
        sides = (("suite", suite), ("pool", pool))
        lines = [(side, number, row.text) for side, rows in sides for number, row in enumerate(rows)]
        columns = zip(*lines, strict=True)
        con.register("texts", pa.table(dict(zip(("side", "row", "text"), map(list, columns), strict=True))))
        found: list[list[Asked]] = [[] for _ in suite]
        answers = con.execute(SCORES, {"k1": K1, "b": B, "most": most}).fetchall()
        for asked, row, _ in answers:
            found[asked].insert(0, pool[row])
        return found
    finally:
        con.close()
