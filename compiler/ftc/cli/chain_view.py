"""The recipes of a chain: which are built, which are not and why, and what building them takes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ftc.cli.forecast_view import forecast_json, money_span, span
from ftc.cli.layout import table, wrap

if TYPE_CHECKING:
    from ftc.estimate.range import Range
    from ftc.jobs.results import ChainLink

SHORT = 16
UNKNOWN = "not known"


def chain_lines(chain: Sequence[ChainLink], width: int) -> list[str]:
    """A line a recipe in the order of building, why those are not built that are not, and the sum."""
    rows = [("", "", "plan", "time", "cost"), *map(_row, chain)]
    to_build = [link for link in chain if link.state != "built"]
    if len(to_build) > 1:
        rows.append(("together", "", "", *_together(to_build)))
    reasons = [f"{link.name}: {link.reason}" for link in to_build if link.reason]
    said = "" if to_build else "every run is there, so `ftc build` does nothing"
    return [*table(rows, right=(3, 4)), *(part for line in (*reasons, said) for part in wrap(line, width))]


def _row(link: ChainLink) -> tuple[str, ...]:
    digest = (link.digest or "")[:SHORT]
    time, cost = ("", "") if link.state == "built" else (_time(link), _cost(link))
    return link.name, link.state, digest, time, cost


def _time(link: ChainLink) -> str:
    known = link.forecast.duration if link.forecast is not None else None
    return UNKNOWN if known is None else span(known.total)


def _cost(link: ChainLink) -> str:
    if link.forecast is None:
        return UNKNOWN
    if link.forecast.cost is not None:
        return money_span(link.forecast.cost)
    return "" if link.forecast.here else UNKNOWN


def _together(links: Sequence[ChainLink]) -> tuple[str, str]:
    """Time and cost of all, where they are known of each."""
    times, costs = total_time(links), total_cost(links)
    here = all(link.forecast is not None and link.forecast.here for link in links)
    cost = "" if here and costs is None else UNKNOWN if costs is None else money_span(costs)
    return UNKNOWN if times is None else span(times), cost


def total_time(links: Sequence[ChainLink]) -> Range | None:
    """Seconds that building all of them takes; None where one is not known."""
    known = [link.forecast.duration if link.forecast is not None else None for link in links]
    return _total([None if one is None else one.total for one in known])


def total_cost(links: Sequence[ChainLink]) -> Range | None:
    """US dollars for all of them; None where one is not known."""
    return _total([link.forecast.cost if link.forecast is not None else None for link in links])


def _total(parts: Sequence[Range | None]) -> Range | None:
    from ftc.estimate.range import total

    known = [part for part in parts if part is not None]
    return total(known) if known and len(known) == len(parts) else None


def chain_json(chain: Sequence[ChainLink]) -> dict[str, Any] | None:
    """The chain as JSON; ranges, in seconds and dollars, are [low, likely, high] over what is not built."""
    if not chain:
        return None
    to_build = [link for link in chain if link.state != "built"]
    return {
        "recipes": [_link_json(link) for link in chain],
        "seconds": _range(total_time(to_build)),
        "usd": _range(total_cost(to_build)),
    }


def _link_json(link: ChainLink) -> dict[str, Any]:
    return {
        "recipe": str(link.path),
        "name": link.name,
        "digest": link.digest,
        "state": link.state,
        "reason": link.reason,
        "run": None if link.run is None else str(link.run),
        "forecast": None if link.forecast is None else forecast_json(link.forecast),
    }


def _range(value: Range | None) -> list[float] | None:
    return None if value is None else [value.low, value.likely, value.high]
