"""recipe.lock: the digest of every input, as sorted TOML that a person can review."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING

from ftc.facts.cache import DISTRIBUTIONS

if TYPE_CHECKING:
    from ftc.plan.account import Ledger
    from ftc.plan.steps import EvalStep, FileDigest, ModelStep, ObjectiveStep, Plan, QueryStep, SourceStep

LOCK = "recipe.lock"
HEADER = "# Every input of the build by its digest. Written by ftc; commit it beside the recipe.\n"
FORMAT = 1
Path = tuple[str, ...]
Value = str | int
Entries = dict[Path, Value]
"""Every entry of a lock by the names of its tables and its own."""


@dataclass(frozen=True)
class LockedRecipe:
    """A recipe whose result another one needs: its file seen from that one, its resolved text, its plan.

    `at` is where it stands in the lock of the other: `base`, or a reward's entry. `needs` are its own.
    """

    at: Path
    recipe: str
    text: str
    plan: Plan
    needs: tuple[LockedRecipe, ...] = ()


def digest_of(text: str) -> str:
    """The SHA-256 of a text as a lock has it."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def compiling_versions() -> dict[str, str]:
    """Versions of what compiles rows: Python's own, and of the libraries which decide their bytes."""
    found = {name: version(name) for name in DISTRIBUTIONS}
    return {**found, "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}


def entries_of(plan: Plan, needs: Sequence[LockedRecipe] = ()) -> Entries:
    """What the plan tells of its inputs; `needs` are the recipes whose results it needs.

    What compiled the rows is not in it, as it is not in the plan: `compiling_versions` has that.
    """
    entries: Entries = {("format",): FORMAT, **_rows(plan), **_objective(plan.objective)}
    if plan.model is not None:
        entries |= _model(plan.model, ("model",))
    for suite in plan.all_suites:
        entries |= _suite(suite)
    if plan.environment:
        entries |= {("packages", name): text for name, text in plan.environment.packages.items()}
    for one in needs:
        entries |= _needed(one)
    return entries


def _rows(plan: Plan) -> Entries:
    """Where the training rows come from, and what makes them."""
    ledger = plan.data.ledger if plan.data else None
    entries: Entries = {}
    for source in plan.sources or ():
        entries |= _source(source, ledger, ("sources", source.name))
    for query in plan.queries or ():
        entries |= _query(query, ("query", query.name) if query.name else ("query",))
    if plan.split is not None and plan.split.query is not None:
        entries |= _query(plan.split.query, ("split",))
    if plan.render and plan.render.chat_template is not None:
        entries[("template", "jinja")] = digest_of(plan.render.chat_template)
    if plan.render and plan.render.training_template is not None:
        entries[("template", "training")] = digest_of(plan.render.training_template)
    return entries


def _query(query: QueryStep, at: Path) -> Entries:
    values = json.dumps(query.parameters, sort_keys=True, ensure_ascii=False)
    more: Entries = {(*at, "parameters"): digest_of(values)} if query.parameters else {}
    return {(*at, "sql"): digest_of(query.sql), **more}


def _files(files: Sequence[FileDigest], at: Path) -> Entries:
    return {(*at, "files", file.name): f"sha256:{file.sha256}" for file in files}


def _source(step: SourceStep, ledger: Ledger | None, at: Path) -> Entries:
    rows = {one.name: one.rows for one in ledger.sources} if ledger else {}
    counted: Entries = {(*at, "rows"): rows[step.name]} if step.name in rows else {}
    return {
        (*at, "format"): step.format,
        (*at, "location"): step.location,
        (*at, "sha256"): f"sha256:{step.sha256}",
        **counted,
        **_files(step.files, at),
    }


def _model(step: ModelStep, at: Path) -> Entries:
    """A model; of one that another recipe makes the digest of that plan is left out, see `_needed`.

    It also stands for the device that the other recipe was planned for, which is no input.
    """
    entries: Entries = {(*at, "kind"): step.kind, (*at, "location"): step.location}
    if step.kind == "run":
        entries[(*at, "location")] = step.location.rpartition("/")[0]
    elif step.revision:
        entries[(*at, "revision")] = step.revision
    entries[(*at, "files", "config.json")] = f"sha256:{step.config_sha256}"
    entries[(*at, "files", "tokenizer.json")] = f"sha256:{step.tokenizer_sha256}"
    return entries | _files((*step.weights, *step.code), at)


def _objective(step: ObjectiveStep | None) -> Entries:
    if step is None:
        return {}
    entries = _model(step.teacher, ("teacher",)) if step.teacher is not None else {}
    for reward in step.rewards:
        if reward.model is not None:
            entries |= _model(reward.model, ("rewards", reward.name, "model"))
        if reward.python is not None and reward.source is not None:
            entries[("rewards", reward.name, "python")] = reward.python
            entries[("rewards", reward.name, "sha256")] = digest_of(reward.source)
    return entries


def _suite(suite: EvalStep) -> Entries:
    entries: Entries = {}
    if suite.rows is not None:
        at = ("suites", suite.name)
        if suite.rows.shipped is not None:
            entries[(*at, "shipped")] = suite.rows.shipped
        for source in suite.rows.sources:
            entries |= _source(source, suite.rows.ledger, (*at, "sources", source.name))
        entries |= _query(suite.rows.query, at)
    for function in suite.functions:
        entries[("metrics", function.named, "sha256")] = f"sha256:{function.file.sha256}"
    if suite.harness is not None:
        at = ("suites", suite.name)
        entries[(*at, "lm-eval")] = suite.harness.version
        entries |= _files(suite.harness.files, at)
    if suite.judge is not None:
        entries[("suites", suite.name, "judge")] = f"{suite.judge.model} at {suite.judge.endpoint}"
    return entries


def _needed(one: LockedRecipe) -> Entries:
    """A recipe whose result is needed: its whole settings by a digest, and its own inputs.

    Packages are those of the recipe itself, as one machine builds them all.
    """
    own: Entries = {("recipe",): one.recipe, ("sha256",): digest_of(one.text)}
    own |= {path: value for path, value in entries_of(one.plan, one.needs).items() if _is_input(path)}
    return {(*one.at, *path): value for path, value in own.items()}


def _is_input(path: Path) -> bool:
    return path[0] not in ("format", "packages")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(text: str) -> str:
    bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if bare else _quoted(text)


def _line(name: str, value: Value) -> str:
    return f"{_key(name)} = {value if isinstance(value, int) else _quoted(value)}\n"


def text_of(entries: Mapping[Path, Value]) -> str:
    """The content of recipe.lock: its tables and their entries sorted by name."""
    tables: dict[Path, dict[str, Value]] = {}
    for path, value in entries.items():
        tables.setdefault(path[:-1], {})[path[-1]] = value
    sections = []
    for path in sorted(tables):
        head = "[" + ".".join(map(_key, path)) + "]\n" if path else ""
        sections.append(head + "".join(_line(name, tables[path][name]) for name in sorted(tables[path])))
    return HEADER + "".join(f"\n{section}" for section in sections)


def compiling_entries() -> Entries:
    """What compiles rows here, as entries of a lock."""
    return {("packages", name): text for name, text in compiling_versions().items()}


def lock_text(plan: Plan, needs: Sequence[LockedRecipe] = ()) -> str:
    """The content of recipe.lock for a plan, with what compiles rows here."""
    return text_of(compiling_entries() | entries_of(plan, needs))
