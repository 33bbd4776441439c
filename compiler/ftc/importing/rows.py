"""How a data set's columns become examples, as SQL: chats, prompts and answers, preferences, texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Formatter
from typing import Any

from ftc.recipe.starter import quoted

SHAREGPT_ROLES = {"human": "user", "gpt": "assistant"}
GAP = "chr(10)"


@dataclass(frozen=True)
class Rows:
    """One data set: its source by name, the select list, and the columns that come out.

    `weight` is its part of a mixture; `everything` means that all columns are taken as they are.
    """

    name: str
    source: str | dict[str, Any]
    select: tuple[str, ...]
    columns: tuple[str, ...] = ()
    weight: float | None = None

    @property
    def everything(self) -> bool:
        """Whether no column is named."""
        return self.select == ("*",)


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def column(name: str, to: str) -> str:
    """A column under the name that it is to have."""
    return quoted(name) if name == to else f"{quoted(name)} as {to}"


def turns(
    name: str,
    role: str = "role",
    content: str = "content",
    roles: Mapping[str, str] | None = None,
    trained: str | None = None,
    without: str | None = None,
) -> str:
    """A list of messages in ftc's form, from one with other names of fields and roles.

    `trained` is a field that says whether a message is learned; messages of the role `without` are left out.
    """
    renamed = {old: new for old, new in (roles or {}).items() if old != new}
    plain = (role, content) == ("role", "content") and not renamed and trained is None
    if plain and without is None:
        return quoted(name)
    kept = f"\n    if m.{quoted(role)} <> {literal(without)}" if without else ""
    if plain:
        return f"[m for m in {quoted(name)}{kept.replace(chr(10) + '   ', '')}]"
    more = f",\n      'weight': case when m.{quoted(trained)} then 1 else 0 end" if trained else ""
    return (
        "[\n    {\n"
        f"      'role': {_role(f'm.{quoted(role)}', renamed)},\n"
        f"      'content': m.{quoted(content)}{more}\n"
        f"    }}\n    for m in {quoted(name)}{kept}\n  ]"
    )


def turn(name: str, role: str, content: str, roles: Mapping[str, str]) -> str:
    """One message in ftc's form, from a column that holds one."""
    renamed = {old: new for old, new in roles.items() if old != new}
    inner = quoted(name)
    return f"{{'role': {_role(f'{inner}.{quoted(role)}', renamed)}, 'content': {inner}.{quoted(content)}}}"


def _role(value: str, renamed: Mapping[str, str]) -> str:
    if not renamed:
        return value
    cases = "".join(f"\n        when {literal(old)} then {literal(new)}" for old, new in renamed.items())
    return f"case {value}{cases}\n        else {value}\n      end"


def message(role: str, content: str) -> str:
    """One message of a role, its content as SQL."""
    return f"{{'role': {literal(role)}, 'content': {content}}}"


def with_system(messages: str, system: str) -> str:
    """Messages behind a system message, where the column `system` has a text."""
    first = f"[{message('system', quoted(system))}]"
    return f"case when coalesce({quoted(system)}, '') <> '' then {first} else [] end || {messages}"


def joined(names: Sequence[str]) -> str:
    """Columns as one text, a line each; what is empty is left out."""
    if len(names) == 1:
        return quoted(names[0])
    parts = ", ".join(f"nullif({quoted(name)}, '')" for name in names)
    return f"concat_ws({GAP}, {parts})"


def filled(form: str, fields: Mapping[str, str]) -> str | None:
    """A format such as `Q: {instruction}` as SQL, each name in braces a column; None where it is none."""
    try:
        parts = list(Formatter().parse(form))
    except ValueError:
        return None
    found: list[str] = []
    for text, name, _, _ in parts:
        found += _lines(text)
        if name is not None:
            there = name in fields
            found.append(f"coalesce({quoted(fields[name])}, '')" if there else literal("{" + name + "}"))
    return "\n    || ".join(found) if found else "''"


def _lines(text: str) -> list[str]:
    """A text in SQL, cut behind its line ends, so that the query reads line by line."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\n")
        parts = [literal(bare)] if bare else []
        found.append(" || ".join([*parts, GAP] if line.endswith("\n") else parts))
    return found


def as_chat(rows: Rows) -> Rows:
    """Prompts and completions as conversations of two turns, to stand beside other conversations."""
    if rows.columns != ("prompt", "completion"):
        return rows
    asked, answered = (
        expression.removesuffix(f" as {name}")
        for expression, name in zip(rows.select, rows.columns, strict=True)
    )
    select = f"[{message('user', asked)}, {message('assistant', answered)}] as messages"
    return replace(rows, select=(select,), columns=("messages",))


def select(rows: Rows) -> str:
    """One SELECT over one data set."""
    listed = ",\n  ".join(rows.select)
    return f"select\n  {listed}\nfrom {quoted(rows.name)}"


def union(sets: Sequence[Rows]) -> str:
    """One SELECT over all data sets, one behind the other."""
    return "\nunion all\n".join(select(rows) for rows in sets)
