"""The recipe language as JSON Schema, so that editors complete recipes and mark mistakes while one types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftc.diagnostics.codes import CODES
from ftc.lints import LINTS
from ftc.lints.kinds import KINDS
from ftc.recipe.model import Recipe
from ftc.recipe.source_kinds import PLACES

DRAFT = "http://json-schema.org/draft-07/schema#"
"""The newest draft that taplo, the TOML language server, reads in full."""

_SOURCE_NAME = r"^[^\d\W]\w*$"


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema (draft 7) of a recipe file; descriptions are those of the types."""
    schema: dict[str, Any] = _plain(Recipe.model_json_schema(ref_template="#/definitions/{model}"))
    definitions = schema.pop("$defs")
    _name_sources(definitions)
    _name_lints(schema, definitions)
    definitions["SourceFiles"]["oneOf"] = [{"required": [place]} for place in PLACES]
    definitions["Train"]["not"] = {"required": ["epochs", "steps"]}
    head = {
        "$schema": DRAFT,
        "$id": "urn:ftc:recipe:1",
        "title": "ftc recipe",
        "x-taplo-info": {"patterns": [r"^(.*(/|\\)recipes?(/|\\).*\.toml|(.*(/|\\))?recipe\.toml)$"]},
    }
    body = {key: value for key, value in schema.items() if key not in ("title", "required")}
    return head | body | _required(schema, definitions) | {"definitions": definitions}


def schema_directive(path: str | Path) -> str:
    """The comment that tells editors where a recipe's schema lies; it belongs on the first line."""
    where = Path(path)
    return f"#:schema {where.as_posix() if where.is_absolute() else f'./{where.as_posix()}'}"


def _plain(node: Any) -> Any:
    """Without what TOML cannot say (null) and what says nothing to a person (titles made of names)."""
    if isinstance(node, list):
        return [_plain(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if not _is_noise(key, value)}
    plain = {key: _plain(value) for key, value in kept.items()}
    alternatives = plain.pop("anyOf", None)
    if alternatives is None:
        return plain
    return plain | (alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives})


def _is_noise(key: str, value: Any) -> bool:
    has_nulls = isinstance(value, dict) and None in value.values()
    return (key == "title" and isinstance(value, str)) or (key == "default" and (value is None or has_nulls))


def _name_sources(definitions: dict[str, Any]) -> None:
    definitions["Data"]["properties"]["sources"]["propertyNames"] = {"pattern": _SOURCE_NAME}


def _name_lints(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    lints = schema["properties"]["lints"]
    level = lints.pop("additionalProperties")
    lints["properties"] = {
        name: level | {"description": CODES[lint.code], "default": lint.level} for name, lint in LINTS.items()
    }
    lints["additionalProperties"] = False
    definitions["Data"]["properties"]["redact"]["items"]["enum"] = list(KINDS)


def _required(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """What a recipe must give, unless it extends another which may give it."""
    tables = (("model", "Model"), ("data", "Data"))
    inner = {key: {"required": definitions[name].pop("required")} for key, name in tables}
    complete = {"required": schema["required"], "properties": inner}
    return {"if": {"required": ["extends"]}, "then": {}, "else": complete}
