"""`ftc explain`: the long form of a diagnostic."""

from __future__ import annotations

from difflib import get_close_matches

import click

from ftc.cli.options import epilog, json_option, terminal_options
from ftc.cli.status import FINE
from ftc.cli.terminal import Terminal


def _code(given: str) -> str:
    """A code as the catalogue writes it, of `ftc204`, `204` or `FTC204`."""
    return f"FTC{given}" if given.isdigit() else given.upper()


def _check_codes(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from ftc.diagnostics.codes import CODES

    codes = tuple(dict.fromkeys(map(_code, given)))
    for code in codes:
        if code not in CODES:
            close = get_close_matches(code, CODES, n=1)
            meant = f"did you mean `{close[0]}`?" if close else "`ftc explain` lists them all"
            raise click.BadParameter(f"there is no code `{code}`; {meant}")
    return codes


@click.command("explain", epilog=epilog("ftc explain FTC204", "ftc explain"))
@click.argument("codes", nargs=-1, metavar="CODE...", callback=_check_codes)
@json_option
@terminal_options
def command(terminal: Terminal, codes: tuple[str, ...], *, json: bool) -> int:
    """Explain diagnostics: what they mean and how to mend it.

    Without a code, lists every code with its sentence.

    --json prints {"ftc", "command", "ok", "results": [{"code", "summary", "text", "ok"}, ...]}; "text", in
    Markdown, is null in the list of all.
    """
    if json:
        _print_json(terminal, codes)
    elif codes:
        terminal.out("\n\n".join(_page(terminal, code) for code in codes))
    else:
        terminal.lines(_listed(terminal))
    return FINE


def _print_json(terminal: Terminal, codes: tuple[str, ...]) -> None:
    from ftc.cli.findings import document
    from ftc.diagnostics.codes import CODES
    from ftc.diagnostics.explain import explanation

    results = [
        {"code": code, "summary": CODES[code], "text": explanation(code) if codes else None, "ok": True}
        for code in codes or CODES
    ]
    terminal.document(document("explain", results))


def _page(terminal: Terminal, code: str) -> str:
    from ftc.diagnostics.explain import explanation

    lines = (explanation(code) or "").strip().split("\n")
    return "\n".join(terminal.style(line, "strong") if line.startswith("#") else line for line in lines)


def _listed(terminal: Terminal) -> list[str]:
    from ftc.cli.layout import wrap
    from ftc.diagnostics.codes import CODES

    lines = []
    for code, summary in CODES.items():
        first, *rest = wrap(summary, terminal.width - len(code) - 2)
        lines.append(f"{terminal.style(code, 'accent')}  {first}")
        lines += [" " * (len(code) + 2) + text for text in rest]
    return lines
