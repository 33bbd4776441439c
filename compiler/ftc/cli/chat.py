"""`ftc chat`: talk to a finished run's model in the terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import epilog, terminal_options
from ftc.cli.status import FINE, exit_code
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.diagnostics import Finding
    from ftc.jobs.opening import OpenRun
    from ftc.jobs.speaking import Prompt, Settings
    from ftc.launch.writer import Writer

HELP = (
    "/clear          forget the conversation",
    "/system TEXT    begin anew with a system message; without text, with none",
    "/exit           leave, as Ctrl-D does; Ctrl-C ends an answer",
)


@click.command(
    "chat",
    epilog=epilog(
        "ftc chat runs/tickets/4f1c9a0e5b7d2c88",
        "echo Where is it? | ftc chat runs/tickets/4f1c9a0e5b7d2c88 --base",
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--base", is_flag=True, help="Talk to the model as it was before training.")
@click.option("--system", metavar="TEXT", help="A system message to begin with.")
@click.option(
    "--max-tokens", "longest", default=512, show_default=True, type=click.IntRange(min=1), metavar="N"
)
@click.option(
    "--temperature", default=0.0, show_default=True, type=click.FloatRange(min=0), help="0: the likeliest."
)
@click.option("--seed", default=0, show_default=True, help="Decides answers that are drawn.")
@terminal_options
def command(terminal: Terminal, run: Path, *, base: bool, system: str | None, **given: Any) -> int:
    """Talk to a run's model, through the chat template it was trained with.

    A model that was trained on plain text is given each line as it stands. What comes from a pipe is read
    line by line, and only the answers are written.
    """
    from ftc.cli.findings import report_findings
    from ftc.diagnostics import Finding
    from ftc.jobs.opening import opened
    from ftc.jobs.speaking import Settings, cannot_write
    from ftc.launch.writer import WriterFailed

    settings = Settings(base=base, **given)
    found = opened(run)
    if isinstance(found, Finding):
        return _failed(found, terminal)
    refused = cannot_write(found)
    if refused is not None:
        return _failed(refused, terminal)
    if system is not None and not found.is_chat:
        raise click.UsageError("the run was trained on plain text, which has no system message")
    place = found.base()
    if isinstance(place, Finding):
        return _failed(place, terminal)
    try:
        _talk(Talk(found, settings, terminal, system), place)
    except WriterFailed as failed:
        report_findings((failed.finding,), "full", terminal)
        return exit_code((failed.finding,))
    return FINE


def _failed(finding: Finding, terminal: Terminal) -> int:
    from ftc.cli.findings import report_findings

    report_findings((finding,), "full", terminal)
    return exit_code((finding,))


class Talk:
    """A conversation: what was said, and what is typed into it."""

    def __init__(self, run: OpenRun, settings: Settings, terminal: Terminal, system: str | None) -> None:
        self.run, self.settings, self.terminal = run, settings, terminal
        self.number, self.messages = 0, list[dict[str, Any]]()
        self.begin(system)

    def begin(self, system: str | None) -> None:
        """Forget what was said."""
        self.system = system
        self.messages = [{"role": "system", "content": system}] if system else []

    def asked(self, line: str) -> Prompt | None:
        """The prompt that a line makes; None where it cannot be one, which is said."""
        from ftc.jobs.speaking import NoPrompt, prompt_of

        said = [*self.messages, {"role": "user", "content": line}]
        try:
            return prompt_of(self.run, {"messages": said} if self.run.is_chat else {"prompt": line})
        except NoPrompt as problem:
            self.terminal.err(f"{problem}; /clear begins anew")
            return None

    def heard(self, line: str, answer: str) -> None:
        """Remember a line and its answer."""
        if self.run.is_chat:
            self.messages += [{"role": "user", "content": line}, {"role": "assistant", "content": answer}]


def _talk(talk: Talk, base: Path) -> None:
    from ftc.launch.writer import open_writer

    terminal, interactive = talk.terminal, sys.stdin.isatty()
    if interactive and not terminal.quiet:
        which = "its base model" if talk.settings.base else talk.run.plan.name
        terminal.err(f"{which}: loading; /help lists the commands")
    with open_writer(talk.run.directory, base, tuned=not talk.settings.base) as writer:
        writer.ready()
        while True:
            line = _line(terminal, interactive=interactive)
            if line is None or line.strip() in ("/exit", "/quit"):
                return
            if line.startswith("/"):
                _command(talk, line)
            elif line.strip():
                _answer(talk, line, writer)


def _line(terminal: Terminal, *, interactive: bool) -> str | None:
    """The next line; at a terminal Ctrl-C takes back what was typed."""
    while True:
        try:
            return terminal.ask("> ")
        except KeyboardInterrupt:
            if not interactive:
                raise
            terminal.out()


def _command(talk: Talk, line: str) -> None:
    name, _, rest = line.strip().partition(" ")
    if name == "/clear":
        talk.begin(talk.system)
    elif name == "/system" and talk.run.is_chat:
        talk.begin(rest.strip() or None)
    else:
        talk.terminal.err("\n".join(HELP))


def _answer(talk: Talk, line: str, writer: Writer) -> None:
    """Write the answer as it is made."""
    from ftc.jobs.speaking import Spelling
    from ftc.launch.writer import Written

    prompt = talk.asked(line)
    if prompt is None:
        return
    spelling, said = Spelling(talk.run), ""
    how, seeds = talk.settings.asked(talk.run, [prompt.ids]), [talk.settings.seed_of(talk.number)]
    talk.number += 1
    with _interrupting(writer.stop):
        writer.ask([prompt.ids], how, seeds, stream=True)
        for piece in writer.answers():
            if isinstance(piece, Written):
                break
            new = spelling(piece)
            said += new
            talk.terminal.part(new)
    talk.terminal.out()
    talk.heard(line, said)


@contextmanager
def _interrupting(stop: Callable[[], None]) -> Iterator[None]:
    """While the block runs, Ctrl-C ends the answer and not the program."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
