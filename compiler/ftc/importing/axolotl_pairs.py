"""axolotl's data sets of preferences and of judged answers, and how its messages are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.importing.draft import Draft
from ftc.importing.rows import SHAREGPT_ROLES, column, filled, message, turn, turns, with_system
from ftc.recipe.starter import quoted

Form = tuple[tuple[str, ...], tuple[str, ...]]
"""A select list, and the columns that come out."""

PROMPTS = {
    "default": "prompt",
    "intel": "question",
    "icr": "input",
    "argilla": "instruction",
    "prompt_pairs": "prompt",
    "ultra": "prompt",
}
"""The column of the prompt, by the part of a type's name behind the template."""
PAIR = ("prompt", "chosen", "rejected")


def preference(at: Draft, kind: Any) -> Form | None:
    """Two answers to a prompt, as text or as conversations."""
    if isinstance(kind, dict):
        return _own_pair(at.within("type"))
    template, _, style = (kind if isinstance(kind, str) else "").partition(".")
    chosen, rejected = (str(at.get(f"field_{side}") or side) for side in ("chosen", "rejected"))
    if kind == "bradley_terry.chat_template":
        return _scored()
    if template in ("chat_template", "bradley_terry") and style == "default":
        return _turns_of_pair(at, chosen, rejected)
    if template in ("chatml", "llama3") and style == "argilla":
        names = ("instruction", "chosen_response", "rejected_response")
    elif style == "ultra":
        return ("prompt", "chosen[2].content as chosen", "rejected[2].content as rejected"), PAIR
    elif style in PROMPTS and style != "argilla":
        names = (PROMPTS[style], chosen, rejected)
    elif not kind or template in ("passthrough", "chat_template") or style in ("argilla_chat", "argilla"):
        return (column(chosen, "chosen"), column(rejected, "rejected")), PAIR[1:]
    else:
        return None
    return tuple(column(name, to) for name, to in zip(names, PAIR, strict=True)), PAIR


def _scored() -> Form:
    """The columns of reward models: a system message, an input and two answers."""
    sides = ("chosen", "rejected")
    talks = (f"[{message('user', 'input')}, {message('assistant', side)}]" for side in sides)
    return tuple(
        f"{with_system(talk, 'system')} as {side}" for talk, side in zip(talks, sides, strict=True)
    ), sides


def _turns_of_pair(at: Draft, chosen: str, rejected: str) -> Form:
    """A conversation, and two messages that may go on with it."""
    role, content = mapping(at)
    roles = roles_of(at, sharegpt=(role, content) != ("role", "content"))
    before = turns(str(at.get("field_messages") or "messages"), role, content, roles)
    select = tuple(
        f"list_append({before}, {turn(side, role, content, roles)}) as {name}"
        for side, name in ((chosen, "chosen"), (rejected, "rejected"))
    )
    return select, ("chosen", "rejected")


def _own_pair(at: Draft) -> Form | None:
    fields = {
        name: str(at.get(f"field_{name}") or name) for name in ("prompt", "chosen", "rejected", "system")
    }
    formats = {name: at.get(f"{name}_format") for name in PAIR}
    return _own(at, formats, fields)


def _own(at: Draft, formats: Mapping[str, Any], fields: Mapping[str, str]) -> Form | None:
    """Columns in formats of one's own; None where a format is broken."""
    select = []
    for name, form in formats.items():
        value = filled(form, fields) if isinstance(form, str) else quoted(fields[name])
        if value is None:
            return None
        select.append(value if value == name else f"{value} as {name}")
    at.goes(tuple(at.table()), ("data.query",))
    return tuple(select), tuple(formats)


def judged(at: Draft, kind: Any) -> Form | None:
    """An answer to a prompt, and whether it is good."""
    columns = ("prompt", "completion", "label")
    if isinstance(kind, dict):
        inner = at.within("type")
        names = {name: str(inner.get(f"field_{name}") or name) for name in columns}
        formats = [inner.get("prompt_format"), inner.get("completion_format"), None]
        return _own(inner, dict(zip(columns, formats, strict=True)), names)
    _, _, style = (kind if isinstance(kind, str) else "").partition(".")
    if style == "argilla_chat":
        return ("completion[1].content as prompt", "completion[2].content as completion", "label"), columns
    if style in PROMPTS:
        return (column(PROMPTS[style], "prompt"), "completion", "label"), columns
    return (columns, columns) if not kind else None


def mapping(at: Draft) -> tuple[str, str]:
    """The fields of a message that hold its role and its text."""
    given = at.get("message_property_mappings")
    stated: Mapping[str, Any] = given if isinstance(given, dict) else {}
    role = stated.get("role") or at.get("message_field_role") or "role"
    content = stated.get("content") or at.get("message_field_content") or "content"
    for name in set(stated) - {"role", "content"}:
        at.within("message_property_mappings").lose(name, "only role and content are mapped", "`data.query`")
    return str(role), str(content)


def roles_of(at: Draft, sharegpt: bool) -> dict[str, str]:
    """Names of roles in the rows, with the usual ones."""
    given = at.get("roles")
    if not isinstance(given, dict):
        return dict(SHAREGPT_ROLES) if sharegpt else {}
    found: dict[str, str] = {}
    for usual, names in given.items():
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str):
                found[name] = usual
    return found
