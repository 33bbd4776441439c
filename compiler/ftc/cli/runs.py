"""`ftc runs`: every run below a directory, with what it measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import epilog, json_option, terminal_options
from ftc.cli.status import FINE
from ftc.cli.terminal import Terminal, escape

if TYPE_CHECKING:
    from ftc.artifact.run_list import Run

KEYS = ("name", "ended", "metric", "size", "steps")
FIRST = ("label_accuracy", "exact_match", "choice_accuracy", "accuracy", "f1", "loss")
"""Metrics by which a run is known in one line, the first that was measured; otherwise its first one."""
NAME = 14
"""Columns of a metric's name."""


@click.command("runs", epilog=epilog("ftc runs", "ftc runs examples --sort metric", "ftc runs --json"))
@click.argument("places", nargs=-1, metavar="PLACE...", type=click.Path(path_type=Path))
@click.option("--sort", "key", type=click.Choice(KEYS), default="name", help="What orders the runs.")
@click.option("--metric", metavar="NAME", help="The metric to show, as METRIC or SUITE.METRIC.")
@json_option
@terminal_options
def command(terminal: Terminal, places: tuple[Path, ...], key: str, metric: str | None, *, json: bool) -> int:
    """List the runs below a directory: whole ones, running ones, and those that were stopped.

    PLACE is a directory, a recipe, or a run; the directory that you are in unless given. Each run is
    shown with a metric of its held-out rows before and after training, its gates, what it takes on the
    disk and when it ended. Nothing is checked: `ftc verify` does that.

    --json prints {"ftc", "command", "ok", "results": [{"run", "ok", "name", "plan", "state", "objective",
    "method", "base", "step", "steps", "bytes", "ended", "seconds", "gates", "suites"}]}.
    """
    from ftc.artifact.run_list import directories, read_run
    from ftc.cli.findings import document

    for place in places:
        if not place.exists():
            raise click.UsageError(f"there is nothing at {place}")
    found = dict.fromkeys(run for place in places or (Path(),) for run in directories(_directory(place)))
    runs = sorted((read_run(run) for run in found), key=lambda run: _order(run, key, metric))
    if json:
        terminal.document(document("runs", [_json(run) for run in runs]))
    elif not runs:
        terminal.err("There are no runs here: `ftc build RECIPE` makes one.")
    else:
        terminal.lines(list(_lines(runs, terminal, metric, grouped=key == "name")))
    return FINE


def _directory(place: Path) -> Path:
    return place if place.is_dir() else place.parent


def _order(run: Run, key: str, metric: str | None) -> tuple[Any, ...]:
    """By name and digest, or by a figure: the latest, best or largest first, those without one last."""
    if key == "name":
        return (run.name, str(run.place.parent), _about(run), run.ended or "~", run.digest)
    if key == "ended":
        return (run.ended is None, _descending(run.ended or ""), run.name)
    if key == "metric":
        shown = _shown(run, metric)
        value = shown["after"]["value"] if shown and shown["after"] else None
        sign = -1 if shown and shown["better"] == "higher" else 1
        return (value is None, sign * (value or 0.0), run.name)
    figure = run.bytes if key == "size" else run.steps
    return (figure is None, -(figure or 0), run.name)


def _descending(text: str) -> tuple[int, ...]:
    return tuple(-ord(one) for one in text)


def _shown(run: Run, metric: str | None) -> dict[str, Any] | None:
    """The metric that stands for a run: the one asked for, or the best known of the first suite."""
    suite, _, name = (metric or "").rpartition(".")
    every = [one for found in run.suites if suite in ("", found["suite"]) for one in found["metrics"]]
    if name:
        return next((one for one in every if one["metric"] == name), None)
    first = run.suites[0]["metrics"] if run.suites else []
    rank = {known: place for place, known in enumerate(FIRST)}
    known = [one for one in first if one["metric"] in rank and one["after"] is not None]
    return min(known, key=lambda one: rank[one["metric"]], default=first[0] if first else None)


def _about(run: Run) -> str:
    base = run.base.rstrip("/").rpartition("/")[2] or run.base
    return ", ".join(part for part in (run.objective, run.method, base) if part)


def _lines(runs: Sequence[Run], terminal: Terminal, metric: str | None, *, grouped: bool) -> Iterator[str]:
    """Runs of one directory under its name, or one after the other where something else orders them."""
    from ftc.cli.layout import table

    if not grouped:
        rows = [(escape(str(run.place)), *_cells(run, terminal, metric)[1:]) for run in runs]
        yield from table(rows, right=(3,))
        return
    for place, ((parent, about), group) in enumerate(
        groupby(runs, key=lambda run: (run.place.parent, _about(run)))
    ):
        if place:
            yield ""
        yield terminal.style(str(parent), "strong") + (f"  {terminal.style(about, 'dim')}" if about else "")
        yield from (
            f"  {line}" for line in table([_cells(run, terminal, metric) for run in group], right=(3,))
        )


def _cells(run: Run, terminal: Terminal, metric: str | None) -> tuple[str, ...]:
    from ftc.cli.layout import size

    passed, gates = run.gates
    held = "" if not gates else f"gates {passed}/{gates}"
    return (
        terminal.style(run.place.name.removesuffix(".partial"), "accent"),
        _figure(run, metric) if run.state in ("whole", "changed") else _progress(run, terminal),
        terminal.style(held, "good" if passed == gates else "error"),
        "" if run.bytes is None else size(run.bytes),
        _when(run),
    )


def _figure(run: Run, metric: str | None) -> str:
    from ftc.cli.layout import clip

    shown = _shown(run, metric)
    if shown is None:
        return "changed since it was built" if run.state == "changed" else "nothing measured"
    before, after = (_value(shown[when]) for when in ("before", "after"))
    return f"{escape(clip(shown['metric'].replace('_', ' '), NAME))} {before} → {after}"


def _value(figure: dict[str, Any] | None) -> str:
    return "n/a" if figure is None or figure["value"] is None else f"{figure['value']:.3f}"


def _progress(run: Run, terminal: Terminal) -> str:
    if run.state == "damaged":
        return terminal.style("cannot be read", "error")
    reached = f"step {run.step or 0} of {run.steps}" if run.steps else "not begun"
    return terminal.style(f"{'running' if run.state == 'running' else 'stopped'}, {reached}", "warning")


def _when(run: Run) -> str:
    """The day on which it ended, in this machine's time."""
    from datetime import datetime

    if run.ended is None:
        return ""
    try:
        return datetime.fromisoformat(run.ended).astimezone().strftime("%Y-%m-%d")
    except ValueError:
        return ""


def _json(run: Run) -> dict[str, Any]:
    passed, gates = run.gates
    return {
        "run": str(run.place),
        "ok": run.state != "damaged",
        "name": run.name,
        "plan": run.digest,
        "state": run.state,
        "objective": run.objective,
        "method": run.method,
        "base": run.base,
        "step": run.step,
        "steps": run.steps,
        "bytes": run.bytes,
        "ended": run.ended,
        "seconds": run.seconds,
        "gates": {"passed": passed, "of": gates},
        "suites": list(run.suites),
    }
