"""DATA_CARD.md of a run: what the compiled rows are, where they come from, and what became of all others."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.artifact.cards import origin
from ftc.artifact.cards.croissant import COLUMNS, description, parts
from ftc.artifact.cards.markdown import code, plain, prose, sections, table
from ftc.artifact.cards.metadata import hub_dataset, yaml_block
from ftc.artifact.cards.stated import stated
from ftc.artifact.documents import Finished
from ftc.plan.steps import DataStep, Plan
from ftc.recipe.card import Card
from ftc.recipe.licences import OTHER, hub_name

UNSAID = "The recipe does not say.\n"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's classes of how many rows a data set has, up to a million."""

LARGER = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))

READ = """```python
import mlcroissant

for row in mlcroissant.Dataset("data/croissant.json").records("train"):
    print(row["train/id"], row["train/input_ids"])
```

`mlcroissant` is a package; any reader of Parquet reads the files as well.
"""


def size_class(rows: int) -> str:
    """The hub's class for a number of rows."""
    return next((name for most, name in (*SIZES, *LARGER) if rows < most), "n>1B")


def _metadata(plan: Plan, data: DataStep, card: Card) -> str:
    rows = data.train.rows + (data.eval.rows if data.eval else 0)
    licence = card.data.licence
    files = [{"split": name, "path": f"data/{name}-*.parquet"} for name, _ in parts(data)]
    origins = [known[0] for source in plan.sources or () if (known := hub_dataset(source))]
    found = {
        "pretty_name": card.title or plan.name,
        "license": (hub_name(licence) or OTHER) if licence else None,
        "language": list(card.language or ()),
        "size_categories": [size_class(rows)],
        "source_datasets": sorted(set(origins)),
        "tags": ["ftc", *([plan.objective.name] if plan.objective else [])],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    return yaml_block({key: value for key, value in found.items() if value})


def _rows(data: DataStep) -> str:
    lines = [
        (
            name,
            f"{part.rows:,}",
            f"{part.tokens:,}",
            f"{part.trained_tokens:,}",
            f"{part.shortest}–{part.longest}",
        )
        for name, part in parts(data)
    ]
    return table(("side", "rows", "tokens", "trained tokens", "tokens of a row"), lines)


def _selection(plan: Plan) -> Iterator[str]:
    """How rows were chosen, as the plan has it."""
    chosen = plan.selection
    if chosen is not None and chosen.sample is not None:
        part = (
            f"{chosen.sample.fraction:g} of the rows"
            if chosen.sample.fraction
            else f"{chosen.sample.rows} rows"
        )
        yield f"A sample of {part}, by the hash of their ids (seed {chosen.seed})."
    if chosen is not None and chosen.dedupe is not None:
        one = chosen.dedupe
        near = f", {one.similarity:g} alike or more" if one.similarity is not None else ""
        yield f"Without {one.method} duplicates{near}, compared by {', '.join(map(code, one.columns))}."
    if plan.split is not None and plan.split.holds_out:
        keys = ", ".join(map(code, plan.split.keys))
        yield (
            f"Held out by a hash of {keys}."
            if plan.split.column is None
            else "A column says the side of each row."
        )
    if plan.limits is not None:
        limit = plan.limits
        fates = f"longer rows: {limit.too_long}, invalid rows: {limit.invalid}"
        yield f"At most {limit.max_length} tokens a row; {fates}."
    if plan.render is not None:
        yield f"Each row is a {plan.render.form}, and loss is on: {plan.render.train_on.replace('_', ' ')}."


def _personal(plan: Plan, card: Card) -> str:
    kinds = plan.render.redact if plan.render else ()
    done = f"Replaced by their names in every text: {', '.join(map(plain, kinds))}.\n" if kinds else ""
    said = prose(card.data.personal_data) if card.data.personal_data else UNSAID
    return f"{said}\n{done}" if done else said


def _files(data: DataStep) -> str:
    lines = [
        (
            code(f"data/{shard.file.name.rpartition('/')[2]}"),
            f"{shard.rows:,}",
            f"{shard.file.bytes:,}",
            shard.file.sha256,
        )
        for _, part in parts(data)
        for shard in part.shards
    ]
    return table(("file", "rows", "bytes", "SHA-256"), ((*rest, f"`{digest}`") for *rest, digest in lines))


def _columns(carried: tuple[str, ...], *, members: bool) -> str:
    optional = {"lengths": members, "carried": bool(carried)}
    return "".join(f"- {code(name)}: {text}\n" for name, text in COLUMNS.items() if optional.get(name, True))


def data_card_text(plan: Plan, data: DataStep, card: Card) -> str:
    """The whole DATA_CARD.md of a plan's rows."""
    render = plan.render
    columns = _columns(render.carried if render else (), members=bool(render and render.members))
    said = card.data
    told = [
        ("Rows", f"{_rows(data)}\n{columns}"),
        ("Where they come from", f"{origin.sources(plan)}\n{origin.queries(plan)}"),
        ("How they came to be", prose(said.collection) if said.collection else UNSAID),
        ("How they were chosen", "".join(f"- {line}\n" for line in _selection(plan))),
        ("What became of all rows", origin.ledger(data)),
        ("Personal data", _personal(plan, card)),
        ("Limitations", prose(said.limitations) if said.limitations else UNSAID),
        ("Licence", f"{code(said.licence)}\n" if said.licence else UNSAID),
        ("Citation", prose(said.citation) if said.citation else ""),
        ("Files", _files(data)),
        ("Read them", READ),
    ]
    head = f"# Data of {plain(card.title or plan.name)}\n\n{plain(description(plan, card))}\n"
    return f"{_metadata(plan, data, card)}\n{head}{sections(told)}"


def document(run: Finished) -> bytes | None:
    """DATA_CARD.md of a run, in UTF-8; None where there are no rows."""
    if run.plan.data is None:
        return None
    return data_card_text(run.plan, run.plan.data, stated(run.recipe_text)).encode()
