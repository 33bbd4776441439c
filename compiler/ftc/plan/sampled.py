"""The compiled data of all rows as a sample of them has it, with the error of sampling of each figure.

The counts that do not take compiling are exact: rows read, filtered, sampled out, repeated, and how many go
on. What becomes of those is scaled from the rows that were looked at, so that the account still balances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from ftc.data.kept.ledger import OTHER
from ftc.data.kept.row_counts import COUNTED, row_counts
from ftc.data.kept.sample import Sample, Worked
from ftc.data.selection.quotas import shares
from ftc.data.selection.select import GOING, NOT_LOOKED_AT, UNSEEN
from ftc.estimate.sampling import Estimate, Moments, share, total, unseen
from ftc.plan.account import STAYING, Ledger, LedgerLine
from ftc.plan.figures import fates
from ftc.plan.steps import DataStep, Part, Plan, Sequences

NAMES = {"tokens": "tokens.{}", "loss": "tokens.{}.loss", "rows": "rows.{}"}
Key = tuple[str, str]
"""Fate and reason of a line of the ledger."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How far a plan is known that was made from a sample: of `rows` that go on, `looked_at` were compiled.

    `figures` has the interval of each figure that is scaled, by its name in `plan.figures`, `lines` that of
    each such line of the ledger, `compiled` the compiled rows of each side in the sample. At most the part
    `unseen` of the rows is as none in the sample is: longer than the longest, or of a fate that none has
    (with a confidence of 95 %).
    """

    rows: int
    looked_at: int
    figures: Mapping[str, Estimate]
    lines: Mapping[Key, Estimate]
    compiled: Mapping[str, int]
    unseen: float

    def with_steps(self, plan: Plan) -> Sampling:
        """The same with the optimizer steps, which follow from the rows, or from packed rows' tokens."""
        if plan.train is None or plan.data is None:
            return self
        sequences = plan.data.sequences
        packed = sequences is not None and sequences.capacity is not None
        known, steps = self.figures["tokens.train" if packed else "rows.train"], plan.train.steps
        low, high = (steps * bound / known.value for bound in (known.low, known.high))
        return replace(self, figures={**self.figures, "train.steps": Estimate(steps, low, high)})


def scaled(step: DataStep, sample: Sample, directory: Path) -> tuple[DataStep, Sampling]:
    """The data step of all rows, with the shards of the sample, and how far it is known. Raises OSError."""
    factor = Fraction(sample.rows, sample.looked_at)
    parts = {
        side: _part(part, _factor(sample, side))
        for side, part in (("train", step.train), ("eval", step.eval))
        if part is not None
    }
    ledger = _ledger(step.ledger, sample, {side: part.rows for side, part in parts.items()}, factor)
    whole = step.model_copy(update={"train": parts["train"], "eval": parts.get("eval"), "ledger": ledger})
    sampling = Sampling(
        rows=sample.rows,
        looked_at=sample.looked_at,
        figures={**_of_parts(step, sample, directory), **_of_fates(step.ledger, ledger, sample)},
        lines=_of_lines(step.ledger, ledger, sample),
        compiled={"train": step.train.rows, "eval": step.eval.rows if step.eval else 0},
        unseen=unseen(sample.looked_at),
    )
    return whole, sampling


def scaled_sequences(laid_out: Sequences, data: DataStep) -> Sequences:
    """The sequences of all training rows, filled as those of the sample are; the file is the sample's."""
    rows = data.train.rows + data.train.repeats
    count = min(rows, max(1, round(Fraction(laid_out.count * rows, laid_out.rows))))
    tokens = max(rows, round(Fraction(laid_out.tokens * rows, laid_out.rows)))
    return laid_out.model_copy(update={"count": count, "rows": rows, "tokens": tokens})


def _factor(sample: Sample, side: str) -> Fraction:
    """How many rows a compiled row of a side stands for."""
    stratum = next(one for one in sample.strata if one.side in (side, None))
    return Fraction(stratum.rows, stratum.looked_at)


def _part(part: Part, factor: Fraction) -> Part:
    counts = ("rows", "tokens", "trained_tokens", "repeats")
    return part.model_copy(update={name: round(getattr(part, name) * factor) for name in counts})


def _worked_lines(ledger: Ledger, sample: Sample) -> Iterator[LedgerLine]:
    """What the ledger's lines count of the work on rows alone; a line may count others, too."""
    left = {(one.fate, one.reason): one for one in sample.worked}
    for line in ledger.lines:
        worked = left.pop((line.fate, line.reason), None)
        if worked is not None:
            yield line.model_copy(update={"rows": worked.rows, "more": worked.more})
    rest: dict[str, list[Worked]] = {}
    for worked in left.values():  # reasons that share a line
        rest.setdefault(worked.fate, []).append(worked)
    for fate, several in rest.items():
        line = next(line for line in ledger.lines if line.fate == fate and line.reason == OTHER)
        rows, more = (sum(getattr(one, name) for one in several) for name in ("rows", "more"))
        yield line.model_copy(update={"rows": rows, "more": more})


def _ledger(ledger: Ledger, sample: Sample, compiled: Mapping[str, int], factor: Fraction) -> Ledger:
    """The account of all rows; it balances, as those that went follow from those that are kept."""
    worked = list(_worked_lines(ledger, sample))
    lost = [line for line in worked if line.fate not in STAYING]
    longer = [line for line in worked if line.more]
    kept = sum(compiled.values())
    more = round(sum(line.more for line in longer) * factor)
    if not lost:
        more = kept - sample.rows
    gone = sample.rows + more - kept
    if gone < 0 or not longer:
        more, gone = (more - gone, 0) if gone < 0 else (0, sample.rows - kept)
    rows = dict(zip(map(_key, lost), _spread(gone, [line.rows for line in lost]), strict=True))
    rows |= {_key(line): round(line.rows * factor) for line in worked if line.fate in STAYING}
    beyond = dict(zip(map(_key, longer), _spread(more, [line.more for line in longer]), strict=True))
    before = {_key(line): line.rows for line in worked}
    lines = tuple(
        line.model_copy(
            update={
                "rows": line.rows - before.get(_key(line), 0) + rows.get(_key(line), 0),
                "more": beyond.get(_key(line), 0),
            }
        )
        for line in ledger.lines
        if _key(line) != (GOING[UNSEEN], NOT_LOOKED_AT)
    )
    return ledger.model_copy(
        update={
            "lines": tuple(line for line in lines if line.rows),
            "train": compiled["train"],
            "eval": compiled.get("eval", 0),
        }
    )


def _key(line: LedgerLine) -> Key:
    return line.fate, line.reason


def _spread(whole: int, parts: Sequence[int]) -> list[int]:
    """A number in whole parts, in the proportion of others."""
    everything = sum(parts)
    ideal = [Fraction(whole * part, everything) for part in parts] if everything else []
    return shares(whole, ideal, [0] * len(ideal), [whole] * len(ideal))


def _of_parts(step: DataStep, sample: Sample, directory: Path) -> dict[str, Estimate]:
    """The intervals of rows and tokens of each side."""
    found = {}
    for side, part in (("train", step.train), ("eval", step.eval)):
        if part is None:
            continue
        stratum = next(one for one in sample.strata if one.side in (side, None))
        counts = row_counts(directory, part)
        for column, name in enumerate(COUNTED):
            values = counts[:, column]
            sums = float(values.sum()), float((values**2).sum())
            found[NAMES[name].format(side)] = total([Moments(stratum.rows, stratum.looked_at, *sums)])
    return found


def _of_lines(read: Ledger, whole: Ledger, sample: Sample) -> dict[Key, Estimate]:
    """The intervals of the ledger's lines that are scaled, by fate and reason.

    `read` is the ledger of the sample, `whole` the one of all rows, whose counts stand in the middle.
    """
    counts = {_key(line): line.rows for line in read.lines}
    scaled_to = {_key(line): line.rows for line in whole.lines}
    return {
        _key(line): _within(scaled_to.get(_key(line), 0), line.rows, counts[_key(line)] - line.rows, sample)
        for line in _worked_lines(read, sample)
    }


def _of_fates(read: Ledger, whole: Ledger, sample: Sample) -> dict[str, Estimate]:
    """The intervals of the rows with each fate, of all its reasons together."""
    counts, scaled_to = fates(read), fates(whole)
    worked: Counter[str] = Counter()
    for one in sample.worked:
        worked[one.fate] += one.rows
    return {
        f"rows.{fate}": _within(scaled_to[fate], rows, counts[fate] - rows, sample)
        for fate, rows in worked.items()
    }


def _within(value: int, hits: int, others: int, sample: Sample) -> Estimate:
    """The interval around a scaled count: `hits` in the sample, and `others` that are counted exactly."""
    low, high = share(min(hits, sample.looked_at), sample.looked_at)
    least = max(low * sample.rows, hits) + others
    most = min(high * sample.rows, sample.rows - sample.looked_at + hits) + others
    return Estimate(value, min(least, value), max(most, value))
