"""`ftc schema`: the JSON Schema of the recipe language, for editors, and the reference as Markdown."""

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
@click.option(
    "--markdown",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the reference of the language, the diagnostics and the commands as Markdown pages.",
)
@json_option
@terminal_options
def command(terminal: Terminal, out: Path | None, markdown: Path | None, *, json: bool) -> int:
    """Print the JSON Schema of the recipe language.

    Editors with a TOML language server (taplo, tombi, Even Better TOML) complete and check a recipe whose
    first line names the schema:

    \b
      #:schema ./recipe.schema.json

    The schema is JSON in any case; --json changes only what --out and --markdown answer: {"ftc", "command",
    "ok", "results": [{"file", "ok"}]}.
    """  # noqa: D301 - click's mark for lines that are not to be filled
    if markdown is not None:
        return _reference(terminal, markdown, json=json)
    text = schema_text()
    if out is None:
        terminal.out(text)
        return FINE
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        return _unwritten(terminal, out, error)
    _written(terminal, out, json=json)
    return FINE


def _unwritten(terminal: Terminal, place: Path, error: OSError) -> int:
    said = f"cannot write {place}: {error.strerror}"
    terminal.err(f"{terminal.style('error', 'error', err=True)}: {said}")
    return FAILED


def _reference(terminal: Terminal, directory: Path, *, json: bool) -> int:
    """Write the pages of the reference, and say which."""
    from ftc.reference import write

    try:
        written = write(directory)
    except OSError as error:
        return _unwritten(terminal, directory, error)
    if json:
        from ftc.cli.findings import document

        terminal.document(document("schema", [{"file": str(file), "ok": True} for file in written]))
    elif not terminal.quiet:
        terminal.lines(f"Wrote {file}" for file in written)
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
