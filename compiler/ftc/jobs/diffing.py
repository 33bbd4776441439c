"""Compare what two recipes, plans or runs make."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftc.diagnostics import Finding, has_errors
from ftc.facts.cache import Cache, CacheProblem
from ftc.jobs.planning import Planned
from ftc.jobs.results import DiffResult, Side

if TYPE_CHECKING:
    from ftc.data.kept.row_differences import RowDifferences, Rows
    from ftc.estimate.forecast import Forecast
    from ftc.plan.steps import Plan

Kind = Literal["recipe", "plan", "run"]
Planner = Callable[[Path, Sequence[str]], Planned]

PLAN_FILE, RECIPE_FILE = "plan.json", "recipe.toml"
MADE_BY = "`ftc plan --after lints RECIPE` and `ftc plan --json RECIPE` print whole plans"
NAMED = 3


@dataclass(frozen=True)
class _Read:
    """A side that was read: its whole plan and its rows where they are at hand, or what is wrong."""

    findings: tuple[Finding, ...]
    plan: Plan | None = None
    rows: Rows | None = None
    forecast: Forecast | None = None
    made: Planned | None = None
    unforecast: str = ""


def kind_of(path: Path) -> Kind | None:
    """What a path names; None where there is nothing that can be compared."""
    if path.is_dir():
        return "run" if (path / PLAN_FILE).is_file() else "recipe" if (path / RECIPE_FILE).is_file() else None
    if not path.is_file():
        return None
    return "plan" if path.suffix == ".json" else "recipe"


def differences(old: Path, new: Path, overrides: Sequence[str], planner: Planner, cache: Cache) -> DiffResult:
    """Read both sides, planning those that are recipes, and compare them; `overrides` change the new one."""
    read = _forecast(_read(old, (), planner, cache), _read(new, overrides, planner, cache), cache)
    both = zip((old, new), read, strict=True)
    before, after = (
        Side(path, kind_of(path), one.plan, one.forecast, _measured(path), _unforecast(one))
        for path, one in both
    )
    findings = tuple(dict.fromkeys((*read[0].findings, *read[1].findings)))
    if read[0].plan is None or read[1].plan is None:
        return DiffResult(before, after, findings)
    from ftc.plan.compare import compare

    try:
        rows = _rows(read[0].rows, read[1].rows, cache)
    except CacheProblem as problem:
        findings += (Finding(problem.code, problem.message, help=(problem.help,)),)
        return DiffResult(before, after, findings)
    compared = compare(read[0].plan, read[1].plan, (before.forecast, after.forecast))
    return DiffResult(before, after, findings, compared, rows)


def _forecast(old: _Read, new: _Read, cache: Cache) -> tuple[_Read, _Read]:
    """Both sides, plans from files forecast too: as they were planned, or as the other side is."""
    return _forecast_stored(old, new.made, cache), _forecast_stored(new, old.made, cache)


def _forecast_stored(side: _Read, beside: Planned | None, cache: Cache) -> _Read:
    if side.plan is None or side.made is not None:
        return side
    from ftc.forecasting.stored import Rows, stored_forecast

    recipe = beside.loaded.recipe if beside is not None else None
    like = recipe.hardware if recipe is not None else None
    directory = side.rows.directory if side.rows is not None else None
    sequences = _sequences(side.plan, directory, cache) if directory is not None else None
    if sequences is None and side.plan.data is not None and side.plan.data.sequences is not None:
        directory = None
    found = stored_forecast(side.plan, Rows(directory, sequences), cache, like)
    if isinstance(found, str):
        return replace(side, unforecast=found)
    return replace(side, forecast=found)


def _unforecast(side: _Read) -> str:
    """Why memory, time or money of a side is not known; empty where all are, or no money is asked for."""
    if side.forecast is None or side.unforecast:
        return side.unforecast
    return "; ".join(side.forecast.unknown) if side.forecast.duration is None else ""


def _sequences(plan: Plan, rows: Path, cache: Cache) -> Path | None:
    """Where the file of a plan's sequences is: beside the rows, or in the cache."""
    from ftc.data.packing.laid_out import sequences_key

    sequences = plan.data.sequences if plan.data is not None else None
    if sequences is None or (rows / sequences.file.name).is_file():
        return None if sequences is None else rows
    try:
        return cache.entry("sequences", sequences_key(rows.name, sequences.capacity))
    except CacheProblem:
        return None


def _measured(path: Path) -> dict[str, Any] | None:
    """The metrics of a run after its training; None for what is no run, or not trained to its end."""
    from ftc.artifact.run_directory import evaluation

    try:
        found = evaluation(path)["after"] if kind_of(path) == "run" else None
    except (OSError, ValueError, KeyError):
        return None
    return found if isinstance(found, dict) else None


def _rows(old: Rows | None, new: Rows | None, cache: Cache) -> RowDifferences | None:
    """Which rows differ; None where those of one side are not at hand. Raises CacheProblem."""
    from ftc.data.kept.row_differences import row_differences

    if old is None or new is None:
        return None
    with cache.scratch() as scratch:
        return row_differences(old, new, scratch)


def _read(path: Path, overrides: Sequence[str], planner: Planner, cache: Cache) -> _Read:
    kind = kind_of(path)
    if kind is None:
        return _Read((_nothing(path),))
    if kind == "recipe":
        return _planned(planner(path / RECIPE_FILE if path.is_dir() else path, overrides))
    return _from_file(path / PLAN_FILE if kind == "run" else path, cache)


def _nothing(path: Path) -> Finding:
    if not path.exists():
        help_ = "name a recipe (.toml), a plan (.json) or a run directory"
        return Finding("FTC880", "there is no such file or directory", place=str(path), help=(help_,))
    runs = sorted(str(plan.parent) for plan in path.glob(f"*/{PLAN_FILE}"))
    if runs:
        some = ", ".join(runs[:NAMED]) + (", …" if len(runs) > NAMED else "")
        return Finding("FTC880", "this directory holds runs", place=str(path), help=(f"name one: {some}",))
    message = f"this directory is no run, as it has no {PLAN_FILE}, and holds no {RECIPE_FILE}"
    return Finding("FTC880", message, place=str(path), help=("name a recipe, a plan or a run directory",))


def _planned(made: Planned) -> _Read:
    result = made.result
    if result.plan is None or has_errors(result.findings):
        return _Read(result.findings)
    return _Read(result.findings, result.plan, _at_hand(result.plan, result.data), result.forecast, made)


def _at_hand(plan: Plan, directory: Path | None) -> Rows | None:
    """The compiled rows of a plan in a directory, if every shard of them is there."""
    from ftc.data.kept.row_differences import Rows

    if directory is None or plan.data is None:
        return None
    rows = Rows(plan.data, directory)
    return rows if rows.at_hand else None


def _from_file(path: Path, cache: Cache) -> _Read:
    """A plan from its JSON, alone or as the one result of `ftc plan --json`."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        return _bad(path, f"it cannot be read: {error.strerror or error}", "check the path and its rights")
    except ValueError:
        return _bad(path, "it is not JSON", MADE_BY)
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        plans = [one for one in value["results"] if isinstance(one, dict) and one.get("plan")]
        if len(plans) != 1:
            said = "it has no plan" if not plans else f"it has {len(plans)} plans"
            return _bad(path, said, "write a file for each recipe: ftc plan --json RECIPE > FILE")
        if plans[0].get("sample"):
            return _bad(path, "it is of a sample, whose figures are estimates", "plan without --sample")
        value = plans[0]["plan"]
    plan = _validated(value)
    if isinstance(plan, str):
        return _bad(path, plan, MADE_BY)
    return _Read((), plan, _at_hand(plan, path.parent / "data") or _at_hand(plan, _cached(plan, cache)))


def _bad(path: Path, message: str, help_: str) -> _Read:
    return _Read(
        (Finding("FTC881", f"the plan cannot be compared: {message}", place=str(path), help=(help_,)),)
    )


def _validated(value: Any) -> Plan | str:
    """A whole plan, or what keeps it from being one."""
    from pydantic import ValidationError

    from ftc.plan.steps import Plan
    from ftc.plan.verify import InvalidPlanError, verify

    try:
        plan = Plan.model_validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        return f"it is no plan of this release of ftc ({place}: {first['msg']})"
    try:
        verify(plan, "end")
    except InvalidPlanError as error:
        return f"it is not whole ({str(error).partition(': ')[2]})"
    return plan


def _cached(plan: Plan, cache: Cache) -> Path | None:
    """Where the rows of a plan are in the cache, if this release compiled them and they are there."""
    from ftc.data.compile import STEP, request_key
    from ftc.plan.compiling import request_of
    from ftc.plan.steps import DataStep

    try:
        directory = cache.entry("data", request_key(request_of(plan)))
    except CacheProblem:
        return None
    if directory is None or plan.data is None:
        return None
    step = DataStep.model_validate_json((directory / STEP).read_bytes())
    return directory if (step.train, step.eval) == (plan.data.train, plan.data.eval) else None
