"""Keys that the language does not have, and keys that a recipe must have."""

from __future__ import annotations

from typing import Any

from ftc import tuning
from ftc.diagnostics import Finding
from ftc.recipe import wording
from ftc.recipe.language import TableType, homes_of, table_at, tables, translated
from ftc.recipe.layers import Key, Origins, Values, lookup
from ftc.recipe.suggest import closest, either, listed

_EXAMPLES: dict[Key, str] = {
    ("model",): '[model]\nbase = "HuggingFaceTB/SmolLM2-135M-Instruct"',
    ("model", "base"): 'base = "HuggingFaceTB/SmolLM2-135M-Instruct"',
    ("model", "base", "recipe"): 'base = { recipe = "../domain/recipe.toml" }',
    ("data",): '[data]\nsources.rows = "data/rows.jsonl"',
    ("data", "sources"): 'sources.rows = "data/rows.jsonl"',
    ("data", "query"): 'query = "select question as prompt, answer as completion from rows"',
    ("data", "query", "file"): 'query = { file = "query.sql" }',
    ("train", "objective", "name"): 'name = "dpo"',
    ("train", "objective", "rewards"): 'rewards = ["exact_match", { python = "rewards.py:score" }]',
}


def example(path: Key) -> str:
    """Lines to type which give a missing setting."""
    if len(path) == 4 and path[3] == "path":
        return f'type: {path[2]} = {{ path = "data/{path[2]}.csv" }}'
    return "type:\n  " + _EXAMPLES.get(path, f"{path[-1]} = …").replace("\n", "\n  ")


def missing_key(path: Key, origins: Origins) -> Finding:
    """A table or key without which there is no recipe."""
    around = path[:-1]
    span = origins.header(*around) if around else origins.end()
    if not around:
        message = f"the table [{path[0]}] is missing"
    elif around == ("data",) and path[-1] == "sources":
        message = "no source is declared in [data]"
    else:
        message = f"`{path[-1]}` is missing in {_title(around)}"
    return Finding("FTC106", message, span, help=(example(path),))


def _title(path: Key) -> str:
    return f"`{wording.name(path)}`" if len(path) > 1 else f"[{path[0]}]"


def unknown_key(path: Key, values: Values, origins: Origins) -> Finding:
    """A key that its table does not have: what it is a slip for, or where it is at home."""
    key, around = str(path[-1]), path[:-1]
    table = table_at(around, values)
    method = _other_method(key, around)
    if method:
        return _wrong_method(key, method, values, origins)
    known = table.keys if table else ()
    where = _title(around) if around else "a recipe"
    kind = "table" if isinstance(lookup(values, path), dict) and not around else "key"
    shown = f"[{key}]" if kind == "table" else f"`{key}`"
    message = f"unknown {kind} {shown} in {where}"
    helps = _helps(key, around, known, lookup(values, path))
    notes = (f"keys of {where}: {listed(known)}",) if known else ()
    if around == ("train",) and not helps:
        notes = (*notes, "options of TRL itself go into [train.trl]")
    return Finding("FTC102", message, origins.key(*path), help=helps, notes=notes)


def _helps(key: str, around: Key, known: tuple[str, ...], value: Any) -> tuple[str, ...]:
    """What the key may be meant to be: another name's translation, a slip, or a key of another table."""
    here = ".".join(map(str, around))
    foreign = translated(key, around)
    if foreign:
        table, _, name = foreign.rpartition(".")
        return (f"write `{name}`",) if table == here else (f"write `{name}` in {_table_name(table)}",)
    near = closest(key, known)
    if near:
        return (f"did you mean `{near[0]}`?",)
    homes = [home for home in homes_of(key) if home != f"[{here}]"]
    if homes:
        return (f"`{key}` is a key of {either(homes)}: move it there",)
    return _near_elsewhere(key, isinstance(value, dict))


def _near_elsewhere(key: str, is_table: bool) -> tuple[str, ...]:
    everywhere = {name: table for table in reversed(tables()) for name in table.keys if table.path}
    near = () if is_table else closest(key, everywhere)
    return (f"did you mean `{near[0]}`, a key of {everywhere[near[0]].title}?",) if near else ()


def _table_name(table: str) -> str:
    return f"[{table}]" if table else "the top level, above the first header"


def _other_method(key: str, around: Key) -> TableType | None:
    """The form of [tune] which has this key, where the chosen one has not."""
    forms = [table for table in tables() if table.path == ("tune",) and key in table.keys]
    return forms[0] if around == ("tune",) and forms else None


def _wrong_method(key: str, table: TableType, values: Values, origins: Origins) -> Finding:
    method = next(name for name in tuning.METHODS if tuning.load(name).options is table.type)
    chosen = lookup(values, ("tune", "method"))
    message = f'`{key}` belongs to the method "{method}", and the method here is "{chosen}"'
    help_line = f'remove `{key}`, or write method = "{method}"'
    return Finding("FTC107", message, origins.key("tune", key), help=(help_line,))
