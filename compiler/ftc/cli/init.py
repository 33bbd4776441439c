"""`ftc init`: look at a data file and write a first recipe for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import DEFAULT_RECIPE, epilog, json_option, terminal_options
from ftc.cli.status import FINE, RECIPE_WRONG
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.diagnostics import Finding
    from ftc.recipe.starter import Guess, Origin

SCHEMA_FILE = "recipe.schema.json"


@dataclass(frozen=True)
class Looked:
    """A data file: where it is from the recipe, its columns and types, and what they seem to be."""

    origin: Origin
    columns: Mapping[str, str]
    guess: Guess


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    out: Path
    base: str | None
    schema: bool
    force: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """The files to write: the recipe, and the schema if wanted."""
        return (self.out, self.out.parent / SCHEMA_FILE) if self.schema else (self.out,)


@click.command(
    "init", epilog=epilog("ftc init data/tickets.parquet", "ftc init faq.csv -o faq.toml --base ./model")
)
@click.argument("datafile", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_RECIPE,
    metavar="FILE",
    help=f"The recipe to write; {DEFAULT_RECIPE} by default.",
)
@click.option("--base", metavar="MODEL", help="The base model: hub id, local directory or .gguf file.")
@click.option("--schema", is_flag=True, help=f"Write {SCHEMA_FILE} beside it, for completion in editors.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
@terminal_options
def command(terminal: Terminal, datafile: Path, *, json: bool, **options: Any) -> int:
    """Look at a data file and write a first recipe for it.

    Takes Parquet, JSONL, JSON, CSV, Arrow and SQLite files, texts, and directories of those or of a saved
    data set. Guesses from the columns what can be trained: conversations, prompts and answers under their
    usual names, or plain text. The recipe passes `ftc check`; read it before you build.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "data", "columns",
    "says", "note"}]}.
    """
    from ftc.diagnostics import Finding

    wish = Wish(**options)
    looked = _look(datafile, wish.out)
    if isinstance(looked, Finding):
        return _refuse(terminal, looked, datafile, wish.out, json=json)
    taken = [file for file in wish.files if file.exists()]
    if taken and not wish.force:
        raise click.UsageError(f"{taken[0]} is there already; --force replaces it, -o writes another file")
    _write(looked, wish)
    if json:
        _answer_json(terminal, looked, datafile, wish.out)
    elif not terminal.quiet:
        _answer(terminal, looked, wish.out)
    return FINE


def _look(datafile: Path, out: Path) -> Looked | Finding:
    """The data file as the recipe at `out` will name it, and a guess at what it holds."""
    from ftc.cli.columns import columns_of
    from ftc.diagnostics import Finding
    from ftc.recipe.starter import Origin, guess

    table = columns_of(datafile)
    if isinstance(table, Finding):
        return table
    columns = table.columns
    found = guess(columns)
    if found is None:
        listed = ", ".join(f"`{name}` {kind}" for name, kind in columns.items())
        return Finding(
            "FTC501",
            f"`{datafile.name}` has no column of text to train on",
            place=str(datafile),
            help=("ftc trains on columns of text (VARCHAR) or on lists of {role, content} messages",),
            notes=(f"its columns are {listed}",),
        )
    path = _relative(datafile, out) + table.inside
    return Looked(Origin(path, _stem(datafile), table.options, table.note), columns, found)


def _stem(datafile: Path) -> str:
    return datafile.name.removesuffix("".join(datafile.suffixes)) or datafile.name


def _from_recipe(base: str, out: Path) -> str:
    """A base model as the recipe at `out` names it: a local one by its path from there."""
    local = Path(base).expanduser()
    return base if not local.exists() or local.is_absolute() else _relative(local, out)


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path.resolve(), out.parent.resolve())).as_posix()


def _declared(named: tuple[str, ...], out: Path) -> str:
    """The table that declares which of the named paths lie outside of the project; empty if none does."""
    from json import dumps

    from ftc.recipe.project import fixed, free, is_inside

    home = out.parent.absolute()
    there = [home / fixed(name) for name in named if "://" not in name and (home / fixed(name)).exists()]
    outside = [place for place in there if not is_inside(place, free(home))]
    if not outside:
        return ""
    places = dict.fromkeys(_relative(place if place.is_dir() else place.parent, out) for place in outside)
    listed = dumps(list(places), ensure_ascii=False)
    return f"\n[project]\nallow = {listed}  # outside of the project\n"


def _write(looked: Looked, wish: Wish) -> None:
    from ftc.cli.schema import schema_text
    from ftc.recipe.starter import DEFAULT_BASE, starter_recipe

    directive = f"./{SCHEMA_FILE}" if wish.schema else None
    base = _from_recipe(wish.base, wish.out) if wish.base else DEFAULT_BASE
    text = starter_recipe(looked.origin, looked.columns, looked.guess, base=base, schema=directive)
    texts = [text + _declared((looked.origin.path, base), wish.out)]
    texts += [schema_text() + "\n"] if wish.schema else []
    for file, text in zip(wish.files, texts, strict=True):
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"cannot write {file}: {error.strerror}") from error


def _refuse(terminal: Terminal, finding: Finding, datafile: Path, out: Path, *, json: bool) -> int:
    from ftc.cli.findings import document, report_findings, result_json

    if json:
        terminal.document(document("init", [result_json(out, (finding,), {"data": str(datafile)})]))
    else:
        report_findings((finding,), "full", terminal)
    return RECIPE_WRONG


def _answer_json(terminal: Terminal, looked: Looked, datafile: Path, out: Path) -> None:
    from ftc.cli.findings import document, result_json

    more = {
        "data": str(datafile),
        "columns": dict(looked.columns),
        "says": looked.guess.says,
        "note": "; ".join(filter(None, (looked.origin.note, looked.guess.note))) or None,
    }
    terminal.document(document("init", [result_json(out, (), more)]))


def _answer(terminal: Terminal, looked: Looked, out: Path) -> None:
    terminal.out(
        f"Wrote {terminal.style(str(out), 'strong')}: {terminal.style(looked.guess.says, 'accent')}."
    )
    for note in filter(None, (looked.origin.note, looked.guess.note)):
        terminal.out(f"{terminal.style('mind', 'warning')}: {terminal.style(note, 'strong')}")
    terminal.out(f"next: ftc plan {out}")
