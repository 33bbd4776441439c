"""Packing a million lengths, and some of them side by side with TRL's best-fit decreasing, in one run.

    python benchmarks/packing.py [--rows 1000000] [--trl-rows 100000]

For several kinds of lengths it prints the CPU seconds of `ftc.data.packing.pack` for all rows. Then, on the
first of them, the seconds of ftc and TRL and their ratio (TRL moves the tokens too, a byte each here), and
how full the sequences are: as ftc lays them out, as TRL does over the whole set, as TRL does by default (of
every 1,000 rows), and as no layout can surpass (the lower bound of Martello and Toth on the number of
sequences).

The bars: under 0.5 s for a million lengths, and within 0.1 points of the best that is known.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ftc.data.packing.pack import least_sequences, pack

TRL_AT_ONCE = 1000
"""Rows that TRL packs together by default, the batch of `datasets.map`."""


def lengths(kind: str, capacity: int, rows: int) -> Any:
    """Lengths as data sets have them; the same on every run."""
    rng = np.random.default_rng(0)
    drawn = {
        "chats": lambda: rng.lognormal(np.log(300), 0.8, rows),
        "split documents": lambda: np.where(rng.random(rows) < 0.5, capacity, rng.uniform(1, capacity, rows)),
        "near the limit": lambda: rng.lognormal(np.log(capacity * 0.4), 0.5, rows),
        "two or three": lambda: rng.uniform(capacity * 0.25, capacity * 0.5, rows),
    }[kind]()
    return np.clip(drawn, 1, capacity).astype(np.int32)


CASES = (
    ("chats", 1024),
    ("chats", 4096),
    ("chats", 32_768),
    ("split documents", 4096),
    ("near the limit", 4096),
    ("two or three", 4096),
)


def timed(work: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """The shortest of some runs in CPU seconds, and what the last one gave."""
    best, found = float("inf"), None
    for _ in range(runs):
        start = time.process_time()
        found = work()
        best = min(best, time.process_time() - start)
    return best, found


def trl_table(row_lengths: Any) -> Any:
    """Rows of these lengths as TRL takes them, a byte for each token."""
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(row_lengths)])
    tokens = pa.array(np.zeros(offsets[-1], dtype=np.int8))
    kind = pa.ListArray if offsets[-1] < 1 << 31 else pa.LargeListArray
    width = np.int32 if kind is pa.ListArray else np.int64
    return pa.table({"input_ids": kind.from_arrays(pa.array(offsets.astype(width)), tokens)})


def trl(row_lengths: Any, capacity: int) -> tuple[float, int, int]:
    """Seconds and sequences of TRL over the whole set, and its sequences by default."""
    from trl.data_utils import _pack_bfd

    table = trl_table(row_lengths)
    seconds, packed = timed(lambda: _pack_bfd(table, capacity), 1)
    parts = range(0, table.num_rows, TRL_AT_ONCE)
    default = sum(_pack_bfd(table.slice(part, TRL_AT_ONCE), capacity).num_rows for part in parts)
    return seconds, packed.num_rows, default


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="lengths of each kind (1000000)")
    parser.add_argument("--trl-rows", type=int, default=100_000, help="those TRL packs too (100000)")
    options = parser.parse_args()
    rows, beside = options.rows, options.trl_rows
    print(f"{rows:,} lengths, {beside:,} beside TRL, one thread, load {os.getloadavg()[0]:.1f}")
    head = ("ftc, all", "ftc", "TRL", "ratio", "ftc %", "TRL %", "default %", "bound %")
    print(f"{'lengths':16}{'capacity':>9}" + "".join(f"{name:>10}" for name in head))
    for kind, capacity in CASES:
        drawn = lengths(kind, capacity, options.rows)
        whole, _ = timed(lambda drawn=drawn, capacity=capacity: pack(drawn, capacity), 3)
        cells = (f"{whole:.3f}s", *compared(drawn[: options.trl_rows], capacity))
        print(f"{kind:16}{capacity:>9,}" + "".join(f"{cell:>10}" for cell in cells), flush=True)


def compared(some: Any, capacity: int) -> tuple[str, ...]:
    """Seconds of ftc and TRL, their ratio, and four shares of the sequences' room in percent."""
    ours, packs = timed(lambda: pack(some, capacity), 3)
    theirs, at_once, default = trl(some, capacity)
    least = least_sequences(np.bincount(some, minlength=capacity + 1), capacity)
    tokens = int(some.sum(dtype=np.int64))
    counts = (len(packs), at_once, default, least)
    full = (f"{100 * tokens / (count * capacity):.3f}" for count in counts)
    return f"{ours:.3f}s", f"{theirs:.2f}s", f"{theirs / ours:.0f}", *full


if __name__ == "__main__":
    main()
