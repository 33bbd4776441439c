"""docs/reference/commands.md: what each command says of itself with --help."""

from __future__ import annotations

import click

from ftc.cli.main import COMMANDS, ftc

WIDTH = 80
HEAD = """# Commands

What `ftc COMMAND --help` prints.
"""


def commands_page() -> str:
    """The page as Markdown."""
    parts = [HEAD.rstrip(), _block("ftc", ftc, None)]
    outer = _context("ftc", ftc, None)
    for name in COMMANDS:
        command = ftc.get_command(outer, name)
        if command is not None:
            parts += _of(name, command, outer)
    return "\n\n".join(parts) + "\n"


def _of(name: str, command: click.Command, outer: click.Context) -> list[str]:
    """A command, and those below it."""
    parts = [f"## ftc {name}", _block(name, command, outer)]
    if isinstance(command, click.Group):
        inner = _context(name, command, outer)
        for word in command.list_commands(inner):
            below = command.get_command(inner, word)
            if below is not None:
                parts += [f"### ftc {name} {word}", _block(word, below, inner)]
    return parts


def _context(name: str, command: click.Command, parent: click.Context | None) -> click.Context:
    names = ["-h", "--help"]
    return click.Context(
        command,
        parent,
        name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=names,
    )


def _block(name: str, command: click.Command, parent: click.Context | None) -> str:
    text = command.get_help(_context(name, command, parent))
    return "```text\n" + "\n".join(line.rstrip() for line in text.splitlines()) + "\n```"
