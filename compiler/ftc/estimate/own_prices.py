"""A user's own prices for all recipes: a TOML file, named by FTC_PRICES, of US dollars an hour by GPU."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding
from ftc.estimate import catalogue
from ftc.estimate.requested import unknown_gpu

VARIABLE = "FTC_PRICES"


@dataclass(frozen=True, slots=True)
class SharedPrices:
    """US dollars for an hour of one GPU, by its name in the catalogue, and what is wrong with the file."""

    prices: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def shared_prices() -> SharedPrices:
    """The prices of the file that FTC_PRICES names; none where it is not set.

    The file has lines such as `L4 = 0.65`. A line with a mistake is a finding (FTC854) and left out.
    """
    stated = os.environ.get(VARIABLE, "")
    if not stated:
        return SharedPrices()
    path = Path(stated).expanduser()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return SharedPrices(
            findings=(_finding(path, f"{VARIABLE} names a file that cannot be read: {reason}"),)
        )
    mistakes = dict(_mistakes(table, path))
    good = {name: float(price) for name, price in table.items() if name not in mistakes}
    return SharedPrices(good, tuple(mistakes.values()))


def _mistakes(table: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Finding]]:
    owners: dict[str, str] = {}
    for name, price in table.items():
        device = catalogue.find(name)
        if device is None:
            message = f"the file of {VARIABLE} has a price for `{name}`, which is no GPU that ftc knows"
            yield name, replace(unknown_gpu("FTC854", message, name), place=str(path))
        elif isinstance(price, bool) or not isinstance(price, (int, float)) or not 0 < price < float("inf"):
            message = f"the price of `{name}` in the file of {VARIABLE} is not a number above zero"
            yield name, _finding(path, message)
        elif owners.setdefault(device.name, name) != name:
            message = f"`{name}` and `{owners[device.name]}` are both names of {device.name}"
            yield name, _finding(path, message)


def _finding(path: Path, message: str) -> Finding:
    help_line = f"write lines such as `L4 = 0.65` (US dollars an hour) into it, or unset {VARIABLE}"
    return Finding("FTC854", message, place=str(path), help=(help_line,))
