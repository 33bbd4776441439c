"""Make the page of what a path names, put it in its place, and show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ftc.artifact.files import write_bytes
from ftc.diagnostics import Finding, Severity
from ftc.jobs.comparing import later
from ftc.jobs.diffing import RECIPE_FILE, kind_of
from ftc.jobs.planning import Progress
from ftc.report.of_plan import plan_page
from ftc.report.of_run import run_page

PAGE = "report.html"
"""The page's name within a run."""


@dataclass(frozen=True)
class Reported:
    """What came of making a page: where it is and its size in bytes, or why there is none."""

    kind: Literal["plan", "run"]
    findings: tuple[Finding, ...]
    page: Path | None = None
    size: int = 0


def report(
    target: Path,
    out: Path | None,
    overrides: Sequence[str] = (),
    *,
    gpus: Sequence[str] = (),
    progress: Progress | None = None,
) -> Reported:
    """The page of a recipe's plan or of a run; that of a run is its own where nothing else is wanted.

    Where a run was measured again later, the page with all of that is made beside it.
    """
    kind = kind_of(target)
    if kind == "run":
        return _of_run(target, out)
    if kind != "recipe":
        return Reported("plan", (_nothing(target),))
    recipe = target / RECIPE_FILE if target.is_dir() else target
    made = plan_page(recipe, overrides, gpus=gpus, progress=progress)
    if made.page is None:
        return Reported("plan", made.findings)
    return _written("plan", made.page, out or recipe.with_suffix(".html"), made.findings)


def _of_run(run: Path, out: Path | None) -> Reported:
    own = run / PAGE
    if out is None and own.is_file() and not later(run):
        return Reported("run", (), own, own.stat().st_size)
    try:
        page = run_page(run)
    except (OSError, ValueError, KeyError) as error:
        return Reported("run", (_unreadable(run, error),))
    return _written("run", page, out or run.with_name(f"{run.name}.{PAGE}"), ())


def _written(
    kind: Literal["plan", "run"], page: bytes, place: Path, findings: tuple[Finding, ...]
) -> Reported:
    try:
        write_bytes(place, page)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        found = Finding(
            "FTC766",
            f"the page cannot be written: {reason}",
            place=str(place),
            help=("name another file with --out",),
        )
        return Reported(kind, (*findings, found))
    return Reported(kind, findings, place, len(page))


def _nothing(target: Path) -> Finding:
    if kind_of(target) == "plan":
        message, help_ = (
            "this is a plan without its rows",
            "name the recipe that it was made of, or a run of it",
        )
    elif target.is_dir():
        message, help_ = "this directory is no run and holds no recipe", "name a recipe, or runs/NAME/DIGEST"
    else:
        message, help_ = "there is no such file or directory", "name a recipe (.toml) or a run directory"
    return Finding("FTC765", f"no page can be made: {message}", place=str(target), help=(help_,))


def _unreadable(run: Path, error: Exception) -> Finding:
    if isinstance(error, FileNotFoundError) and not (run / "eval.json").is_file():
        help_ = "finish it: `ftc build` goes on where it stopped"
        return Finding(
            "FTC765", "no page can be made: the run is not whole yet", place=str(run), help=(help_,)
        )
    reason = (
        (error.strerror or str(error)).lower()
        if isinstance(error, OSError)
        else "a file of it cannot be read"
    )
    help_ = "`ftc verify` says which files of a run are not as they were built"
    return Finding("FTC765", f"no page can be made: {reason}", place=str(run), help=(help_,))


def show(page: Path) -> tuple[Finding, ...]:
    """Open a page in the user's browser; a warning where there is none."""
    import webbrowser

    if webbrowser.open(page.resolve().as_uri()):
        return ()
    return (
        Finding(
            "FTC767",
            "no browser could be opened",
            place=str(page),
            help=("open the file yourself: it needs nothing but itself",),
            severity=Severity.WARNING,
        ),
    )
