"""`ftc watch`: the progress of a build that another terminal, or another machine's session, has started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftc.cli.options import DEFAULT_RECIPE, Request, epilog, terminal_options
from ftc.cli.status import FAILED, FINE, GATE_FAILED, RECIPE_WRONG, STOPPED
from ftc.cli.terminal import Terminal, escape

if TYPE_CHECKING:
    from ftc.artifact.following import Ended
    from ftc.artifact.preparing import Preparing
    from ftc.cli.progress import Reporter

ENDED = {"built": FINE, "up to date": FINE, "stopped": STOPPED, "invalid": RECIPE_WRONG}
"""Exit codes of builds by how they ended; any other has failed."""
LOOK = 0.5
"""Seconds between two looks for a build that has not begun."""


@click.command(
    "watch", epilog=epilog("ftc watch", "ftc watch examples/question-routing/recipe.toml", "ftc watch --json")
)
@click.argument("place", default=".", metavar="[RUN|RECIPE]", type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Wait for a build to begin where none is running.")
@click.option("--json", "json", is_flag=True, help="Print one JSON document a line.")
@terminal_options
def command(terminal: Terminal, place: Path, *, wait: bool, json: bool) -> int:
    """Show how a running build goes on, to its end.

    Names a run directory, a recipe, or a directory below which a build is running; of several the one that
    began last. Reads the files of the run and touches nothing: Ctrl-C ends the watching, not the build. The
    exit code is that of the build. Before its run begins, a build is seen by what it notes in the cache.

    --json prints a line of JSON for each note of the data stages ({"event": "data", "phase", "done",
    "total"}), one for the run, one for each event of the build, and one for its end: {"event", ...}.
    """
    if not place.exists():
        raise click.UsageError(f"there is nothing at {place}")
    try:
        found = _running(place)
        while wait and found is None:
            time.sleep(LOOK)
            found = _running(place)
        if found is None:
            terminal.err(_nothing(place))
            return RECIPE_WRONG
        if not isinstance(found, Path):
            begun = _until_run(found, terminal, json=json)
            if isinstance(begun, int):
                return begun
            found = begun
        return _watch(found, terminal, json=json)
    except KeyboardInterrupt:
        terminal.err("No longer watching; the build goes on.")
        return STOPPED


def _running(place: Path) -> Path | Preparing | None:
    """The unfinished run below a place whose build began last, or a build without one; None: no build."""
    from ftc.artifact.preparing import preparing
    from ftc.artifact.run_list import PARTIAL, builder, directories
    from ftc.facts.cache import cache_root

    asked = place
    if place.name == DEFAULT_RECIPE or place.is_file():
        place = place.parent
    partial = place.parent / f"{place.name}{PARTIAL}"
    places = [partial] if place.name and partial.is_dir() else directories(place)
    found = [one for one in places if one.name.endswith(PARTIAL) and builder(one) is not None]
    if found:
        return max(found, key=lambda one: (one / "plan.json").stat().st_mtime)
    return preparing(cache_root(), asked)


def _nothing(place: Path) -> str:
    return f"No build is running below {place}: `ftc runs` lists the runs, --wait waits for a build."


def _until_run(build: Preparing, terminal: Terminal, *, json: bool) -> Path | int:
    """Show the data stages of a build until its run begins; the exit code where it ends before."""
    from json import dumps

    from ftc.artifact.following import TICK

    now: Preparing | None = build
    if not json and not terminal.quiet:
        _out(terminal, f"{terminal.style('preparing', 'strong')}  {escape(build.recipe)}")
    with _reporter(terminal, json=json) as reporter:
        last = None
        while now is not None and not now.status:
            run = now.run()
            if run is not None:
                reporter.close(ok=True)
                return run
            if now.phase and now != last and json:
                told = {"event": "data", "phase": now.phase, "done": now.done, "total": now.total}
                _out(terminal, dumps(told))
            elif now.phase and now != last:
                reporter.data(now.phase, now.done, now.total)
            last = now
            time.sleep(TICK)
            now = now.again()
        status = now.status if now is not None else "gone"
        reporter.close(ok=status in ENDED)
    if json:
        _out(terminal, dumps({"event": "ended", "status": status, "run": None}))
    else:
        said = "has ended, and does not say why" if now is None else f"has ended: {status}"
        _out(terminal, f"The build {said}. {escape(build.recipe)}")
    return ENDED.get(status, FAILED)


def _watch(partial: Path, terminal: Terminal, *, json: bool) -> int:
    from ftc.artifact.following import Ended, follow
    from ftc.runtime.events import encode

    _begin(partial, terminal, json=json)
    with _reporter(terminal, json=json) as reporter:
        for event in follow(partial):
            if isinstance(event, Ended):
                reporter.close(ok=event.status == "done")
                ended = event
            elif json:
                _out(terminal, encode(event))
            else:
                reporter.event(event)
    return _end(ended, partial, terminal, json=json)


def _out(terminal: Terminal, line: str) -> None:
    """Write a line at once, as whoever reads it waits for it."""
    from ftc.cli.terminal import flush

    terminal.out(line)
    flush()


def _begin(partial: Path, terminal: Terminal, *, json: bool) -> None:
    from json import dumps

    from ftc.artifact.run_list import read_run

    run = read_run(partial)
    if json:
        _out(terminal, dumps({"event": "run", "run": str(partial), "name": run.name, "plan": run.digest}))
    elif not terminal.quiet:
        steps = f", {run.steps} steps" if run.steps else ""
        _out(terminal, f"{terminal.style(run.name, 'strong')}  {escape(str(partial))}{steps}")


@contextmanager
def _reporter(terminal: Terminal, *, json: bool) -> Iterator[Reporter]:
    """Bars on a terminal; elsewhere lines, which are what this command was asked for."""
    from ftc.cli.progress import Lines, Silent, open_reporter

    if json or terminal.quiet:
        yield Silent()
    elif terminal.interactive:
        with open_reporter(Request((), (), json, "full", terminal), building=False) as reporter:
            yield reporter
    else:
        yield Lines(terminal, lambda line: _out(terminal, line))


def _end(ended: Ended, partial: Path, terminal: Terminal, *, json: bool) -> int:
    from json import dumps

    from ftc.artifact.run_list import read_run

    run = read_run(ended.run) if ended.run is not None else None
    passed, gates = run.gates if run is not None else (0, 0)
    if json:
        said = {"event": "ended", "status": ended.status, "run": str(ended.run) if ended.run else None}
        _out(terminal, dumps({**said, "gates": {"passed": passed, "of": gates}}))
    elif run is not None:
        held = f", {passed} of {gates} gates hold" if gates else ""
        _out(terminal, f"{terminal.style('built', 'good')}{held}: {escape(str(run.place))}")
    else:
        _out(terminal, _unfinished(ended, partial, terminal))
    if run is not None:
        return FINE if passed == gates else GATE_FAILED
    return STOPPED if ended.status == "stopped" else FAILED


def _unfinished(ended: Ended, partial: Path, terminal: Terminal) -> str:
    if ended.failure is not None:
        why = f"[{ended.failure.code}]: {escape(ended.failure.message)}"
        return f"{terminal.style('failed', 'error')}{why}"
    how = "was stopped" if ended.status == "stopped" else "has ended, and does not say why"
    return f"The build {how}: {escape(str(partial))} waits to be gone on with."
