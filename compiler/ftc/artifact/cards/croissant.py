"""data/croissant.json: the compiled rows as Croissant metadata (MLCommons, version 1.0) beside their shards.

A record set for each side of the split reads the columns of its Parquet files, which stand there one by one
with size and SHA-256. Addresses are relative, so that it holds wherever the run is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.artifact.cards.markdown import visible
from ftc.artifact.cards.stated import stated
from ftc.artifact.documents import Finished
from ftc.artifact.run_directory import DATA
from ftc.plan.steps import DataStep, Part, Plan
from ftc.recipe.card import Card
from ftc.recipe.licences import address

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "application/x-parquet"
VOCABULARY = "http://mlcommons.org/croissant/1.0"

# The context of the specification, which its readers compare with.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

COLUMNS = {
    "id": "The row's id, the same on every build.",
    "input_ids": "The tokens of the row, as the model's tokenizer numbers them.",
    "mask": "For each token whether it carries loss.",
    "prompt_length": "How many tokens stand before the answer, where the row has one.",
    "target": "The text of the answer, where the row has one.",
    "lengths": "Tokens of each of the texts that train together in the row.",
    "carried": "Other columns of the row that training needs, as a JSON object.",
}
"""What the columns of a shard are."""

Node = dict[str, Any]


def parts(data: DataStep) -> Iterator[tuple[str, Part]]:
    """The sides of the split that have rows, by the names of their record sets."""
    for name, part in (("train", data.train), ("eval", data.eval)):
        if part is not None and part.rows:
            yield name, part


def _files(name: str, part: Part) -> Iterator[Node]:
    """The shards of one side, and the set of them that its records are read from."""
    for shard in part.shards:
        file = shard.file.name.rpartition("/")[2]
        yield {
            "@type": "cr:FileObject",
            "@id": file,
            "name": file,
            "description": f"{shard.rows} rows of the side {name}.",
            "contentUrl": file,
            "contentSize": f"{shard.file.bytes} B",
            "encodingFormat": FORMAT,
            "sha256": shard.file.sha256,
        }
    yield {
        "@type": "cr:FileSet",
        "@id": f"{name}-files",
        "name": f"{name}-files",
        "description": f"The files of the side {name}, in the order of their rows.",
        "encodingFormat": FORMAT,
        "includes": [shard.file.name.rpartition("/")[2] for shard in part.shards],
    }


def _type(kind: pa.DataType) -> str:
    """The Croissant type of a column's values."""
    import pyarrow.types as kinds

    if kinds.is_boolean(kind):
        return "sc:Boolean"
    return "sc:Integer" if kinds.is_integer(kind) else "sc:Text"


def _field(side: str, column: pa.Field) -> Node:
    import pyarrow.types as kinds

    many = kinds.is_list(column.type)
    made: Node = {
        "@type": "cr:Field",
        "@id": f"{side}/{column.name}",
        "name": column.name,
        "description": COLUMNS.get(column.name, column.name),
        "dataType": _type(column.type.value_type if many else column.type),
        "source": {"fileSet": {"@id": f"{side}-files"}, "extract": {"column": column.name}},
    }
    return {**made, "repeated": True} if many else made


def _records(side: str, part: Part, directory: Path) -> Node:
    import pyarrow.parquet as pq

    schema = pq.read_schema(directory / part.shards[0].file.name.rpartition("/")[2])
    return {
        "@type": "cr:RecordSet",
        "@id": side,
        "name": side,
        "description": f"{part.rows} rows with {part.tokens} tokens, {part.trained_tokens} of them trained.",
        "key": {"@id": f"{side}/id"},
        "field": [_field(side, column) for column in schema],
    }


def description(plan: Plan, card: Card) -> str:
    """What the data set is: the author's words, or a sentence that the plan gives."""
    if card.data.description:
        return visible(card.data.description)
    objective = f" for {plan.objective.name}" if plan.objective else ""
    model = f", in the tokens of {plan.model.location}" if plan.model else ""
    return visible(f"Rows{objective} compiled by ftc from {_named(plan)}{model}.")


def _named(plan: Plan) -> str:
    names = [source.name for source in plan.sources or ()]
    return "the source " + names[0] if len(names) == 1 else f"{len(names)} sources"


def metadata(plan: Plan, card: Card, directory: Path) -> Node | None:
    """The whole metadata of a run's data; None where the plan has no rows. `directory` has the shards."""
    if plan.data is None:
        return None
    sides = list(parts(plan.data))
    licence = card.data.licence
    told = {
        "name": plan.name,
        "description": description(plan, card),
        "license": (address(licence) or licence) if licence else None,
        "version": card.version,
        "datePublished": card.published,
        "inLanguage": list(card.language or ()),
        "creator": [{"@type": "sc:Organization", "name": visible(name)} for name in card.authors or ()],
        "citeAs": card.data.citation or card.citation,
        "url": card.homepage,
        "rai:dataCollection": card.data.collection,
        "rai:personalSensitiveInformation": card.data.personal_data,
        "rai:dataLimitations": card.data.limitations,
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VOCABULARY,
        **{key: value for key, value in told.items() if value},
        "distribution": [file for name, part in sides for file in _files(name, part)],
        "recordSet": [_records(name, part, directory) for name, part in sides],
    }


def document(run: Finished) -> bytes | None:
    """data/croissant.json of a run, in UTF-8; None where there are no rows."""
    found = metadata(run.plan, stated(run.recipe_text), run.directory / DATA)
    return None if found is None else json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n"
