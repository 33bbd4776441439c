"""The command `ftc`: a table of subcommands loaded on first use, and the outermost frame."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

import click

from ftc import __version__
from ftc.cli import status
from ftc.cli.options import epilog
from ftc.cli.terminal import Closed, Terminal, abandon, flush

COMMANDS: dict[str, str] = {
    "init": "ftc.cli.init",
    "import": "ftc.cli.import_config",
    "check": "ftc.cli.check",
    "plan": "ftc.cli.plan",
    "diff": "ftc.cli.diff",
    "show": "ftc.cli.show",
    "lock": "ftc.cli.lock",
    "build": "ftc.cli.build",
    "verify": "ftc.cli.verify",
    "sign": "ftc.cli.sign",
    "eval": "ftc.cli.eval",
    "baseline": "ftc.cli.baseline",
    "compare": "ftc.cli.compare",
    "report": "ftc.cli.report",
    "sweep": "ftc.cli.sweep",
    "runs": "ftc.cli.runs",
    "watch": "ftc.cli.watch",
    "chat": "ftc.cli.chat",
    "generate": "ftc.cli.generate",
    "export": "ftc.cli.export",
    "calibrate": "ftc.cli.calibrate",
    "cache": "ftc.cli.cache",
    "explain": "ftc.cli.explain",
    "schema": "ftc.cli.schema",
}
"""Subcommands in the order of use; each module holds a click command called `command`."""


class Commands(click.Group):
    """A group whose members are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(COMMANDS[cmd_name]).command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; raises UsageError with a suggestion if there is none."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(_no_such_command(name), ctx)
        return super().resolve_command(ctx, args)


def _no_such_command(name: str) -> str:
    if name.endswith(".toml"):
        return f"`{name}` is not a command; did you mean `ftc build {name}`?"
    close = get_close_matches(name.lower(), COMMANDS, n=1, cutoff=0.5)
    meant = f"; did you mean `ftc {close[0]}`?" if close else f"; the commands are {', '.join(COMMANDS)}"
    return f"there is no command `{name}`{meant}"


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=epilog(
        "ftc init data/tickets.parquet    writes recipe.toml",
        "ftc plan recipe.toml             what would happen, and why",
        "ftc build recipe.toml            makes the model, measured before and after",
    ),
)
@click.version_option(__version__, "-V", "--version", prog_name="ftc", message="%(prog)s %(version)s")
@click.pass_context
def ftc(context: click.Context) -> int:
    """Compile a recipe and its data to a fine-tuned model.

    A recipe is one TOML file: the base model, the data, the SQL that makes examples of it, and how to train.
    """
    if context.invoked_subcommand is None:
        Terminal.open().out(context.get_help())
    return status.FINE


def _usage(error: click.ClickException) -> int:
    terminal = Terminal.open()
    message = error.format_message().rstrip(".")
    lines = [f"{terminal.style('error', 'error', err=True)}: {message}"]
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        lines += ["", context.get_usage(), f"Try `{context.command_path} --help`."]
    terminal.err("\n".join(lines))
    return status.USAGE


def _answer(arguments: Sequence[str], message: str) -> None:
    """Print the document that --json promises where no command came so far."""
    if "--json" in arguments:
        from ftc.cli.findings import document

        command = arguments[0] if arguments[0] in COMMANDS else ""
        Terminal.open().document(document(command, (), error=message))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; an unforeseen failure is reported, not raised."""
    try:
        code = ftc.main(list(arguments), prog_name="ftc", standalone_mode=False)
        flush()
    except click.ClickException as error:
        _answer(arguments, error.format_message())
        return _usage(error)
    except (click.Abort, KeyboardInterrupt):
        _answer(arguments, "stopped")
        Terminal.open().err("Stopped.")
        return status.STOPPED
    except Closed:
        abandon()
        return status.CLOSED
    except Exception as error:  # noqa: BLE001 - the outermost frame
        from ftc.cli.crash import message, report

        _answer(arguments, message(error))
        report(error, Terminal.open(), arguments)
        return status.FAILED
    return code if isinstance(code, int) else status.FINE


def main() -> NoReturn:
    """Entry point of the `ftc` script and of `python -m ftc`."""
    code = run(sys.argv[1:])
    if code == status.STOPPED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break the way out
    if code == status.CLOSED:
        os._exit(code)
    sys.exit(code)
