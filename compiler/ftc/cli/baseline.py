"""`ftc baseline`: would a prompt have done? The base model with examples, next to the tuned one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.diagnostics import Finding


@click.command("baseline", epilog=epilog("ftc baseline recipe.toml"))
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where run directories are; `runs` beside the recipe by default.",
)
@recipe_options
def command(request: Request, runs: Path | None) -> int:
    """Say whether fine-tuning was worth it: the recipe's suites by other ways of asking the base model.

    Measures each suite on the base model with the plain prompt, with training examples before it (the same
    ones for all rows, chosen by hash), and with those that are most like the row (BM25 over the training
    prompts, in DuckDB), next to the model that `ftc build` has made, with the tokens that each takes. What
    comes of it lies beside the run, in RUN.evals.

    --json prints what `ftc eval` prints.
    """
    from ftc.cli.eval import code_of, json_of, measured
    from ftc.cli.findings import document, report_findings
    from ftc.jobs.evaluating import EvalResult, built_run

    results: list[EvalResult] = []
    for recipe in request.recipes:
        run = built_run(recipe, request.overrides, runs)
        if isinstance(run, Path):
            results.append(measured(run, str(recipe), request, baselines=True))
            continue
        findings: tuple[Finding, ...] = run
        results.append(EvalResult(recipe, findings))
        if not request.json:
            report_findings(findings, request.style, request.terminal)
    if request.json:
        request.terminal.document(document("baseline", [json_of(result) for result in results]))
    codes = [code_of(one) if one.ok else exit_code(one.findings) for one in results]
    return max(codes, default=FINE)
