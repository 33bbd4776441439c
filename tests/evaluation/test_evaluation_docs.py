"""docs/evaluation.md has every metric and every shipped suite, with the figures of the code."""

from __future__ import annotations

import re
from pathlib import Path

from ftc.evaluation import METRICS, load
from ftc.evaluation.base import OWN
from ftc.evaluation.judge import AT_ONCE, HIGHEST, LOWEST
from ftc.evaluation.statistics import EXACT_UP_TO, FLIPS, RESAMPLES
from ftc.evaluation.suites import SUITES, rows

TEXT = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_metrics_are_those_of_the_table() -> None:
    lines = re.findall(r"^\| `(\w+)` \| [^|]+ \| ((?:from|0|1)[^|]*) \|", TEXT, re.MULTILINE)
    assert {name for name, _ in lines} == set(METRICS)
    for name, stated in lines:
        metric = load(name)
        assert stated.endswith("lower") == (metric.better == "lower")
        ends = [int(number) for number in re.findall(r"\d+", stated)]
        assert ends == [metric.low, *([] if metric.high is None else [metric.high])]
        whole = re.search(rf"^\| `{name}` \|[^|]*\(\*whole\*\)", TEXT, re.MULTILINE)
        assert bool(whole) == (metric.combine is not None)


def test_the_suites_are_those_that_ship() -> None:
    lines = re.findall(r"^\| `(\w+)` \| (\d+) \| ([^|]+) \|", TEXT, re.MULTILINE)
    assert {name for name, _, _ in lines} == set(SUITES)
    for name, count, metrics in lines:
        assert int(count) == len(rows(name))
        assert tuple(re.findall(r"`(\w+)`", metrics)) == SUITES[name].metrics


def test_the_figures_are_those_of_the_code() -> None:
    assert f"{RESAMPLES:,} resamples" in TEXT
    assert f"up to {EXACT_UP_TO} differing rows, {FLIPS:,} random" in TEXT
    assert f"from {LOWEST} to {HIGHEST}" in TEXT
    assert f"{SUITES['facts'].max_new_tokens} tokens" in TEXT
    assert AT_ONCE == 4
    assert all(f"`{option}`" in TEXT for option in OWN)
