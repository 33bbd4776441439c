"""`ftc schema`: the JSON Schema of the recipe language, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from ftc.cli.options import epilog, json_option, terminal_options
from ftc.cli.status import FAILED, FINE
from ftc.cli.terminal import Terminal


@click.command(
    "schema", epilog=epilog("ftc schema --out recipe.schema.json", "ftc schema > recipe.schema.json")
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the schema to a file and say how a recipe names it.",
)
@json_option
@terminal_options
def command(terminal: Terminal, out: Path | None, *, json: bool) -> int:
    """Print the JSON Schema of the recipe language.

    Editors with a TOML language server (taplo, tombi, Even Better TOML) complete and check a recipe whose
    first line names the schema:

    \b
      #:schema ./recipe.schema.json

    The schema is JSON in any case; --json changes only what --out answers: {"ftc", "command", "ok",
    "results": [{"file", "ok"}]}.
    """  # noqa: D301 - click's mark for lines that are not to be filled
    text = schema_text()
    if out is None:
        terminal.out(text)
        return FINE
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        terminal.err(f"{terminal.style('error', 'error', err=True)}: cannot write {out}: {error.strerror}")
        return FAILED
    _written(terminal, out, json=json)
    return FINE


def schema_text() -> str:
    """The schema as JSON text, without a line end."""
    from json import dumps

    from ftc.recipe.schema import recipe_schema

    return dumps(recipe_schema(), indent=2)


def _written(terminal: Terminal, out: Path, *, json: bool) -> None:
    from ftc.cli.findings import document
    from ftc.recipe.schema import schema_directive

    if json:
        terminal.document(document("schema", [{"file": str(out), "ok": True}]))
    elif not terminal.quiet:
        terminal.out(
            f"Wrote {terminal.style(str(out), 'strong')}. Put this line first in a recipe beside it:"
        )
        terminal.out(f"  {schema_directive(out.name)}")
