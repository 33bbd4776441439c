"""Forecasts on the screen and in JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ftc.cli.forecast_view import forecast_sections, forecasts_json, gib, money_span, span
from ftc.cli.layout import display_width
from ftc.estimate.catalogue import PriceRange
from ftc.estimate.duration import Duration
from ftc.estimate.forecast import Exact, Forecast, Forecasts, Memory
from ftc.estimate.range import Range

GIB = 1 << 30
MEMORY = Memory(
    peak=17 * GIB,
    allocated=18 * GIB,
    needed=19 * GIB,
    segment="loss backward",
    breakdown={"weights": 14 * GIB, "logits": 3 * GIB, "adapters": 0},
    shown=(19 * GIB, 22 * GIB, 26 * GIB),
    capacity=23 * GIB,
    verdict="fits",
    basis="reserved as measured",
)
TIME = Duration(Range(5400, 7200, 14400), {"training": Range(5400, 7200, 14400)}, "at the rates of L4", None)
PRICE = PriceRange(0.5, 0.8, 2.0, "on demand, 2026-10-01: RunPod, AWS")
L4 = Forecast("L4", here=False, settings={"micro_batch": 4}, memory=MEMORY, duration=TIME, price=PRICE)
T4 = replace(L4, device="T4", memory=replace(MEMORY, capacity=14 * GIB, verdict="no"))
TIGHT = replace(L4, device="A10", memory=replace(MEMORY, capacity=21 * GIB, verdict="tight"), price=None)
WHY = "the model type mamba is not in the table"
ODD = Forecast("H100-80GB-SXM", here=False, settings={}, unknown=(WHY,))


def screen(forecasts: Forecasts) -> str:
    found = [f"{label}:{line}" for label, lines in forecast_sections(forecasts, 69) for line in lines]
    assert max(map(display_width, found)) <= 80
    return "\n".join(found)


def test_every_figure_has_its_range_and_its_basis() -> None:
    assert screen(Forecasts(L4, (T4, TIGHT, ODD), (T4, L4))) == (
        "memory:19.0 GiB of 23.0 GiB on L4: 18.0 GiB in the loss backward; it will\n"
        "memory:show 19.0 GiB to 26.0 GiB\n"
        "memory:weights 14.0 GiB, logits 3.0 GiB\n"
        "memory:reserved as measured\n"
        "time:2:00 h (1:30 h to 4:00 h): training 2:00 h\n"
        "time:at the rates of L4\n"
        "cost:$1.60 ($0.75 to $8.00); on demand, 2026-10-01: RunPod, AWS\n"
        "devices:                    GiB   free       time        cost\n"
        "devices:L4             19 of 23   17 %  1.5-4.0 h  $0.75-8.00\n"
        "devices:T4             19 of 14         too small\n"
        "devices:A10            19 of 21  tight  1.5-4.0 h    no price\n"
        "devices:H100-80GB-SXM         ?                 ?           ?\n"
        "devices:of the other GPUs 1 more fits, 1 do not: `--gpu all`, `--gpu\n"
        "devices:L4,H100-80GB-SXM` show them"
    )


def test_what_is_not_known_says_why() -> None:
    said = screen(Forecasts(ODD))
    assert "memory:the model type mamba is not in the table" in said
    assert "time:the model type mamba is not in the table" in said
    assert "cost:" not in said


@pytest.mark.parametrize(
    ("exact", "said"),
    [
        (Exact(GIB, "backward", {"torch": "2.13.0"}), "the closed form +1600.00 % (torch 2.13.0)"),
        (Exact(None, unknown="it is compiled"), "the abstract run has no figure: it is compiled"),
    ],
)
def test_the_abstract_run_stands_beside_the_closed_form(exact: Exact, said: str) -> None:
    shown = screen(Forecasts(replace(L4, exact=exact)))
    assert said in shown.replace("\nmemory:", " ")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(17, 78, "17-78 s"), (156, 198, "2.6-3.3 min"), (9, 9, "9.0 s"), (90, 9e5, "0.0-10 d")],
)
def test_spans_are_in_one_unit(low: float, high: float, said: str) -> None:
    assert span(Range(low, high, high)) == said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.001, 0.002, "< $0.01"), (0.5, 12, "$0.50-12.00"), (150, 1999.6, "$150-2,000"), (3, 3, "$3.00")],
)
def test_money_is_in_dollars(low: float, high: float, said: str) -> None:
    assert money_span(Range(low, low, high)) == said


def test_json_has_bytes_seconds_and_dollars() -> None:
    found = json.loads(json.dumps(forecasts_json(Forecasts(L4, (ODD,)))))
    own = found["own"]
    assert own["memory"]["needed"] == 19 * GIB
    assert own["time"]["seconds"] == [5400, 7200, 14400]
    assert own["cost"]["usd"] == [0.75, 1.6, 8.0]
    assert own["fits"] is True
    assert found["devices"][0]["memory"] is None
    assert found["devices"][0]["unknown"] == ["the model type mamba is not in the table"]
    assert forecasts_json(None) is None


def test_small_amounts_of_memory() -> None:
    assert [gib(GIB // 2), gib(GIB), gib(200 * GIB)] == ["512 MiB", "1.0 GiB", "200.0 GiB"]
