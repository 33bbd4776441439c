"""The way of a row: from its source to its tokens, or to the reason why it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.data.kept.lookup import Accounted, Side, accounted, similar_ids
from ftc.data.kept.shown import ShownExample, Viewer
from ftc.data.query.ingest import Ingested, UnreadableSource, ingested
from ftc.data.query.origin import Origin, Origins, SourceRow
from ftc.data.query.run_query import QueryFailure
from ftc.data.rendering.example import Rendered, Unrolled
from ftc.data.rendering.renderer import Renderer
from ftc.data.selection.hashes import SPACE, row_hash
from ftc.diagnostics import Finding
from ftc.facts.cache import Cache, CacheProblem
from ftc.lints.redact import Redactor
from ftc.plan.account import STAYING, Fate
from ftc.plan.steps import DataStep, SplitStep

if TYPE_CHECKING:
    from ftc.data.compile import Locations, Progress, Request


@dataclass(frozen=True, slots=True)
class Lineage:
    """The way of one row of a query, or of a row of a source that no query returned or that cannot be read.

    `id` is the row's own and `query` the query that returned it (empty for the only one). `source` is the
    row of the source, None where the query joins or groups; `values` the query's row, None where there is
    none. `side` and `why` say where it trains or is held out, `fate` and `reason` why it went instead, and
    `changes` how it was changed. `examples` are the compiled rows it became; `text` is how a row that went
    would have been rendered, in stretches that are trained or not.
    """

    id: str
    query: str
    source: SourceRow | None
    values: Mapping[str, Any] | None
    side: Side | None
    why: str
    fate: Fate | None
    reason: str
    changes: tuple[Accounted, ...]
    examples: tuple[ShownExample, ...]
    text: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class CompiledRows:
    """Compiled data, where it is, and what it was compiled from; `sequences` is where those are, if any."""

    request: Request
    locations: Locations
    step: DataStep
    directory: Path
    sequences: Path | None

    @property
    def viewer(self) -> Viewer:
        """Shows the rows."""
        members = self.request.render.members
        return Viewer(self.step, self.directory, self.locations.tokenizer, self.sequences, members)


def trace_rows(
    rows: CompiledRows,
    ids: Sequence[str],
    cache: Cache,
    progress: Progress | None = None,
    *,
    raw: bool = False,
) -> tuple[tuple[Lineage, ...], tuple[Finding, ...]]:
    """The ways of the rows of some ids, in their order, and a finding for each id that no row has.

    What the plan redacts is redacted in the rows' values too, unless they are wanted `raw`.
    """
    said = progress or _silent
    try:
        sources = ingested(rows.request.sources, rows.locations.sources, cache, said)
        said("looking the rows up", 0, None)
        with cache.scratch() as scratch:
            tracer = _Tracer(rows, sources, scratch, raw=raw)
            ways = {id_: tracer.way(id_) for id_ in dict.fromkeys(ids)}
    except CacheProblem as problem:
        return (), (Finding(problem.code, problem.message, help=(problem.help,)),)
    except QueryFailure as failure:
        return (), (Finding("FTC213", f"the query fails while it runs: {failure.message}"),)
    except UnreadableSource as failure:
        return (), (Finding("FTC210", f"the source `{failure.source}` cannot be read: {failure.reason}"),)
    missing = tuple(_missing(rows, id_) for id_, way in ways.items() if way is None)
    return tuple(way for way in ways.values() if way is not None), missing


def _silent(stage: str, done: int, total: int | None) -> None:
    del stage, done, total


def _missing(rows: CompiledRows, id_: str) -> Finding:
    similar = similar_ids(rows.step, rows.directory, id_)
    meant = " or ".join(f"`{other}`" for other in similar)
    help_ = f"did you mean {meant}?" if meant else _count(rows.step, id_) or _forms(rows.request)
    return Finding("FTC607", f"no row has the id {id_}", place=id_, help=(help_,))


def _count(step: DataStep, id_: str) -> str:
    """How many rows the source has that an id names."""
    name = id_.rpartition(":")[0].rpartition("/")[2]
    return next(
        (f"`{one.name}` has {one.rows:,} rows" for one in step.ledger.sources if one.name == name), ""
    )


def _forms(request: Request) -> str:
    """How the ids of a recipe's rows look."""
    forms = []
    for query in request.queries:
        prefix = f"{query.name}/" if query.name else ""
        own = f"the values of `{query.id_column}`" if query.id_column is not None else ""
        other = f"{query.traced_source}:NUMBER" if query.traced_source is not None else "MD5 digests"
        forms += [f"{prefix}{form}" for form in (own, other) if form]
    return f"ids are {', '.join(dict.fromkeys(forms))}; `ftc show` prints them"


class _Tracer:
    def __init__(self, rows: CompiledRows, sources: Ingested, scratch: Path, *, raw: bool) -> None:
        self._request, self._directory = rows.request, rows.directory
        self._tokenizer = rows.locations.tokenizer
        self._viewer = rows.viewer
        self._origins = Origins(rows.request, rows.locations, sources, scratch)
        kinds = () if raw else rows.request.render.redact
        self._redactor = Redactor(kinds) if kinds else None

    def way(self, id_: str) -> Lineage | None:
        origin = self._origins.find(id_)
        if origin is None:
            return None
        examples = self._viewer.by_id((id_,)).get(id_, ())
        account = accounted(self._directory, [id_, origin.id, *(example.id for example in examples)])
        said = [one for lines in account.values() for one in lines]
        gone = next((one for one in said if one.fate not in STAYING and one.id in (id_, origin.id)), None)
        if not examples and gone is None:
            return None
        return Lineage(
            id=origin.id,
            query=origin.query,
            source=self._source(origin.source),
            values=self._clean(origin.values),
            side=examples[0].part if examples else None,
            why=self._why(origin) if examples else "",
            fate=gone.fate if gone else None,
            reason=gone.reason if gone else "",
            changes=tuple(one for one in said if one.fate in STAYING),
            examples=examples,
            text=self._text(origin) if gone else (),
        )

    def _why(self, origin: Origin) -> str:
        split = self._request.split
        if not split.holds_out:
            return "nothing is held out"
        why = why_here(split, origin.values or {})
        return why if self._redactor is None else self._redactor.text(why)

    def _clean(self, values: dict[str, Any] | None) -> dict[str, Any] | None:
        """A row's values without what the plan redacts."""
        return values if values is None or self._redactor is None else self._redactor.row(values)[0]

    def _source(self, row: SourceRow | None) -> SourceRow | None:
        if row is None or self._redactor is None:
            return row
        text = row.text if row.text is None else self._redactor.text(row.text)
        return replace(row, values=self._clean(row.values), text=text)

    def _text(self, origin: Origin) -> tuple[tuple[str, bool], ...]:
        """How a row that went would have been rendered; nothing where it cannot be."""
        from ftc.data.tokens.encoders import Tokenizers

        if origin.values is None:
            return ()
        request, values = self._request, dict(origin.values)
        if request.render.redact:
            values = Redactor(request.render.redact).row(values)[0]
        eos = Tokenizers(self._tokenizer).text(request.tokenizer.eos_id)
        made = Renderer(request.render, request.tokenizer, eos)(values)
        if isinstance(made, Unrolled):
            made = made.rows[-1]
        if not isinstance(made, Rendered):
            return ()
        runs = groupby(made.pieces, key=lambda piece: piece.trained)
        return tuple(("".join(piece.text for piece in run), trained) for trained, run in runs)


def why_here(split: SplitStep, values: Mapping[str, Any]) -> str:
    """What decides the side of a row, in words."""
    if split.column is not None:
        return f"its `{split.column}` is {values.get(split.column)!r}"
    keys = ", ".join(f"`{key}`" for key in split.keys)
    if split.query is not None:
        return f"the query of [data.split] decides by {keys}"
    place = f"the hash of its {keys} is {row_hash(split, values) / SPACE:.4f} of the way from 0 to 1"
    share = f"the smallest {split.rows}" if split.rows is not None else f"those below {split.fraction:g}"
    within = f", of each `{split.stratify}` in proportion," if split.stratify is not None else ""
    return f"{place}; {share}{within} are held out"
