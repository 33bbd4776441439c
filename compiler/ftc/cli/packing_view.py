"""Training sequences on the screen and in JSON: how rows share them, and how full they are."""

from __future__ import annotations

from typing import Any

from ftc.cli.layout import number, plural
from ftc.plan.steps import Sequences, TrainStep

Lines = list[tuple[str, str]]
"""Labels with their lines."""


def sequence_lines(sequences: Sequences | None) -> Lines:
    """How packed rows fill their sequences, or how many rows are used again; nothing for rows one by one."""
    if sequences is None:
        return []
    rows = f"{number(sequences.rows)} rows a pass"
    if sequences.capacity is None:
        return [("repeats", f"{rows}, some of them more than once")]
    count, most = plural(sequences.count, "sequence"), number(sequences.capacity)
    mean_rows = f"{sequences.rows / sequences.count:.3g}"
    mean_tokens = number(round(sequences.tokens / sequences.count))
    line = (
        f"{rows} in {count} of at most {most} tokens, {100 * sequences.utilisation:.2f} % full; "
        f"{mean_rows} rows and {mean_tokens} tokens on average, {number(sequences.longest)} in the longest"
    )
    return [("packing", line)]


def batch_words(train: TrainStep, sequences: Sequences | None) -> str:
    """What a step takes: rows, or sequences with about how many rows and tokens they are."""
    packed = sequences is not None and sequences.capacity is not None
    batch = plural(train.batch, "sequence" if packed else "row")
    if train.accumulation > 1:
        batch += f" ({train.accumulation} × {train.micro_batch})"
    if sequences is None or not packed:
        return batch
    part = train.batch / sequences.count
    rows, tokens = round(part * sequences.rows), round(part * sequences.tokens)
    return f"{batch}, about {plural(rows, 'row')} and {number(tokens)} tokens"


def packing_json(sequences: Sequences | None) -> dict[str, Any] | None:
    """The figures of packed rows; None where rows are not packed."""
    if sequences is None or sequences.capacity is None:
        return None
    return {
        "rows": sequences.rows,
        "sequences": sequences.count,
        "tokens": sequences.tokens,
        "capacity": sequences.capacity,
        "longest": sequences.longest,
        "utilisation": round(sequences.utilisation, 6),
    }
