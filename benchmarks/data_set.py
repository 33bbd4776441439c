"""The data set of benchmarks/data.py: conversations of realistic lengths, the same on every machine.

Words are the tokenizer's own, drawn by Zipf's law in the order of its vocabulary; one in about seventeen is
new, put together of two others, so that a tokenizer's memory of words helps no more than it does with
English. Numbers, punctuation and line ends stand between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 11
CHUNK = 10_000
"""Rows that are made at once; each chunk has a seed of its own."""

SYSTEM = "You are a careful assistant. Answer in full sentences, and say so when you do not know."
TURNS = np.array([1, 1, 2, 2, 2, 3, 4])
QUESTION, ANSWER = (3.1, 0.7), (4.2, 0.8)
"""Words of a user's and an assistant's message: mean and deviation of their logarithm."""


def words(tokenizer: Path) -> list[str]:
    """The tokenizer's words in the order of its vocabulary."""
    model = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]
    ordered = sorted(model["vocab"], key=model["vocab"].__getitem__)
    plain = [
        token[1:] for token in ordered if token[:1] in "Ġ▁" and token[1:].isascii() and token[1:].isalpha()
    ]
    return plain[:30_000]


class Writer:
    """Makes texts of a number of words."""

    def __init__(self, vocabulary: list[str], seed: int) -> None:
        self._random = np.random.default_rng([SEED, seed])
        weights = 1 / (np.arange(2 * len(vocabulary)) + 3.0)
        self._edges = np.cumsum(weights / weights.sum())
        self._vocabulary = vocabulary

    def counts(self, kind: tuple[float, float], count: int) -> list[int]:
        """How many words each of some messages has."""
        drawn = np.exp(self._random.normal(*kind, count))
        return np.clip(drawn, 2, 900).astype(int).tolist()

    def texts(self, counts: list[int]) -> list[str]:
        """Texts of so many words each."""
        total, known = sum(counts), len(self._vocabulary)
        numbers = np.searchsorted(self._edges, self._random.random(total)).tolist()
        others = self._random.integers(0, known, total).tolist()
        marks = self._random.integers(0, 40, total).tolist()
        drawn = [
            (self._vocabulary[n] if n < known else self._new(n - known, m)) + _mark(k, n)
            for n, m, k in zip(numbers, others, marks, strict=True)
        ]
        found, at = [], 0
        for count in counts:
            found.append(" ".join(drawn[at : at + count]))
            at += count
        return found

    def _new(self, one: int, other: int) -> str:
        return self._vocabulary[one % len(self._vocabulary)].capitalize() + self._vocabulary[other]

    def integers(self, high: int, count: int) -> list[int]:
        """Whole numbers below a bound."""
        return self._random.integers(0, high, count).tolist()


def _mark(mark: int, number: int) -> str:
    """What follows a word: mostly nothing."""
    if mark > 6:
        return ""
    return (",", ",", ".", ".", f" {number}", ".\n\n", ":\n-")[mark]


def conversations(vocabulary: list[str], rows: int) -> Iterator[list[list[dict[str, str]]]]:
    """Conversations of one to four turns, a chunk at a time."""
    for number, start in enumerate(range(0, rows, CHUNK)):
        count, writer = min(CHUNK, rows - start), Writer(vocabulary, number)
        turns = TURNS[writer.integers(len(TURNS), count)].tolist()
        lengths = [
            length
            for pair in zip(
                writer.counts(QUESTION, sum(turns)), writer.counts(ANSWER, sum(turns)), strict=True
            )
            for length in pair
        ]
        texts = iter(writer.texts(lengths))
        found = []
        for several, first in zip(turns, writer.integers(5, count), strict=True):
            messages = [{"role": "system", "content": SYSTEM}] if first == 0 else []
            for _ in range(several):
                messages.append({"role": "user", "content": next(texts)})
                messages.append({"role": "assistant", "content": next(texts)})
            found.append(messages)
        yield found


def write_conversations(path: Path, tokenizer: Path, rows: int) -> None:
    """Conversations as Parquet or, by the file's name, JSON lines."""
    chunks = conversations(words(tokenizer), rows)
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            for chunk in chunks:
                file.writelines(json.dumps({"messages": messages}) + "\n" for messages in chunk)
        return
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("messages", pa.list_(message))])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for chunk in chunks:
            file.write_table(pa.table({"messages": pa.array(chunk, schema.field(0).type)}, schema=schema))


def write_short_rows(path: Path, tokenizer: Path, rows: int) -> None:
    """Prompts of five to twelve words with answers of one to six, as Parquet."""
    vocabulary = words(tokenizer)
    schema = pa.schema([("prompt", pa.string()), ("completion", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for number, start in enumerate(range(0, rows, 10 * CHUNK)):
            count, writer = min(10 * CHUNK, rows - start), Writer(vocabulary, number)
            asked = writer.texts([5 + extra for extra in writer.integers(8, count)])
            given = writer.texts([1 + extra for extra in writer.integers(6, count)])
            columns: dict[str, Any] = {"prompt": asked, "completion": [f" {text}" for text in given]}
            file.write_table(pa.table(columns, schema=schema))
