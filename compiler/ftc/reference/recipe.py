"""docs/reference/recipe.md: every table and key of the recipe language, from its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ftc.recipe.schema import recipe_schema
from ftc.reference.forms import FORM_KEYS, form_intro
from ftc.reference.types import cell, shown, type_words

HEAD = """# The recipe

One TOML file. A key that is not here is an error ([FTC102](diagnostics-1xx.md#ftc102)). Where the default is
a dash, the key may be left out, and its row says what holds then; without a word, nothing does. What ftc
picks itself is a choice, which `ftc plan` prints with its reason. `ftc schema` gives the same as JSON Schema,
for editors.

Paths are relative to the file in which they stand.
"""

Node = dict[str, Any]


@dataclass
class Section:
    """A table of the recipe: where it stands, and the forms that it has, by the names that they go by."""

    path: str
    forms: dict[str, Node] = field(default_factory=dict)
    also: list[str] = field(default_factory=list)


def recipe_page() -> str:
    """The page as Markdown."""
    schema = recipe_schema()
    sections = _sections(schema)
    links = {name: section.path for section in sections for name in section.forms}
    required = _required(schema)
    said = {name: _said(node) for section in sections for name, node in section.forms.items()}
    parts = [HEAD.rstrip(), *(_told(section, links, required, said) for section in sections)]
    return "\n\n".join(parts) + "\n"


def _required(schema: Node) -> dict[str, list[str]]:
    """Keys that a recipe must have, by the path of their table, where the schema says so of whole recipes."""
    whole = schema["else"]
    inner = {path: found["required"] for path, found in whole["properties"].items()}
    return {"": whole["required"], **inner}


def _sections(schema: Node) -> list[Section]:
    found: dict[str, Section] = {"": Section("", {"Recipe": schema})}
    homes: dict[str, str] = {}
    _walk(schema, "", schema["definitions"], found, homes)
    return list(found.values())


def _walk(
    node: Node, path: str, definitions: dict[str, Node], found: dict[str, Section], homes: dict[str, str]
) -> None:
    """Collect the tables below a table, in the order in which they are declared."""
    for key, inner in node.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        if "properties" in inner:
            found[below] = Section(below, {key: inner})
        for place, name in _tables(inner, below):
            if name in homes and homes[name] != place:
                found[homes[name]].also.append(place)
            elif name not in homes:
                homes[name] = place
                found.setdefault(place, Section(place)).forms[name] = definitions[name]
                _walk(definitions[name], place, definitions, found, homes)


def _tables(node: Node, path: str) -> list[tuple[str, str]]:
    """The definitions of tables that a value may have, each behind the path at which it stands."""
    name = node.get("$ref", "").rpartition("/")[2]
    found = [(path, name)] if name not in ("", "JsonValue") else []
    for one in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        found += _tables(one, path)
    if isinstance(node.get("items"), dict):
        found += _tables(node["items"], path)
    if isinstance(node.get("additionalProperties"), dict):
        found += _tables(node["additionalProperties"], f"{path}.NAME")
    return found


def _said(node: Node) -> str:
    """What a table is, without its own name before it."""
    text = str(node.get("description", ""))
    plain = re.sub(r"^`[^`]*`: ", "", text)
    return "Which weights train, and how." if "[tune]" in plain else plain[:1].upper() + plain[1:]


def _told(
    section: Section, links: dict[str, str], required: dict[str, list[str]], said: dict[str, str]
) -> str:
    parts = [_heading(section.path), *_intro(section)]
    if len(section.forms) == 1:
        ((_, node),) = section.forms.items()
        needed = {*node.get("required", ()), *required.get(section.path, ())}
        rows = [_row(name, inner, links, needed, said) for name, inner in node["properties"].items()]
        return "\n\n".join([*parts, _table(("key", "value", "default", "meaning"), rows)])
    rows = _merged(section, links)
    head = ("key", "value", "default", "of", "meaning")
    return "\n\n".join([*parts, form_intro(section.path), _table(head, rows)])


def _heading(path: str) -> str:
    if not path:
        return "## Top level"
    return f"## `[{path}]`" if "." not in path else f"### `{path}`"


def _intro(section: Section) -> Iterator[str]:
    if len(section.forms) == 1 and section.path:
        ((_, node),) = section.forms.items()
        yield _said(node)
    if section.also:
        yield "The same at " + ", ".join(f"`{path}`" for path in dict.fromkeys(section.also)) + "."


def _row(
    name: str, node: Node, links: dict[str, str], required: set[str], tables: dict[str, str]
) -> tuple[str, ...]:
    default = "**required**" if name in required else _default(node)
    meaning = node.get("description") or " ".join(tables.get(one, "") for _, one in _tables(node, "")[:1])
    return f"`{name}`", type_words(node, links), default, cell(str(meaning))


def _default(node: Node) -> str:
    return f"`{shown(node['default'])}`" if "default" in node and node["default"] != {} else "–"


def _merged(section: Section, links: dict[str, str]) -> list[tuple[str, ...]]:
    """The keys of all forms of a table; those that several share alike are one row."""
    key = FORM_KEYS[section.path]
    names = {form: str(node["properties"][key]["const"]) for form, node in section.forms.items()}
    rows: dict[tuple[str, ...], list[str]] = {}
    for form, node in section.forms.items():
        needed = set(node.get("required", ()))
        for name, inner in node["properties"].items():
            if name != key:
                rows.setdefault(_row(name, inner, links, needed, {}), []).append(names[form])
    told = []
    for (name, kind, default, meaning), of in rows.items():
        told.append((name, kind, default, ", ".join(f"`{one}`" for one in of), meaning))
    return sorted(told, key=lambda row: row[0])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
