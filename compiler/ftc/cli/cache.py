"""`ftc cache`: what is kept between runs, what of it may go, and whether it is still whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

from ftc.cli.options import epilog, json_option, terminal_options
from ftc.cli.status import FAILED, FINE, RECIPE_WRONG
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.facts.cache_care import Collected, Entry

Action = Literal["ls", "gc", "verify", "clear", "path"]
ACTIONS: tuple[Action, ...] = ("ls", "gc", "verify", "clear", "path")
UNUSED = "30d"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
BYTES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def _measure(units: dict[str, int], example: str) -> Callable[..., float | None]:
    def convert(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        read = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", value.strip())
        unit = next((u for u in units if read and u.lower() == read.group(2).lower()), None)
        if read is None or (unit is None and float(read.group(1)) != 0):
            raise click.BadParameter(f"`{value}` is not a number and a unit, such as {example}")
        return float(read.group(1)) * units[unit or next(iter(units))]

    return convert


@click.command(
    "cache",
    epilog=epilog(
        "ftc cache ls",
        "ftc cache gc --older 7d --dry-run    what was not used for a week",
        "ftc cache gc --keep 20GB             the last used, up to a size",
        "ftc cache verify                     read every byte again",
    ),
)
@click.argument("action", type=click.Choice(ACTIONS), default="ls", metavar="[ls|gc|verify|clear|path]")
@click.option(
    "--older",
    metavar="TIME",
    callback=_measure(SECONDS, "30d or 12h"),
    help=f"gc: remove what was not used for so long; {UNUSED} unless --keep is given.",
)
@click.option(
    "--keep",
    metavar="SIZE",
    callback=_measure(BYTES, "20GB"),
    help="gc: remove what was not used for longest, until at most so much is left.",
)
@click.option("-n", "--dry-run", "dry", is_flag=True, help="Remove nothing; say what would go.")
@json_option
@terminal_options
def command(
    terminal: Terminal, action: Action, older: float | None, keep: float | None, *, dry: bool, json: bool
) -> int:
    """Look after what is kept between runs.

    \b
    ls      what is kept: sizes, last use, and which recipes used it
    gc      remove what was not used for long, and what killed processes left
    verify  read every file again and remove the entries that were damaged
    clear   remove everything that no process uses
    path    where it is

    What a running command uses is never removed. Whatever is removed is made again when it is needed.
    `verify` ends with exit code 1 where something was damaged.

    --json prints {"ftc", "command", "ok", "results": [{"ok", "path", ...}]}; ls adds "entries", gc and clear
    "removed", "in_use" and "left_over", verify "damaged" and "entries".
    """  # noqa: D301 - click's mark for lines that are not to be filled
    if action != "gc" and (older is not None or keep is not None):
        raise click.UsageError("--older and --keep belong to `ftc cache gc`")
    if action in ("ls", "path") and dry:
        raise click.UsageError(
            f"`ftc cache {action}` removes nothing; --dry-run belongs to gc, verify and clear"
        )
    from ftc.facts.cache import CacheProblem, cache_root

    try:
        if action == "path":
            return _path(terminal, json=json)
        if action == "ls":
            return _list(terminal, json=json)
        if action == "verify":
            return _verify(terminal, dry=dry, json=json)
        bytes_ = 0 if action == "clear" else None if keep is None else int(keep)
        unused = older if older is not None or bytes_ is not None else 30.0 * SECONDS["d"]
        return _collect(terminal, action, unused, bytes_, dry=dry, json=json)
    except CacheProblem as problem:
        return _failed(terminal, problem.message, problem.help, action, json=json)
    except OSError as error:
        reason = f"the cache at {cache_root()} cannot be read: {error.strerror or error}"
        return _failed(terminal, reason, "make the directory readable and writable", action, json=json)


def _answer(terminal: Terminal, action: str, more: dict[str, Any], *, ok: bool = True) -> None:
    from ftc.cli.findings import document
    from ftc.facts.cache import cache_root

    terminal.document(document(f"cache {action}", [{"ok": ok, "path": str(cache_root()), **more}]))


def _failed(terminal: Terminal, message: str, help_: str, action: str, *, json: bool) -> int:
    from ftc.cli.findings import report_findings
    from ftc.diagnostics import Finding
    from ftc.diagnostics.json import to_json

    finding = Finding("FTC708", message, help=(help_,))
    if json:
        _answer(terminal, action, {"findings": [to_json(finding)]}, ok=False)
    else:
        report_findings((finding,), "full", terminal)
    return FAILED


def _entry_json(entry: Entry) -> dict[str, Any]:
    from ftc.cli.cache_view import instant

    return {
        "kind": entry.kind,
        "key": entry.key,
        "path": str(entry.path),
        "bytes": entry.bytes,
        "made": instant(entry.made),
        "used": instant(entry.used),
        "recipes": list(entry.users),
    }


def _path(terminal: Terminal, *, json: bool) -> int:
    from ftc.facts.cache import cache_root

    if json:
        _answer(terminal, "path", {})
    else:
        terminal.out(str(cache_root()))
    return FINE


def _list(terminal: Terminal, *, json: bool) -> int:
    from ftc.cli.cache_view import list_lines
    from ftc.facts.cache import cache_root
    from ftc.facts.cache_care import entries

    root = cache_root()
    found = list(entries(root))
    if json:
        _answer(terminal, "ls", {"entries": [_entry_json(entry) for entry in found]})
    else:
        terminal.lines(list_lines(root, found, terminal))
    return FINE


def _collect(
    terminal: Terminal, action: str, older: float | None, keep: int | None, *, dry: bool, json: bool
) -> int:
    from ftc.cli.cache_view import collected_lines
    from ftc.facts.cache import Cache
    from ftc.facts.cache_care import collect

    with Cache() as cache:
        done: Collected = collect(cache, older=older, keep=keep, dry=dry)
    if json:
        more = {
            "dry_run": dry,
            "removed": [_entry_json(entry) for entry in done.removed],
            "in_use": [_entry_json(entry) for entry in done.in_use],
            "left_over": [str(path) for path in done.left_over],
        }
        _answer(terminal, action, more)
    elif not terminal.quiet:
        terminal.lines(collected_lines(done, terminal, dry=dry))
    return FINE


def _verify(terminal: Terminal, *, dry: bool, json: bool) -> int:
    from ftc.cli.cache_view import verified_lines
    from ftc.facts.cache import Cache
    from ftc.facts.cache_care import verify

    seen: list[Entry] = []
    with Cache() as cache:
        damaged = verify(cache, dry=dry, looked_at=seen.append)
    if json:
        listed = [{"kind": one.kind, "key": one.key, "reason": one.reason} for one in damaged]
        _answer(terminal, "verify", {"dry_run": dry, "damaged": listed, "entries": len(seen)}, ok=not damaged)
    elif damaged or not terminal.quiet:
        terminal.lines(verified_lines(seen, damaged, terminal, dry=dry))
    return RECIPE_WRONG if damaged else FINE
