"""recipe.lock beside a recipe: what it pins, how the inputs differ from it, and how it is written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.artifact.inputs_lock import Entries, LockedRecipe, compiling_entries, entries_of, text_of
from ftc.artifact.lock_reading import (
    Difference,
    UnreadableLockError,
    differences,
    input_of,
    inputs_of,
    read_entries,
)
from ftc.diagnostics import Finding, Severity
from ftc.facts.suites import suite_name
from ftc.recipe.evaluation import Eval, suites_of
from ftc.recipe.model import Recipe
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    from ftc.jobs.planning import Planned
    from ftc.recipe.load import Loaded, Origins

ENDING = ".lock"
ALL = "all"
"""Stands for every input of a lock."""

BASE = "base"
DATASETS = "hf://datasets/"
COMMIT = 40


def lock_path(recipe: Path) -> Path:
    """The lock of a recipe: beside it, with its name, as recipe.lock beside recipe.toml."""
    return recipe.with_suffix(ENDING)


def read_lock(recipe: Path) -> Entries | Finding | None:
    """The entries of a recipe's lock; None where it has none, a finding where it cannot be read."""
    path = lock_path(recipe)
    try:
        return read_entries(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnreadableLockError as error:
        why = str(error)
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    return Finding(
        "FTC752",
        f"{path.name} cannot be read: {why}",
        place=str(path),
        help=("take it from git again", f"or delete it and lock anew: ftc lock {recipe}"),
    )


def with_pins(loaded: Loaded, moving: Collection[str] = ()) -> tuple[Loaded, tuple[Finding, ...]]:
    """A recipe at the commits of its lock, and what is wrong with the lock."""
    locked = read_lock(loaded.path)
    if isinstance(locked, Finding):
        return loaded, (locked,)
    if locked is None or loaded.partial is None:
        return replace(loaded, stated=loaded.recipe), ()
    recipe = pinned(loaded.recipe, locked, moving) if loaded.recipe is not None else None
    at_pins = replace(loaded, recipe=recipe, partial=pinned(loaded.partial, locked, moving))
    return replace(at_pins, stated=loaded.recipe), ()


def moving_below(moving: Collection[str]) -> tuple[str, ...]:
    """What is moved in the recipes that one needs, where inputs of its own are."""
    below = any(name in (ALL, BASE) or name.startswith("rewards.") for name in moving)
    return (ALL,) if below else ()


def pinned(recipe: Recipe, locked: Entries, moving: Collection[str] = ()) -> Recipe:
    """A recipe with the commits of its lock for what it takes from the hub, but for inputs that are `moving`.

    A pin holds while the recipe names the same model or data set, at the same revision.
    """
    if ALL in moving:
        return recipe
    changes: dict[str, Any] = {}
    if "model" not in moving and isinstance(recipe.model.base, str):
        commit = _commit(recipe.model.base, recipe.model.revision, locked, ("model",))
        if commit is not None:
            changes["model"] = recipe.model.model_copy(update={"revision": commit})
    still = {name: entry for name, entry in recipe.data.sources.items() if f"sources.{name}" not in moving}
    sources = _sources(still, locked, ("sources",))
    if sources:
        everything = {**recipe.data.sources, **sources}
        changes["data"] = recipe.data.model_copy(update={"sources": everything})
    objective: Any = recipe.train.objective
    teacher = getattr(objective, "teacher", None)
    if teacher is not None and "teacher" not in moving:
        commit = _commit(teacher, objective.revision, locked, ("teacher",))
        if commit is not None:
            at_commit = objective.model_copy(update={"revision": commit})
            changes["train"] = recipe.train.model_copy(update={"objective": at_commit})
    suites = _suites(recipe, locked, moving)
    if suites is not None:
        changes["eval"] = suites
    return recipe.model_copy(update=changes) if changes else recipe


def _commit(name: str, stated: str | None, locked: Entries, at: tuple[str, ...]) -> str | None:
    """The commit that a lock has of a model; None where it has none, or it is of another."""
    same = locked.get((*at, "kind")) == "hub" and locked.get((*at, "location")) == name
    commit = locked.get((*at, "revision"))
    asked = locked.get((*at, "asked"))
    return str(commit) if same and commit is not None and stated in (asked, commit) else None


def _sources(entries: Mapping[str, Any], locked: Entries, at: tuple[str, ...]) -> dict[str, SourceFiles]:
    """The data sets of the hub among some sources, at the commits that a lock has of them."""
    found = {}
    for name, entry in entries.items():
        if not isinstance(entry, SourceFiles) or entry.dataset is None:
            continue
        place, _, commit = str(locked.get((*at, name, "location"), "")).rpartition("@")
        same = place == DATASETS + entry.dataset
        if same and len(commit) == COMMIT and entry.revision in (locked.get((*at, name, "asked")), commit):
            found[name] = entry.model_copy(update={"revision": commit})
    return found


def _suites(recipe: Recipe, locked: Entries, moving: Collection[str]) -> Eval | tuple[Eval, ...] | None:
    """The recipe's [eval] with the data sets of its suites at their commits; None where none is pinned."""
    stated = recipe.eval
    suites = tuple(suite for _, suite in suites_of(stated))
    changed = tuple(_suite(suite, locked, moving) for suite in suites)
    if changed == suites:
        return None
    return changed[0] if isinstance(stated, Eval) else changed


def _suite(suite: Eval, locked: Entries, moving: Collection[str]) -> Eval:
    name = suite_name(suite)
    if not suite.sources or f"suites.{name}" in moving:
        return suite
    sources = _sources(suite.sources, locked, ("suites", name, "sources"))
    return suite.model_copy(update={"sources": {**suite.sources, **sources}}) if sources else suite


def _asked(recipe: Recipe, entries: Entries) -> Entries:
    """Tags and branches by which a recipe names what the lock has as a commit."""
    found: Entries = {}
    objective: Any = recipe.train.objective
    stated: dict[tuple[str, ...], str | None] = {
        ("model",): recipe.model.revision,
        ("teacher",): getattr(objective, "revision", None),
    }
    for name, entry in recipe.data.sources.items():
        if isinstance(entry, SourceFiles):
            stated[("sources", name)] = entry.revision
    for _, suite in suites_of(recipe.eval):
        for name, entry in (suite.sources or {}).items():
            if isinstance(entry, SourceFiles):
                stated[("suites", suite_name(suite), "sources", name)] = entry.revision
    for at, revision in stated.items():
        locked = (*at, "location") in entries
        if locked and revision is not None and not _is_commit(revision):
            found[(*at, "asked")] = revision
    return found


def _is_commit(text: str) -> bool:
    return len(text) == COMMIT and all(character in "0123456789abcdef" for character in text)


def lock_entries(made: Planned) -> Entries:
    """Every input of a whole plan, those of the recipes that it needs too, with what compiled the rows."""
    plan = made.result.plan
    assert plan is not None  # noqa: S101 - the caller has looked
    entries = entries_of(plan, _needs(made))
    if made.loaded.stated is not None:
        entries |= _asked(made.loaded.stated, entries)
    return entries | compiling_entries()


def _needs(made: Planned) -> tuple[LockedRecipe, ...]:
    """The recipes whose results a recipe needs: its base, and its reward models."""
    plan = made.result.plan
    rewards = plan.objective.rewards if plan is not None and plan.objective is not None else ()
    scored = [one.name for one in rewards if one.model is not None and one.model.kind == "run"]
    places: list[tuple[tuple[str, ...], Planned]]
    places = [(("rewards", name), one) for name, one in zip(scored, made.scorers, strict=False)]
    if made.base is not None:
        places.append(((BASE,), made.base))
    return tuple(_needed(at, one, made) for at, one in places)


def _needed(at: tuple[str, ...], one: Planned, by: Planned) -> LockedRecipe:
    assert one.result.plan is not None  # noqa: S101 - the plan that needs it is whole
    home = by.loaded.origins.main.directory.absolute()
    named = Path(os.path.relpath(one.result.path.absolute(), home)).as_posix()
    return LockedRecipe(at, named, one.loaded.text, one.result.plan, _needs(one))


@dataclass(frozen=True)
class LockCheck:
    """How the inputs of a plan stand to its recipe's lock; `entries` are those of now."""

    path: Path
    locked: Entries | None
    entries: Entries
    found: tuple[Difference, ...]

    @property
    def text(self) -> str:
        """The lock of the inputs as they are now."""
        return text_of(self.entries)


def check_lock(made: Planned) -> LockCheck:
    """Compare a whole plan with its recipe's lock, which can be read, or is not there."""
    locked = read_lock(made.result.path)
    known = None if isinstance(locked, Finding) else locked
    now = lock_entries(made)
    found = () if known is None else differences(known, now)
    return LockCheck(lock_path(made.result.path), known, now, found)


def lock_findings(check: LockCheck, origins: Origins, recipe: Path, *, strict: bool) -> tuple[Finding, ...]:
    """A finding for each input that differs; errors where they are refused (`strict`), else warnings."""
    severity = Severity.ERROR if strict else Severity.WARNING
    if check.locked is None:
        absent = Finding(
            "FTC750",
            f"there is no {check.path.name} beside the recipe, so there is nothing to hold its inputs to",
            place=str(check.path),
            help=(f"write it, and commit it: ftc lock {recipe}",),
        )
        return (absent,) if strict else ()
    return tuple(
        Finding(
            "FTC751",
            f"{one.subject} {'is' if one.input != 'packages' else 'are'} not as in {check.path.name}: "
            + "; ".join(one.said[:SHOWN]),
            origins.value(*_place(one.input)),
            help=(f"if that is meant: ftc lock {recipe} --update {one.input}",),
            notes=one.said[SHOWN : SHOWN + MORE],
            severity=severity,
        )
        for one in check.found
    )


SHOWN, MORE = 3, 20
"""Phrases of a difference in the sentence, and below it."""

PLACES: dict[str, tuple[str, ...]] = {
    "model": ("model", "base"),
    "base": ("model", "base"),
    "teacher": ("train", "objective"),
    "query": ("data", "query"),
    "split": ("data", "split"),
    "template": ("model", "chat_template"),
    "packages": ("model",),
    "rewards": ("train", "objective"),
    "metrics": ("eval",),
    "suites": ("eval",),
}
"""Where in a recipe an input is named."""


def _place(name: str) -> tuple[str, ...]:
    table, _, member = name.partition(".")
    return ("data", "sources", member) if table == "sources" else PLACES.get(table, ("model",))


def updated(check: LockCheck, names: Sequence[str]) -> Entries:
    """The lock with the inputs of these names as they are now, and all others as it has them."""
    if ALL in names or check.locked is None:
        return check.entries
    kept = {path: value for path, value in check.locked.items() if input_of(path) not in names}
    taken = {path: value for path, value in check.entries.items() if input_of(path) in names}
    return kept | taken | {("format",): check.entries[("format",)]}


def known_inputs(check: LockCheck) -> tuple[str, ...]:
    """The inputs which the lock has, or would have."""
    return inputs_of([*(check.locked or ()), *check.entries])


def write_lock(path: Path, entries: Entries) -> Finding | None:
    """Write a lock, at once; a finding where it cannot be written."""
    from ftc.artifact.files import write_text

    try:
        write_text(path, text_of(entries))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Finding(
            "FTC753",
            f"{path.name} cannot be written: {reason}",
            place=str(path),
            help=("make its directory writable: the lock stands beside the recipe",),
        )
    return None
