"""What a value of the recipe may be, in words, from its node of the JSON Schema."""

from __future__ import annotations

import json
from typing import Any

PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
MANY = 3
"""So many tables and more are told as one, with a link to the place where all of them stand."""


def cell(text: str) -> str:
    """Text that stands in one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def shown(value: Any) -> str:
    """A default as TOML would have it."""
    return json.dumps(value, ensure_ascii=False)


def anchor(path: str) -> str:
    """The link to a table's heading on its own page."""
    return "#" + "".join(letter for letter in path.lower() if letter.isalnum() or letter in "_-")


def type_words(node: dict[str, Any], links: dict[str, str]) -> str:
    """What a value may be; `links` has the path of each table's heading, by the name of its definition."""
    if "$ref" in node:
        return _table(node["$ref"].rpartition("/")[2], links)
    options = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    if options:
        return _either(options, links)
    if "enum" in node:
        return ", ".join(f"`{shown(one)}`" for one in node["enum"])
    if "const" in node:
        return f"`{shown(node['const'])}`"
    if node.get("type") == "array":
        return f"list: {type_words(node['items'], links)}"
    if node.get("type") == "object":
        return _named(node, links)
    return PLAIN.get(str(node.get("type")), "any value") + _bounds(node)


def _either(options: list[dict[str, Any]], links: dict[str, str]) -> str:
    tables = [one for one in options if "$ref" in one]
    plain = [type_words(one, links) for one in options if "$ref" not in one]
    told = [type_words(one, links) for one in tables[: 1 if len(tables) >= MANY else None]]
    return "; or ".join(dict.fromkeys([*plain, *told]))


def _table(name: str, links: dict[str, str]) -> str:
    return f"table [{links[name]}]({anchor(links[name])})" if name in links else "any value"


def _named(node: dict[str, Any], links: dict[str, str]) -> str:
    inner = node.get("additionalProperties")
    if isinstance(inner, dict):
        return f"table, by names: {type_words(inner, links)}"
    return "table"


def _bounds(node: dict[str, Any]) -> str:
    told = [f"{sign} {node[key]:,}" for key, sign in BOUNDS.items() if key in node]
    if "pattern" in node:
        told.append(f"like `{cell(node['pattern'])}`")
    return f" {', '.join(told)}" if told else ""
