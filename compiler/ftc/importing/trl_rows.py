"""TRL's data sets: one by name, or a mixture; their columns are named as ftc's are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ftc.importing import places
from ftc.importing.dataset import write_data
from ftc.importing.draft import Draft, as_number, plain
from ftc.importing.huggingface import watching
from ftc.importing.rows import Rows, column

SPLIT = "dataset_train_split"


def data(draft: Draft) -> None:
    """Sources and query from `datasets`, or else from `dataset_name`."""
    taken: set[str] = set()
    if isinstance(draft.get("datasets"), list) and draft.get("datasets"):
        train, held = _mixture(draft, taken)
        draft.fine(("dataset_name", "dataset_config", SPLIT), "`datasets` goes before it")
    else:
        draft.fine("datasets", "empty, which is the default")
        train, held = _named(draft, taken)
    write_data(draft, _alike(train), _alike(held))
    size = draft.number("test_split_size")
    if size:
        draft.carry("test_split_size", "data.split.eval", plain(size))
    field = draft.get("dataset_text_field")
    if field == "text":
        draft.fine("dataset_text_field", "the column is named as in ftc")
    elif isinstance(field, str) and train:
        draft.goes("dataset_text_field", ("data.query",))
    elif field is not None:
        draft.lose("dataset_text_field", "it is no name of a column, or there are no rows", "data.query")


def held_out(draft: Draft) -> None:
    """What is measured while training, once it is known whether rows are held out."""
    holds = any(where[:2] == ("data", "split") for where in draft.settings)
    watching(draft, holds)
    draft.fine("dataset_test_split", "no rows are held out: eval_strategy is off")


def _select(draft: Draft, columns: Any = None) -> tuple[str, ...]:
    """All columns as they are, or those that are named."""
    field = draft.document.get("dataset_text_field")
    if isinstance(field, str) and field and field != "text":
        return (column(field, "text"),)
    if isinstance(columns, list) and columns and all(isinstance(one, str) and one for one in columns):
        return tuple(column(one, one) if column(one, one) == one else f'"{one}"' for one in columns)
    return ("*",)


def _named(draft: Draft, taken: set[str]) -> tuple[list[Rows], list[Rows]]:
    stated = draft.text("dataset_name")
    if not stated:
        draft.fine(("dataset_config", SPLIT), "there is no `dataset_name`")
        return [], []
    split = draft.text(SPLIT) or "train"
    subset = draft.text("dataset_config")
    evaluates = draft.get("eval_strategy") not in (None, "no", False)
    select = _select(draft)
    name = places.source_name(stated, taken)
    to = f"data.sources.{name}"
    if places.is_file(stated):
        draft.carry("dataset_name", to, places.files(stated, draft.home))
        draft.fine((SPLIT, "dataset_config"), "a file is read as a whole")
        if evaluates:
            draft.lose("dataset_test_split", "a file has no splits", "data.split = { eval = 0.1 }")
        return [Rows(name, draft.settings[tuple(to.split("."))].value, select, select)], []
    draft.carry("dataset_name", to, places.hub(stated, subset, split, None))
    draft.goes(("dataset_config", SPLIT), (to,))
    train = Rows(name, places.hub(stated, subset, split, None), select, select)
    if not evaluates:
        return [train], []
    test = draft.text("dataset_test_split") or "test"
    other = places.source_name(f"{name}_{test}", taken)
    draft.goes("dataset_test_split", (f"data.sources.{other}",))
    return [train], [Rows(other, places.hub(stated, subset, test, None), select, select)]


def _mixture(draft: Draft, taken: set[str]) -> tuple[list[Rows], list[Rows]]:
    train: list[Rows] = []
    held: list[Rows] = []
    for number, entry in enumerate(draft.get("datasets")):
        at = draft.within("datasets", number)
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            at.lose(tuple(at.table()), "it has no path")
            if not at.table():
                draft.verdicts.setdefault(("datasets", number), _no_table())
            continue
        found, out = _entry(at, taken)
        train += found
        held += out
    return train, held


def _alike(sets: list[Rows]) -> list[Rows]:
    """Where one data set of a mixture names its columns, the others can have no other ones."""
    named = next((rows.select for rows in sets if not rows.everything), None)
    if named is None:
        return sets
    return [replace(rows, select=named, columns=named) for rows in sets]


def _no_table() -> Any:
    from ftc.importing.draft import Verdict

    return Verdict("not_carried", why="it is no table with a path")


def _entry(at: Draft, taken: set[str]) -> tuple[list[Rows], list[Rows]]:
    path = str(at.get("path"))
    weight = as_number(at.get("fraction"))
    select = _select(at, at.get("columns"))
    sides = list(_origins(at, path))
    train: list[Rows] = []
    held: list[Rows] = []
    for side, stem, source in sides:
        name = places.source_name(stem, taken)
        rows = Rows(name, source, select, select, weight if side == "train" else None)
        (train if side == "train" else held).append(rows)
    to = tuple(f"data.sources.{rows.name}" for rows in (*train, *held))
    mixed = f"data.mix.{train[0].name}.weight" if train else ""
    at.goes(("path", "data_files", "data_dir", "name", "split"), to)
    if select != ("*",):
        at.goes("columns", ("data.query",))
    elif at.get("columns") is not None:
        at.lose("columns", "it is no list of names", "`data.query`")
    if weight is not None and len(at.document.get("datasets")) > 1:
        at.goes("fraction", (mixed,), "a part of the mixture")
    elif at.get("fraction") is not None:
        at.fine("fraction", "a part of a mixture of one is all of it")
    for key in at.table():
        if at.get(key) is None:
            at.fine(key, "empty, which is the default")
    return train, held


def _origins(at: Draft, path: str) -> Iterator[tuple[str, str, str | dict[str, Any]]]:
    """The sides, names and sources of an entry: a loader with files, files, or a data set of the hub."""
    split = at.get("split") if isinstance(at.get("split"), str) else None
    form = places.BUILDERS.get(path)
    given = at.get("data_files") or at.get("data_dir")
    if form and given:
        at.fine("split", "files are read as a whole")
        for side, file in _files(given):
            yield side, file, places.files(file, at.home, form)
        return
    if places.is_file(path):
        at.fine(("split", "name"), "files are read as a whole")
        yield "train", path, places.files(path, at.home)
        return
    if given:
        at.lose(("data_files", "data_dir"), "ftc reads whole data sets of the hub", "name and split")
    name = at.get("name") if isinstance(at.get("name"), str) else None
    plain_split = (split or "train").partition("[")[0]
    if split and "[" in split:
        at.lose("split", f"the part of it, in brackets; `{plain_split}` is read whole", "data.sample")
    yield "train", path, places.hub(path, name, plain_split, None)


def _files(given: Any) -> Iterator[tuple[str, str]]:
    """Each file with the side that it is for."""
    sides = given if isinstance(given, dict) else {"train": given}
    for side, stated in sides.items():
        for file in stated if isinstance(stated, list) else [stated]:
            if isinstance(file, str) and file:
                yield ("train" if side == "train" else "eval"), file
