"""Whether a run is what was built: its files against its manifest, and its parts against each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftc.artifact.chain import CHAIN, ChainedRun, bases, changed_model, manifest_digest, read_chain
from ftc.artifact.inputs_lock import LOCK, compiling_entries, entries_of
from ftc.artifact.lock_reading import UnreadableLockError, differences, read_entries
from ftc.artifact.provenance import PROVENANCE, statement_bytes
from ftc.artifact.run_directory import DATA, MANIFEST
from ftc.artifact.verify_files import look_at_files
from ftc.artifact.verify_weights import look_at_weights
from ftc.diagnostics import Finding
from ftc.plan.account import STAYING, Ledger
from ftc.plan.canonical import canonical_bytes, digest
from ftc.plan.steps import FileDigest, Part, Plan

CODE = "FTC756"
SHOWN = 16
UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading a damaged file raises; pydantic's and JSON's errors are ValueErrors."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what holds, in words, or the findings; `open` what could not be told."""

    title: str
    said: str = ""
    findings: tuple[Finding, ...] = ()
    open: str = ""


@dataclass(frozen=True)
class Verified:
    """What came of verifying a run, in the order in which it was looked at; `plan` is None if unreadable."""

    run: Path
    checks: tuple[Check, ...]
    plan: Plan | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings."""
        return tuple(finding for check in self.checks for finding in check.findings)


@dataclass(frozen=True)
class _Run:
    """A run whose plan can be read, with the digests of its files."""

    path: Path
    plan: Plan
    digest: str
    digests: Mapping[str, str]
    chain: tuple[ChainedRun, ...]


def verify(run: Path) -> Verified:
    """Check a run, which is a directory. Raises OSError where a file cannot be read at all."""
    files = look_at_files(run)
    said = f"{files.listed} files, {files.bytes:,} bytes, each as {MANIFEST} lists it"
    checks = [Check("files", "" if files.findings else said, files.findings)]
    try:
        plan = Plan.model_validate_json((run / "plan.json").read_bytes())
    except (OSError, ValidationError) as error:
        why = "it is missing" if isinstance(error, OSError) else "it is no plan of this release"
        checks.append(Check("plan", findings=(_odd(f"plan.json cannot be read: {why}"),)))
        return Verified(run, tuple(checks), None)
    chain, unread = _chain(run)
    at = _Run(run, plan, digest(plan), files.digests, chain)
    checks.append(_plan(at))
    checks += [_guarded(title, look, at) for title, look in CHECKS.items()]
    return Verified(run, (*checks, *unread), plan)


def _guarded(title: str, look: Callable[[_Run], Check], at: _Run) -> Check:
    """A check, or the finding for files that are too damaged to be looked at."""
    try:
        return look(at)
    except UNREADABLE as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Check(title, findings=(_odd(f"what belongs to the {title} cannot be read: {first}"),))


def _odd(message: str, *help_: str) -> Finding:
    return Finding(CODE, message, help=help_)


def _plan(at: _Run) -> Check:
    findings = []
    if (at.path / "plan.json").read_bytes() != canonical_bytes(at.plan):
        findings.append(_odd("plan.json is not written as plans are: it was changed"))
    name = at.path.resolve().name
    if name != at.digest[:SHOWN]:
        findings.append(
            _odd(
                f"the plan's digest is {at.digest[:SHOWN]}, and the run's directory is called {name}",
                f"if it was renamed, call it {at.digest[:SHOWN]} again; else it holds another plan",
            )
        )
    return Check("plan", f"its digest {at.digest[:SHOWN]} is the directory's name", tuple(findings))


def _lock(at: _Run) -> Check:
    """The lock of the run against its plan; what only the lock knows is not compared."""
    try:
        locked = read_entries((at.path / LOCK).read_text(encoding="utf-8"))
    except UnreadableLockError as error:
        return Check("lock", findings=(_odd(f"{LOCK} cannot be read: {error}"),))
    expected = entries_of(at.plan)
    own = {*compiling_entries(), *(path for path in locked if path[0] == "base" or path[-1] == "asked")}
    own |= {path for path in locked if path[0] == "rewards" and path not in expected}
    known = {path: value for path, value in locked.items() if path in expected or path not in own}
    found = differences(known, expected)
    findings = tuple(_odd(f"{LOCK} and plan.json tell of other inputs: {one.sentence}") for one in found)
    return Check("lock", f"{len(locked)} entries, those of the plan's inputs", findings)


def _ledger(at: _Run) -> Check:
    data = at.plan.data
    if data is None:
        return Check("ledger", open="the plan has no data")
    ledger = Ledger.model_validate_json((at.path / DATA / "ledger.json").read_bytes())
    findings = []
    if ledger != data.ledger:
        findings.append(_odd("data/ledger.json is not the ledger of the plan"))
    ledgers = (ledger, *(suite.rows.ledger for suite in at.plan.suites if suite.rows))
    findings += [
        _odd(f"the ledger does not balance: {one.unexplained:,} rows have no fate")
        for one in ledgers
        if one.unexplained
    ]
    if (data.train.rows, data.eval.rows if data.eval else 0) != (ledger.train, ledger.eval):
        findings.append(_odd("the ledger counts other compiled rows than the plan"))
    findings += _accounts(at, ledger)
    gone = f" - {ledger.lost:,} that went" if ledger.lost else ""
    more = f" + {ledger.more:,} made by splitting" if ledger.more else ""
    said = f"{ledger.read:,} rows read{gone}{more} = {ledger.train:,} trained + {ledger.eval:,} held out"
    return Check("ledger", said, tuple(findings))


def _accounts(at: _Run, ledger: Ledger) -> list[Finding]:
    """The ids of the rows that went, and of those that were changed, against the ledger's numbers."""
    import pyarrow.parquet as pq

    findings = []
    for name, staying in (("dropped.parquet", False), ("changed.parquet", True)):
        path = at.path / DATA / name
        if not path.is_file():
            continue
        column = pq.read_table(path, columns=["fate"]).column("fate")
        named = {str(one["values"]): int(one["counts"]) for one in column.value_counts().to_pylist()}
        for fate in sorted({*named, *(line.fate for line in ledger.lines)}):
            told = sum(line.rows for line in ledger.lines if line.fate == fate)
            if (fate in STAYING) == staying and named.get(fate, 0) != told:
                count = named.get(fate, 0)
                findings.append(
                    _odd(f"the ledger counts {told:,} rows `{fate}`, and data/{name} names {count:,}")
                )
    return findings


def _shards(at: _Run) -> Check:
    """Compiled rows, sequences and files of metrics: that they are those of the plan."""
    import pyarrow.parquet as pq

    findings, rows, files = [], 0, 0
    for part in _parts(at.plan):
        problems = [problem for shard in part.shards if (problem := _belongs(at, shard.file)) is not None]
        findings += problems
        files += len(part.shards)
        if problems:
            continue
        counts = [pq.read_metadata(at.path / DATA / shard.file.name).num_rows for shard in part.shards]
        if counts != [shard.rows for shard in part.shards] or sum(counts) != part.rows:
            first = part.shards[0].file.name
            findings.append(
                _odd(f"the plan has {part.rows:,} rows in {first} and on, which hold {sum(counts):,}")
            )
        rows += sum(counts)
    others = [at.plan.data.sequences.file] if at.plan.data and at.plan.data.sequences else []
    others += [function.file for suite in at.plan.all_suites for function in suite.functions]
    for harness in (suite.harness for suite in at.plan.all_suites if suite.harness):
        others += [
            file.model_copy(update={"name": f"{harness.directory}/{file.name}"}) for file in harness.files
        ]
    findings += [problem for file in others if (problem := _belongs(at, file)) is not None]
    return Check("shards", f"{files} files with {rows:,} rows, those of the plan", tuple(findings))


def _parts(plan: Plan) -> list[Part]:
    own = [plan.data.train, plan.data.eval] if plan.data else []
    suites = [suite.rows.part for suite in plan.all_suites if suite.rows]
    baselines = [one.part for suite in plan.all_suites for one in suite.baselines]
    return [part for part in (*own, *suites, *baselines) if part is not None]


def _belongs(at: _Run, file: FileDigest) -> Finding | None:
    found = at.digests.get(f"{DATA}/{file.name}")
    if found == file.sha256:
        return None
    what = "is missing" if found is None else "is not the one of the plan"
    return _odd(f"`{DATA}/{file.name}` {what}")


def _weights(at: _Run) -> Check:
    found = look_at_weights(at.path, at.plan)
    return Check("weights", found.said, tuple(_odd(text) for text in found.problems), found.open)


def _provenance(at: _Run) -> Check:
    """provenance.json, read back: its subjects, its materials, and then every byte."""
    found = json.loads((at.path / PROVENANCE).read_bytes())
    expected = json.loads(statement_bytes(at.plan, at.digest, at.path, at.chain, at.digests))
    findings = [
        *_named("subject", found["subject"], expected["subject"]),
        *_named("material", _materials(found), _materials(expected)),
    ]
    if not findings and found != expected:
        findings.append(_odd(f"{PROVENANCE} is not what follows from the plan and the run's files"))
    said = f"{len(expected['subject'])} files of the model, made of {len(_materials(expected))} inputs"
    return Check("provenance", said, tuple(findings))


def _materials(statement: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    return found


def _named(what: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[Finding]:
    """Subjects or materials that are others than they should be, by name."""
    told = [json.dumps(one, sort_keys=True) for one in found]
    true = [json.dumps(one, sort_keys=True) for one in expected]
    names = sorted({json.loads(one)["name"] for one in set(told) ^ set(true)})
    return [_odd(f"{PROVENANCE} has another {what} `{name}` than the run") for name in names]


def _chain(run: Path) -> tuple[tuple[ChainedRun, ...], tuple[Check, ...]]:
    try:
        return read_chain(run), ()
    except UNREADABLE:
        return (), (Check("chain", findings=(_odd(f"{CHAIN} cannot be read"),)),)


def _bases(at: _Run) -> Check:
    """The runs that this one builds on: that they are those, where they are there."""
    model, below = at.plan.model, bases(at.chain)
    judged = [reward.model for reward in at.plan.objective.rewards] if at.plan.objective else []
    wanted = [one.revision for one in judged if one is not None]
    if [one.plan for one in at.chain if one.use == "reward"] != wanted:
        return Check("chain", findings=(_odd(f"{CHAIN} has other reward models than the plan"),))
    if (model is None or model.kind != "run") and not wanted:
        extra = (_odd(f"there is a {CHAIN}, and the plan builds on no run"),) if at.chain else ()
        return Check("chain", "the plan builds on no other run", extra)
    if model is not None and model.kind == "run" and (not below or below[-1].plan != model.revision):
        return Check("chain", findings=(_odd(f"{CHAIN} does not end with the run that the plan builds on"),))
    findings, away = [], []
    for one in at.chain:
        place = at.path / one.place
        if not (place / MANIFEST).is_file():
            away.append(one.name)
        elif manifest_digest(place) != one.manifest_sha256:
            findings.append(_odd(f"the run of `{one.name}` at {one.place} is not the one that was built on"))
        else:
            findings += [
                _odd(f"`{name}` of the run below, `{one.name}`, was changed since it was built on")
                for name in changed_model(place)
            ]
    said = f"{len(at.chain) - len(away)} of {len(at.chain)} runs below are there, and are those"
    return Check("chain", said, tuple(findings), f"not there: {', '.join(away)}" if away else "")


CHECKS: dict[str, Callable[[_Run], Check]] = {
    "lock": _lock,
    "ledger": _ledger,
    "shards": _shards,
    "weights": _weights,
    "provenance": _provenance,
    "chain": _bases,
}
"""What is looked at in a run whose plan can be read, in the order in which it is told."""
