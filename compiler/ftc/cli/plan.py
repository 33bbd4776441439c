"""`ftc plan`: what a build would do, and why."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.api import PlanResult


def _pass_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    from ftc.plan.pipeline import NAMES

    if value is None or value in NAMES:
        return value
    close = get_close_matches(value, NAMES, n=1)
    meant = f"did you mean `{close[0]}`?" if close else f"the passes are {', '.join(NAMES)}"
    raise click.BadParameter(f"there is no pass `{value}`; {meant}")


def gpu_names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """The names of GPUs between commas, each of which the catalogue has; `all` stands for every one."""
    from ftc.estimate.catalogue import find
    from ftc.estimate.requested import unknown_gpu
    from ftc.forecasting.forecaster import ALL

    names = tuple(name.strip() for name in (value or "").split(",") if name.strip())
    for name in names:
        if name != ALL and find(name) is None:
            found = unknown_gpu("FTC851", f"`{name}` is no GPU that ftc knows", name)
            raise click.BadParameter("; ".join((found.message, *found.help, *found.notes)))
    return names


@click.command("plan", epilog=epilog("ftc plan recipe.toml", "ftc plan recipe.toml --after render"))
@click.option(
    "--after", metavar="PASS", callback=_pass_name, help="Print the plan after this pass, as canonical JSON."
)
@click.option(
    "--self-test", is_flag=True, help="Run the queries with one thread and with several, and compare."
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Compile N rows only, and estimate the counts of all: for data too big to compile at plan time.",
)
@click.option(
    "--gpu",
    "gpus",
    metavar="A,B",
    callback=gpu_names,
    help="Forecast the build on these GPUs, or on `all` of them, instead of the cheapest that fit.",
)
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the runs of the recipes that these build on are looked for; beside each by default.",
)
@click.option(
    "--exact", is_flag=True, help="Run the training step abstractly too, as the installed packages would."
)
@click.option(
    "--locked", is_flag=True, help="Refuse inputs that are not as recipe.lock beside the recipe has them."
)
@recipe_options
def command(  # noqa: PLR0913 - one for each option
    request: Request,
    after: str | None,
    *,
    self_test: bool,
    sample: int | None,
    gpus: tuple[str, ...],
    runs: Path | None,
    exact: bool,
    locked: bool,
) -> int:
    """Show what a build would do, and why.

    Reads and compiles the data and prints the account of every row, the tokens, the training schedule and
    each value that the compiler chose, with its reason. Loads no weights. The compiled data is kept and used
    by `ftc build`. Where there are errors, --verbose shows the plan as far as it goes.

    With --sample the sources are still read and the query is run, both once; then N rows are compiled
    instead of all. Counts that follow from those carry their error of sampling, and the plan has no digest.

    Memory, time and cost are forecast for the device of the plan, and for GPUs that can be rented. With
    --exact the training step is run without values by the installed torch, transformers, PEFT and TRL, on
    any machine, in some seconds; the result is kept.

    Of a recipe that builds on another one the whole chain is shown: which runs are there, which are stale or
    not built yet and why, and what building them takes together.

    Several recipes are compared in a table at the end, one column a recipe.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "digest", "data",
    "plan", "lints", "sample", "forecast", "chain"}, ...]}, one result a recipe; for several also
    "comparison": {"recipes", "figures", "settings"}.
    """
    from ftc import api
    from ftc.cli.findings import document, report_findings
    from ftc.cli.progress import data_progress

    if sample is not None and after is not None:
        raise click.UsageError("--after prints the plan that is built; --sample has none")
    if locked and after is not None:
        raise click.UsageError("--locked is about the whole plan, and --after stops before its end")
    results = []
    for recipe in request.recipes:
        with data_progress(request) as progress:
            result = api.plan(
                recipe,
                set=request.overrides,
                after=after,
                self_test=self_test,
                sample=sample,
                gpus=gpus,
                exact=exact,
                runs=runs,
                locked=locked,
                progress=progress,
            )
        results.append(result)
        if not request.json:
            report_findings(result.findings, request.style, request.terminal)
            _print(result, request, after)
    if request.json:
        both = _side_by_side(results) if len(results) > 1 else {}
        request.terminal.document({**document("plan", [_json(result) for result in results]), **both})
    elif after is None and len(results) > 1:
        _print_side_by_side(results, request)
    return max((exit_code(result.findings) for result in results), default=FINE)


def _print(result: PlanResult, request: Request, after: str | None) -> None:
    from ftc.cli.plan_view import plan_screen
    from ftc.plan.canonical import canonical_bytes

    if result.plan is None or not (result.ok or request.terminal.verbose):
        return
    if after is not None:
        request.terminal.out(canonical_bytes(result.plan).decode().rstrip("\n"))
        return
    request.terminal.lines([*plan_screen(result, result.plan, request.terminal), ""])


def _side_by_side(results: Sequence[PlanResult]) -> dict[str, Any]:
    """What --json adds for several recipes."""
    from ftc.cli.side_by_side_view import compared, side_by_side_json

    found = compared(results)
    if found is None:
        return {}
    return {"comparison": side_by_side_json([str(result.path) for result in found[0]], found[1])}


def _print_side_by_side(results: Sequence[PlanResult], request: Request) -> None:
    from ftc.cli.sample_view import ABOUT
    from ftc.cli.side_by_side_view import compared, side_by_side_lines

    found = compared(results)
    if found is not None:
        titles = [f"{ABOUT if result.sampling else ''}{result.path}" for result in found[0]]
        request.terminal.lines([*side_by_side_lines(titles, found[1], request.terminal), ""])


def _json(result: PlanResult) -> dict[str, Any]:
    from ftc.cli.chain_view import chain_json
    from ftc.cli.findings import result_json
    from ftc.cli.forecast_view import forecasts_json
    from ftc.cli.length_view import lengths_json
    from ftc.cli.lint_view import lints_json
    from ftc.cli.packing_view import packing_json
    from ftc.cli.sample_view import sample_json

    plan = None if result.plan is None else result.plan.model_dump(mode="json")
    data: Path | None = result.data
    lints = None if result.lints is None else lints_json(result.lints)
    where = None if data is None else str(data)
    sequences = result.plan.data.sequences if result.plan and result.plan.data else None
    packing = packing_json(sequences)
    more = {
        "digest": result.digest,
        "data": where,
        "plan": plan,
        "lints": lints,
        "packing": packing,
        "lengths": lengths_json(result.lengths),
        "sample": sample_json(result.sampling),
        "forecast": forecasts_json(result.forecasts),
        "chain": chain_json(result.chain),
    }
    return result_json(result.path, result.findings, more)
