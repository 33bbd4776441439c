"""Facts and compiled data made by hand, for tests of what plans are made of them."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from ftc.facts.cache import Cache
from ftc.facts.gather import Facts
from ftc.facts.locate_model import Located
from ftc.facts.model import ModelFacts
from ftc.facts.query import Described
from ftc.facts.sources import ResolvedSource
from ftc.facts.sources.place import HERE
from ftc.facts.suites import look_at_suites
from ftc.facts.tokenizer import TokenizerFacts
from ftc.plan.account import Ledger, SourceRows
from ftc.plan.context import Compiled, Context, Outcome
from ftc.plan.pipeline import run_passes
from ftc.plan.steps import (
    ColumnType,
    DataStep,
    FileDigest,
    Part,
    Plan,
    Sequences,
    Shard,
    SourceStep,
)
from ftc.recipe.load import load_recipe
from ftc.recipe.partial import NOTHING

ZERO = "0" * 64
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 1024,
    "vocab_size": 300,
}
BASE = '[model]\nbase = "models/tiny"\n[data]\nsources.rows = "rows.jsonl"\n'


def part(name: str, rows: int) -> Part:
    file = FileDigest(name=f"{name}-00000.parquet", bytes=10, sha256=ZERO)
    return Part(
        shards=(Shard(file=file, rows=rows),),
        rows=rows,
        tokens=rows * 10,
        trained_tokens=rows * 2,
        longest=20,
        shortest=5,
    )


COMPILED = DataStep(
    train=part("train", 10),
    eval=part("eval", 4),
    ledger=Ledger(sources=(SourceRows(name="rows", rows=14),), read=14, lines=(), train=10, eval=4),
    labels=("no", "yes"),
    longest_target=2,
)


def tokenizer_facts() -> TokenizerFacts:
    return TokenizerFacts(
        file=Path("tokenizer.json"),
        sha256=ZERO,
        special_tokens={"eos_token": "<|im_end|>", "pad_token": "<|pad|>"},
        added={"<|im_end|>": 2, "<|pad|>": 0},
        words={},
        first_id=None,
        chat_template="{{ messages }}",
        generation_eos=(2,),
    )


def facts(directory: Path, columns: dict[str, str]) -> Facts:
    step = SourceStep(name="rows", location="rows.jsonl", format="jsonl", options={}, files=())
    model = ModelFacts(
        located=Located("models/tiny", "directory", directory, None),
        directory=directory,
        config=CONFIG,
        config_sha256=ZERO,
        tokenizer=tokenizer_facts(),
        weights=(),
        commit=None,
    )
    model.__dict__["tensor_names"] = (
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.mlp.up_proj.weight",
    )
    described = Described(
        sql="select * from rows",
        columns=tuple(ColumnType(name=name, type=kind) for name, kind in columns.items()),
        traced_source="rows",
    )
    return Facts(
        sources=(ResolvedSource(step, ()),),
        queries=(described,),
        model=model,
        chat_template=model.tokenizer.chat_template,
        device="cpu",
        device_reason="no CUDA driver was found",
        packages={"bitsandbytes": "0.50.2", "torch": "2.13.0"},
    )


def laid_out(data: DataStep, capacity: int | None) -> Sequences:
    """What the data compiler would say of rows that fill their sequences as far as they can."""
    rows = data.train.rows + data.train.repeats
    tokens = data.train.tokens // data.train.rows * rows
    return Sequences(
        file=FileDigest(name="sequences.parquet", bytes=10, sha256=ZERO),
        count=rows if capacity is None else -(-tokens // capacity),
        rows=rows,
        tokens=tokens,
        longest=data.train.longest if capacity is None else min(tokens, capacity),
        capacity=capacity,
    )


def compiles_no_rows(*_: object) -> NoReturn:
    """The plans of these tests have no suites with rows of their own."""
    pytest.fail("a suite's rows are compiled")


def context_of(
    directory: Path, columns: dict[str, str], extra: str = "", data: DataStep | None = None
) -> Context:
    """A context of a recipe; without `[data.split]` in it, nothing of the compiled data is held out."""
    recipe = directory / "recipe.toml"
    extra = textwrap.dedent(extra)
    base, rest = BASE, extra
    if extra.startswith("[data]\n"):
        base, rest = BASE + extra.removeprefix("[data]\n"), ""
    recipe.write_text(base + rest, encoding="utf-8")
    loaded = load_recipe(recipe)
    assert loaded.recipe is not None, loaded.findings
    held = data or COMPILED
    if loaded.recipe.data.split.eval is None:
        ledger = held.ledger.model_copy(update={"eval": 0, "read": held.ledger.train})
        held = held.model_copy(update={"eval": None, "ledger": ledger})
    cache = Cache(directory / "cache")
    suites, _ = look_at_suites(loaded.recipe, loaded.origins, cache, NOTHING, HERE, ())
    return Context(
        recipe=loaded.recipe,
        origins=loaded.origins,
        facts=replace(facts(directory, columns), suites=suites),
        compile_data=lambda _: Compiled(held, ()),
        lay_out=lambda capacity: laid_out(held, capacity),
        compile_suite=compiles_no_rows,
        compile_baselines=compiles_no_rows,
    )


def plan_of(
    directory: Path, columns: dict[str, str], extra: str = "", data: DataStep | None = None
) -> Outcome:
    return run_passes(Plan(name="x", seed=0), context_of(directory, columns, extra, data))
