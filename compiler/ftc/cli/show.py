"""`ftc show`: examples as the model will see them, the trained tokens marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.api import ExamplesResult, ShownExample


@click.command("show", epilog=epilog("ftc show recipe.toml", "ftc show recipe.toml --eval --rows 1"))
@click.option(
    "--rows", type=click.IntRange(1), default=3, metavar="N", help="How many examples; 3 by default."
)
@click.option("--eval", "held_out", is_flag=True, help="Show held-out rows instead of training rows.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Show the row of this id; may be repeated.")
@click.option("--full", is_flag=True, help="Show long stretches without loss in full.")
@recipe_options
def command(request: Request, *, rows: int, held_out: bool, ids: tuple[str, ...], full: bool) -> int:
    """Show examples as the model will see them.

    Every token is there, control tokens too; those that carry loss are coloured or, without colour, stand
    in ⟦brackets⟧. A line end in the text is shown as ⏎.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "examples": [{"id",
    "part", "length", "trained", "tokens": [[text, trained], ...]}, ...]}, ...]}, one result a recipe.
    """
    from ftc import api
    from ftc.cli.findings import document, report_findings
    from ftc.cli.progress import data_progress

    results = []
    for recipe in request.recipes:
        with data_progress(request) as progress:
            result = api.examples(
                recipe,
                set=request.overrides,
                rows=rows,
                part="eval" if held_out else "train",
                ids=ids,
                progress=progress,
            )
        results.append(result)
        if not request.json:
            report_findings(result.findings, request.style, request.terminal)
            _print(result, request, full=full)
    if request.json:
        request.terminal.document(document("show", [_json(result) for result in results]))
    return max((exit_code(result.findings) for result in results), default=FINE)


def _print(result: ExamplesResult, request: Request, *, full: bool) -> None:
    from ftc.cli.example_view import example_lines, legend

    if len(request.recipes) > 1:
        request.terminal.lines([request.terminal.style(str(result.path), "accent"), ""])
    for example in result.examples:
        request.terminal.lines([*example_lines(example, request.terminal, full=full), ""])
    if result.examples and not request.terminal.quiet:
        request.terminal.out(legend(request.terminal))


def _example_json(example: ShownExample) -> dict[str, Any]:
    return {
        "id": example.id,
        "part": example.part,
        "length": example.length,
        "trained": example.trained,
        "tokens": [[text, trained] for text, trained in example.tokens],
    }


def _json(result: ExamplesResult) -> dict[str, Any]:
    from ftc.cli.findings import result_json

    more = {"examples": [_example_json(example) for example in result.examples]}
    return result_json(result.path, result.findings, more)
