"""Requests to the data compiler, made from files in a directory without a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftc.data.compile import EVERY_ROW, Compiled, Locations, Request, compile_data
from ftc.facts.cache import Cache
from ftc.facts.digests import file_digest
from ftc.facts.query import describe
from ftc.facts.sources import ResolvedSource
from ftc.plan.steps import (
    LimitStep,
    QueryStep,
    RenderStep,
    SelectionStep,
    SourceStep,
    SplitStep,
    TokenizerStep,
)
from models import CHATML, write_tiny_tokenizer

CSV = {"encoding": "utf-8", "delimiter": ",", "quote": '"', "header": True}
FORMATS = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
SPECIAL = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def pairs(count: int) -> list[dict[str, Any]]:
    return [
        {"n": n, "prompt": f"what is the capital of country {n}?", "completion": f" the city {n % 7}"}
        for n in range(count)
    ]


def source(path: Path, *, name: str = "t", options: Mapping[str, Any] | None = None) -> ResolvedSource:
    form = FORMATS[path.suffix]
    step = SourceStep(
        name=name,
        location=path.name,
        format=form,
        options=dict(options if options is not None else CSV if form == "csv" else {}),
        files=(file_digest(path, f"data/{path.name}", Cache()),),
    )
    return ResolvedSource(step, (path,))


@dataclass
class Job:
    """A compilation whose settings a test may change."""

    directory: Path
    sources: tuple[ResolvedSource, ...]
    sql: str = "select * from t"
    id: str | None = None
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    mix: Mapping[str, tuple[str, float, int]] = field(default_factory=dict)
    """SQL, weight and repeat by name, instead of `sql`."""
    selection: SelectionStep = EVERY_ROW
    render: RenderStep = field(
        default_factory=lambda: RenderStep(
            form="completion",
            fields={"prompt": None, "completion": None},
            chat_template=None,
            variables={},
            train_on="completion",
            unproved="error",
        )
    )
    limits: LimitStep = field(
        default_factory=lambda: LimitStep(max_length=512, too_long="error", invalid="error")
    )
    split: SplitStep = field(
        default_factory=lambda: SplitStep(fraction=None, rows=None, keys=("prompt",), seed=0)
    )
    cache: Cache | None = None

    @property
    def tokenizer(self) -> Path:
        path = self.directory / "tokenizer"
        if not path.is_dir():
            write_tiny_tokenizer(path)
        return path / "tokenizer.json"

    def query(self, sql: str, name: str = "", weight: float | None = None, repeat: int = 1) -> QueryStep:
        """A query that has been described."""
        described = describe(self.sources, sql, parameters=self.parameters)
        assert not described.problems, described.problems
        return QueryStep(
            name=name,
            sql=sql,
            parameters=described.parameters,
            columns=described.columns,
            id_column=self.id,
            traced_source=described.traced_source,
            weight=weight,
            repeat=repeat,
        )

    def request(self) -> Request:
        queries = [self.query(sql, name, *part) for name, (sql, *part) in sorted(self.mix.items())]
        return Request(
            sources=tuple(source.step for source in self.sources),
            queries=tuple(queries) or (self.query(self.sql),),
            tokenizer=TokenizerStep(special_tokens=SPECIAL, bos_id=None, eos_id=2, pad_id=0),
            tokenizer_sha256="0" * 64,
            render=self.render,
            limits=self.limits,
            split=self.split,
            selection=self.selection,
        )

    def run(self) -> Compiled:
        places = {source.step.name: source.paths for source in self.sources}
        cache = self.cache or Cache(self.directory / "cache")
        return compile_data(self.request(), Locations(places, self.tokenizer), cache=cache)


def chat(**fields: str | None) -> RenderStep:
    return RenderStep(
        form="chat",
        fields=dict(fields),
        chat_template=CHATML,
        variables={},
        stop_tokens=("<|im_end|>",),
        train_on="assistant",
        unproved="error",
    )
