"""`ftc lock`: write down every input by its digest, or move some of them on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.artifact.lock_reading import Difference
    from ftc.jobs.results import LockResult


@click.command(
    "lock",
    epilog=epilog(
        "ftc lock recipe.toml",
        "ftc lock recipe.toml --update model              the newest commit",
        "ftc lock recipe.toml --update sources.tickets    its rows as they are now",
    ),
)
@click.option(
    "--update",
    multiple=True,
    metavar="INPUT",
    help="Move this input alone: model, packages, sources.NAME, …, or all; may be repeated.",
)
@recipe_options
def command(request: Request, update: tuple[str, ...]) -> int:
    """Write recipe.lock beside the recipe: every input by its digest.

    The files of the model and of each source and suite, the number of rows, the SQL, the chat template and
    the versions of packages. Small and sorted, for review: commit it. Reads and compiles the rows, and trains
    nothing.

    Models and data sets of the hub stay at the commits that the lock has, for `ftc plan` and `ftc build` too.
    With --update an input is looked up anew and moved, and all others stay as the lock has them.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "lock", "written",
    "moved", "left", "inputs"}, ...]}, one result a recipe.
    """
    from ftc import api
    from ftc.cli.findings import document, report_findings
    from ftc.cli.progress import data_progress

    if request.overrides:
        raise click.UsageError("a lock is of the recipe as it is written; --set does not go with it")
    results = []
    for recipe in request.recipes:
        with data_progress(request) as progress:
            results.append(api.lock(recipe, update=update, progress=progress))
        if not request.json:
            report_findings(results[-1].findings, request.style, request.terminal)
            _print(results[-1], request)
    if request.json:
        request.terminal.document(document("lock", [_json(result) for result in results]))
    return max((exit_code(result.findings) for result in results), default=FINE)


def _print(result: LockResult, request: Request) -> None:
    if not result.ok or request.terminal.quiet:
        return
    done = [f"wrote {path}" for path in result.written]
    lines = done if result.lock in result.written else [*done, f"{result.lock} is up to date"]
    lines += _listed("moved", result.moved)
    lines += _listed("left as the lock has it", result.left)
    request.terminal.lines(lines)


def _listed(title: str, found: Iterable[Difference]) -> list[str]:
    return [f"  {title}: {one.sentence}" for one in found]


def _json(result: LockResult) -> dict[str, Any]:
    from ftc.cli.findings import result_json

    def told(found: Iterable[Difference]) -> list[dict[str, Any]]:
        return [{"input": one.input, "said": list(one.said)} for one in found]

    def names(paths: Iterable[Path]) -> list[str]:
        return [str(path) for path in paths]

    more = {
        "lock": str(result.lock),
        "written": names(result.written),
        "moved": told(result.moved),
        "left": told(result.left),
        "inputs": list(result.inputs),
    }
    return result_json(result.path, result.findings, more)
