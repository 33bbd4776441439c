"""Which rows are held out: decided by a hash of their keys, so that nothing else moves a row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from heapq import heappop, heappush
from typing import Any

from ftc.plan.steps import SplitStep

SPACE = 1 << 64
"""Hashes are whole numbers below this."""


def key_hash(seed: int, values: Sequence[Any]) -> int:
    """The hash of a row's key values: the first eight bytes of SHA-256 over their JSON and the seed."""
    text = json.dumps([seed, list(values)], ensure_ascii=True, sort_keys=True, default=str)
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def row_hash(split: SplitStep, row: Mapping[str, Any]) -> int:
    """The hash of a row by the split's keys; a conversation counts without its last answer."""
    values = [_asked(row[key]) if key == "messages" else row[key] for key in split.keys]
    return key_hash(split.seed, values)


def _asked(messages: Any) -> Any:
    """The messages before the last answer, so that two answers to one prompt are on the same side."""
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except ValueError:
            return messages
    if not isinstance(messages, Sequence):
        return messages
    answers = [n for n, m in enumerate(messages) if isinstance(m, Mapping) and m.get("role") == "assistant"]
    return messages[: answers[-1]] if answers else messages


class Smallest:
    """The groups with the smallest hashes that together have at least `rows` rows; holds no more of them."""

    def __init__(self, rows: int) -> None:
        self._wanted, self._held = rows, 0
        self._counts: dict[int, int] = {}
        self._largest: list[int] = []

    def add(self, hash_: int) -> None:
        """Count a row."""
        if hash_ in self._counts:
            self._counts[hash_] += 1
        elif self._held < self._wanted or hash_ < -self._largest[0]:
            self._counts[hash_] = 1
            heappush(self._largest, -hash_)
        else:
            return
        self._held += 1
        while self._held - self._counts[-self._largest[0]] >= self._wanted:
            self._held -= self._counts.pop(-heappop(self._largest))

    @property
    def threshold(self) -> int:
        """The hash below which rows are held out."""
        return 1 - self._largest[0] if self._largest else 0


def threshold(split: SplitStep, hashes: Iterable[int]) -> int:
    """The hash below which rows are held out; `hashes` of all rows are read only for a number of rows."""
    if split.fraction is not None:
        return round(split.fraction * SPACE)
    if split.rows is None:
        return 0
    smallest = Smallest(split.rows)
    for hash_ in hashes:
        smallest.add(hash_)
    return smallest.threshold
