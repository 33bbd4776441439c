"""What is left to say when ftc itself fails: a short message, and a file with the details."""

from __future__ import annotations

import os
import platform
import shlex
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from ftc import __version__
from ftc.cli.terminal import Terminal
from ftc.diagnostics.secrets import scrubbed

SHOW = "FTC_TRACEBACK"
"""Environment variable that puts the traceback on the terminal."""


def _details(error: BaseException, arguments: Sequence[str]) -> str:
    lines = [
        f"ftc {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"$ ftc {shlex.join(arguments)}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    return scrubbed("\n".join(lines))


def _save(text: str) -> Path | None:
    try:
        handle, name = tempfile.mkstemp(prefix="ftc-failure-", suffix=".txt", text=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return None
    return Path(name)


def message(error: BaseException) -> str:
    """A failure of ftc in a line."""
    what = str(error).strip().partition("\n")[0]
    return scrubbed(f"ftc itself failed: {type(error).__name__}{': ' if what else ''}{what}")


def report(error: BaseException, terminal: Terminal, arguments: Sequence[str]) -> None:
    """Say that ftc failed and where the traceback is; it is the program's fault, not the recipe's."""
    details = _details(error, arguments)
    if os.environ.get(SHOW):
        terminal.err(details)
    saved = _save(details)
    lines = [f"{terminal.style('error[FTC901]', 'error', err=True)}: {message(error)}"]
    if saved is None:
        lines.append(f"  help: run it again with {SHOW}=1 to see where")
    else:
        lines += [
            f"  traceback: {saved}",
            "  help: this is a mistake in ftc; please report it with that file",
        ]
    terminal.err("\n".join(lines))
