"""The [data] of a recipe from a peer's data sets: sources, the query or the mix, the rows held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import indent

from ftc.importing.draft import Draft, Verdict
from ftc.importing.rows import Rows, as_chat, select, union


def alike(sets: Sequence[Rows]) -> tuple[Rows, ...]:
    """The data sets in one form: where some are conversations, prompts and completions become such too."""
    forms = {rows.columns for rows in sets}
    if len(forms) > 1 and ("messages",) in forms:
        return tuple(map(as_chat, sets))
    return tuple(sets)


def write_data(draft: Draft, sets: Sequence[Rows], held_out: Sequence[Rows] = ()) -> tuple[Rows, ...]:
    """Put data sets into the recipe; those come back whose columns are other ones, and which stay out."""
    if not sets:
        return ()
    every = alike((*sets, *held_out))
    form = every[0].columns
    odd = tuple(rows for rows in every if rows.columns != form)
    train = [rows for rows in every[: len(sets)] if rows.columns == form]
    held = [rows for rows in every[len(sets) :] if rows.columns == form]
    for rows in (*train, *held):
        draft.put(f"data.sources.{rows.name}", rows.source)
    weights = [rows.weight for rows in train if rows.weight is not None]
    if len(train) > 1 and len(weights) == len(train):
        for rows in train:
            draft.put(f"data.mix.{rows.name}.query", _block(select(rows)))
            draft.put(f"data.mix.{rows.name}.weight", rows.weight)
    elif len(train) > 1 or held or not train[0].everything:
        draft.put("data.query", _block(union(train)))
    if held:
        draft.state("data.split.query", union(held), "held out, as the file says")
    for rows in odd:
        _stays_out(draft, rows)
    if ("data", "query") not in draft.settings:
        _in_mix(draft)
    return odd


def _in_mix(draft: Draft) -> None:
    """What is said to be in the query is in those of the mix."""
    queries = tuple(
        ".".join(where) for where in draft.settings if where[1:2] == ("mix",) and where[-1] == "query"
    )
    for key, verdict in draft.verdicts.items():
        if "data.query" in verdict.to and queries:
            to = tuple(one for one in verdict.to if one != "data.query")
            draft.verdicts[key] = replace(verdict, to=to + queries)


def _stays_out(draft: Draft, rows: Rows) -> None:
    """The keys of a data set with other columns than the first one's have no place in the recipe."""
    name = f"data.sources.{rows.name}"
    why = f"its columns ({', '.join(rows.columns)}) are others than those of the first data set"
    for key, verdict in list(draft.verdicts.items()):
        left = tuple(to for to in verdict.to if to != name and not to.startswith(f"data.mix.{rows.name}."))
        if left and left != verdict.to:
            draft.verdicts[key] = replace(verdict, to=left)
        elif name in verdict.to:
            draft.verdicts[key] = Verdict("not_carried", why=why, instead="a recipe of its own")


def _block(sql: str) -> str:
    return "\n" + indent(sql, "  ") + "\n"
