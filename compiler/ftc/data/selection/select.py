"""What becomes of every row of the queries' results, before any of them is compiled.

In this order: a sample is taken, duplicates go, rows are held out, and the training rows of a mix are taken
in the proportion of its weights. Where all this is done only to estimate what compiling the rows would give,
some of those that are left are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ftc.data.columns import flags
from ftc.data.problems import RowProblem
from ftc.data.rendering.example import Refusal
from ftc.data.selection.equal import Int64, digests, first_of_equal
from ftc.data.selection.hashes import Flags, UInt64, below, id_hashes, row_hash, smallest
from ftc.data.selection.held_out import held_out_rows, sides_of
from ftc.data.selection.looked_at import Stratum, looked_at, shared_out
from ftc.data.selection.near import near_duplicates
from ftc.data.selection.origins import Origins
from ftc.data.selection.problem import SelectionProblem
from ftc.data.selection.quotas import mixed
from ftc.data.selection.sides import by_hash, stratified
from ftc.data.work.batch import EVAL, TRAIN, Account, Int32, Rows, UInt8
from ftc.plan.account import Fate
from ftc.plan.steps import DedupeStep, MixedRows, QueryStep, SampleStep, SelectionStep, SplitStep

if TYPE_CHECKING:
    import pyarrow as pa

    from ftc.data.query.ingest import Ingested
    from ftc.data.query.result import Result

SAMPLED_OUT, DUPLICATE, UNMIXED, UNSEEN = 2, 3, 4, 5
GOING: dict[int, Fate] = {
    SAMPLED_OUT: "sampled_out",
    DUPLICATE: "duplicate",
    UNMIXED: "unmixed",
    UNSEEN: "sampled_out",
}
NOT_LOOKED_AT = "it is not among the rows that are looked at"
"""Fates of rows that go, beside the two sides as numbers."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a row: the side it goes to, or why it goes nowhere; how often a pass trains on it."""

    side: Literal["train", "eval"] | None
    refusal: Refusal | None = None
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Chosen:
    """What becomes of some rows: which go on, their sides and copies, and an account of the others."""

    kept: Flags
    sides: UInt8
    copies: Int32
    account: list[Account]

    def rows(self, ids: list[str], columns: pa.RecordBatch, number: int) -> Rows:
        """Those of the rows that go on; `number` is the place of the first among all that do."""
        if not self.kept.all():
            ids = [id_ for id_, kept in zip(ids, self.kept.tolist(), strict=True) if kept]
            columns = columns.filter(flags(self.kept.astype(np.uint8)))
        return Rows(ids, columns, number, self.sides, self.copies)


class Selection:
    """The decisions over all rows of the results, about two to fourteen bytes a row.

    Where `threshold` is above 0, the side of a row is not decided here: it is held out if its own hash
    (`row_hash`) is below. `mix` says what each query of a mix gives to a pass, `strata` how many rows are
    looked at where not all are to be compiled; the others have no account of their own.
    """

    def __init__(
        self,
        results: Sequence[Result],
        *,
        fates: UInt8,
        copies: Int32 | None,
        reasons: Mapping[tuple[int, int], str],
        origins: Origins,
    ) -> None:
        self.results = results
        self.mix: tuple[MixedRows, ...] = ()
        self.threshold = 0
        self.strata: tuple[Stratum, ...] = ()
        self._starts = np.cumsum([0, *(result.count for result in results)])
        self._fates, self._copies = fates, copies
        self._reasons, self._origins = reasons, origins

    def of(self, query: int, number: int) -> Decision:
        """What becomes of one row: its query, and its place among that query's rows."""
        place = int(self._starts[query]) + number
        fate = int(self._fates[place])
        if fate in GOING:
            return Decision(None, Refusal(GOING[fate], "", self._reason(query, fate, place)))
        copies = 1 if self._copies is None else int(self._copies[place])
        return Decision("eval" if fate == EVAL else "train", None, copies)

    def some(self, query: int, number: int, ids: Sequence[str]) -> Chosen:
        """What becomes of rows that stand together, by the place of the first."""
        place = int(self._starts[query]) + number
        fates = self._fates[place : place + len(ids)]
        kept = fates < SAMPLED_OUT
        account = [
            Account(ids[row], GOING[int(fates[row])], self._reason(query, int(fates[row]), place + row))
            for row in np.flatnonzero(~kept & (fates != UNSEEN)).tolist()
        ]
        copies = np.ones(len(ids), dtype=np.int32)
        if self._copies is not None:
            copies = self._copies[place : place + len(ids)]
        return Chosen(kept, fates[kept], copies[kept], account)

    def _reason(self, query: int, fate: int, place: int) -> str:
        if fate == DUPLICATE:
            return self._reasons[fate, 0].format(self._origins.id(place))
        return self._reasons.get((fate, query)) or self._reasons[fate, 0]


def select(
    step: SelectionStep,
    split: SplitStep,
    results: Sequence[Result],
    sources: Ingested,
    scratch: Path,
    look_at: int | None = None,
) -> Selection:
    """Decide on every row of the results; raises SelectionProblem, QueryFailure and OSError.

    With `look_at` at most so many rows go on, those with the smallest hashes of their ids.
    """
    selecting = _Selecting(step.seed, results)
    if step.sample is not None:
        selecting.sample(step.sample)
    if step.dedupe is not None:
        selecting.dedupe(step.dedupe, scratch / "near")
    queries = [result.query for result in results]
    is_mix = queries[0].weight is not None
    by_itself = split.fraction is not None and split.stratify is None and not is_mix
    if split.holds_out and not by_itself:
        selecting.hold_out(split, sources, scratch / "held-out")
    if is_mix:
        selecting.mix(queries)
    strata = () if look_at is None else selecting.look_at(look_at, sides_known=not by_itself)
    made = selecting.made()
    made.strata = strata
    made.threshold = below(split.fraction) if by_itself and split.fraction is not None else 0
    return made


class _Selecting:
    def __init__(self, seed: int, results: Sequence[Result]) -> None:
        self._seed, self._results = seed, results
        self._counts = [result.count for result in results]
        self._fates = np.zeros(sum(self._counts), dtype=np.uint8)
        self._copies: Int32 | None = None
        self._reasons: dict[tuple[int, int], str] = {}
        self._origins = Origins((), ())
        self._mixed: tuple[MixedRows, ...] = ()

    def made(self) -> Selection:
        made = Selection(
            self._results,
            fates=self._fates,
            copies=self._copies,
            reasons=self._reasons,
            origins=self._origins,
        )
        made.mix = self._mixed
        return made

    def _staying(self) -> Int64:
        return np.flatnonzero(self._fates == TRAIN)

    def _ids(self) -> Iterator[str]:
        return (id_ for result in self._results for ids in result.ids() for id_ in ids)

    def sample(self, step: SampleStep) -> None:
        """Take the rows with the smallest hashes of their ids."""
        hashes = id_hashes(self._seed, "sample", self._ids())
        if step.rows is not None:
            kept, part = smallest(hashes, step.rows), f"{step.rows:,} rows"
        else:
            assert step.fraction is not None  # noqa: S101 - one of the two is set
            kept, part = hashes < below(step.fraction), f"{step.fraction:g} of the rows"
        self._fates[~kept] = SAMPLED_OUT
        self._reasons[SAMPLED_OUT, 0] = f"it is not in the sample of {part}"

    def dedupe(self, step: DedupeStep, scratch: Path) -> None:
        """Leave out rows that say what an earlier one says."""
        if step.method == "near":
            gone, first = near_duplicates(step, self._results, self._fates == TRAIN, scratch)
            self._reasons[DUPLICATE, 0] = "nearly the same as {}"
        else:
            staying = self._staying()
            values = np.concatenate([digests(result, step.columns) for result in self._results])
            found = first_of_equal(values[staying])
            again = np.flatnonzero(found != np.arange(len(found)))
            gone, first = staying[again], staying[found[again]]
            self._reasons[DUPLICATE, 0] = "same as {}"
        self._fates[gone] = DUPLICATE
        self._origins = Origins.of(gone, first, self._ids())

    def hold_out(self, split: SplitStep, sources: Ingested, scratch: Path) -> None:
        """Move rows to the other side."""
        staying = self._staying()
        if split.column is not None:
            held = sides_of(split.column, self._results)[staying]
        elif split.query is not None:
            held = held_out_rows(split, self._results, sources, scratch)[staying]
        else:
            hashes = self._hashes(split)[staying]
            if split.stratify is None:
                held = by_hash(split, hashes)
            else:
                values = [digests(result, (split.stratify,))[:, 0] for result in self._results]
                held = stratified(split, hashes, np.concatenate(values)[staying])
        self._fates[staying[held]] = EVAL

    def _hashes(self, split: SplitStep) -> UInt64:
        rows = (row_hash(split, row) for result in self._results for row in result.column_values(split.keys))
        return np.fromiter(rows, dtype=np.uint64, count=len(self._fates))

    def look_at(self, most: int, *, sides_known: bool) -> tuple[Stratum, ...]:
        """Let at most so many rows go on, of each side as many as shared_out says."""
        train, held_out = (np.flatnonzero(self._fates == side) for side in (TRAIN, EVAL))
        counts = shared_out(most, len(train), len(held_out))
        hashes = id_hashes(self._seed, "sample", self._ids())
        chosen = looked_at((train, held_out), hashes, counts)
        self._fates[(self._fates < SAMPLED_OUT) & ~chosen] = UNSEEN
        self._reasons[UNSEEN, 0] = NOT_LOOKED_AT
        if not sides_known:
            return (Stratum(None, len(train), counts[0]),)
        sides = (Stratum("train", len(train), counts[0]), Stratum("eval", len(held_out), counts[1]))
        return tuple(stratum for stratum in sides if stratum.rows)

    def mix(self, queries: Sequence[QueryStep]) -> None:
        """Take as many training rows of each query as a pass needs, some of them several times."""
        ends = np.cumsum(self._counts)
        places = [
            start + np.flatnonzero(self._fates[start:end] == TRAIN)
            for start, end in zip(ends - self._counts, ends, strict=True)
        ]
        rows = [len(place) for place in places]
        for query, count in zip(queries, rows, strict=True):
            if count == 0:
                raise SelectionProblem(_no_rows(query))
        quotas = mixed(rows, [query.weight or 0 for query in queries], [query.repeat for query in queries])
        hashes = id_hashes(self._seed, "mix", self._ids())
        copies = np.ones(len(self._fates), dtype=np.int32)
        for number, (place, quota) in enumerate(zip(places, quotas, strict=True)):
            copies[place] = _copies(hashes[place], quota)
            self._fates[place[copies[place] == 0]] = UNMIXED
            of = f"{len(place):,} training rows of `{queries[number].name}`"
            self._reasons[UNMIXED, number] = f"a pass of the mix takes {quota:,} of the {of}"
        self._copies = copies
        self._mixed = tuple(
            MixedRows(query=query.name, rows=count, used=min(count, quota), trained=quota)
            for query, count, quota in zip(queries, rows, quotas, strict=True)
        )


def _copies(hashes: UInt64, quota: int) -> Int32:
    """How often each row is trained on: equally often, and those with the smallest hashes once more."""
    each, more = divmod(quota, len(hashes))
    return (each + smallest(hashes, more)).astype(np.int32)


def _no_rows(query: QueryStep) -> RowProblem:
    return RowProblem(
        code="FTC601",
        message=f"the query `{query.name}` of the mix has no row to train on",
        at=("data", "mix", query.name),
        help=("loosen its conditions, or leave it out of the mix",),
    )
