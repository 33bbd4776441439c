"""`ftc import`: another tool's configuration as a recipe, and what it could not carry over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftc.cli.options import DEFAULT_RECIPE, Style, epilog, json_option, style_option, terminal_options
from ftc.cli.status import FINE, RECIPE_WRONG
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.importing.work import Imported

TOOLS = ("axolotl", "llamafactory", "trl")


@click.command(
    "import",
    epilog=epilog(
        "ftc import axolotl.yml",
        "ftc import llama3_lora_sft.yaml -o recipes/sft.toml",
        "ftc import dpo.yaml --from trl --objective dpo",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--from", "peer", type=click.Choice(TOOLS), help="Whose file it is; told by its keys if not given."
)
@click.option(
    "--objective",
    metavar="NAME",
    help="Which of TRL's commands the file is for: sft, dpo, kto, reward, grpo, …",
)
@click.option(
    "--base", metavar="MODEL", help="The base model, in place of the file's or where it names none."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_RECIPE,
    metavar="FILE",
    help=f"The recipe to write; {DEFAULT_RECIPE} by default.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@style_option
@json_option
@terminal_options
def command(  # noqa: PLR0913 - the options, each by its name
    terminal: Terminal,
    file: Path,
    *,
    peer: str | None,
    objective: str | None,
    base: str | None,
    out: Path,
    force: bool,
    style: Style,
    json: bool,
) -> int:
    """Make a recipe of a configuration of axolotl, LLaMA-Factory or TRL.

    Every key of the file is listed: carried over, not needed in ftc, not to be carried over, or unknown to
    the tool. Values that the file leaves to the tool's defaults are written out where ftc has other ones.
    Relative paths begin where this command runs. Nothing but FILE is read, and a dataset_info.json beside it.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "file", "from",
    "objective", "carried", "not_needed", "not_carried", "unknown", "written_out"}]}.
    """
    from ftc.importing.work import Wish, import_file

    wish = Wish(out, peer, _objective(objective, peer), base)
    imported = import_file(file, wish)
    if imported.text is not None:
        _write(imported.text, out, force=force)
    _answer(terminal, imported, out, style, json=json)
    return FINE if imported.text is not None else RECIPE_WRONG


def _objective(name: str | None, peer: str | None) -> str | None:
    """The objective that the command line names, which TRL's files alone leave open."""
    if name is None:
        return None
    from ftc.importing import load

    commands = load("trl").commands
    if peer not in (None, "trl"):
        raise click.UsageError(f"--objective is for TRL's files; those of {peer} say it themselves")
    if name not in commands:
        raise click.UsageError(f"TRL has no `{name}`; write one of {', '.join(commands)}")
    return name


def _write(text: str, out: Path, *, force: bool) -> None:
    if out.exists() and not force:
        raise click.UsageError(f"{out} is there already; --force replaces it, -o writes another file")
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {out}: {error.strerror}") from error


def _answer(terminal: Terminal, imported: Imported, out: Path, style: Style, *, json: bool) -> None:
    from ftc.cli.findings import document, report_findings, result_json
    from ftc.cli.import_view import import_lines, lists

    if json:
        terminal.document(document("import", [result_json(out, imported.findings, lists(imported))]))
        return
    report_findings(imported.findings, style, terminal, err=imported.text is not None)
    if imported.text is not None and not terminal.quiet:
        terminal.lines(import_lines(imported, out, terminal))
