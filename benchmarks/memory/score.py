"""Compare predicted peak memory with published measurements: `python benchmarks/memory/score.py [FILE]`.

Each record of FILE is resolved to a training step (`records.py`), the closed form predicts its peak, and the
predicted quantity that the record compares to is set against it. Errors are per cent of what was measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records import resolve

from ftc.estimate.closed_form import InexpressibleError, estimate
from ftc.estimate.device import on_device

HERE = Path(__file__).parent
GIB = 2**30
BARS = {"score": (0.5, 2.0, 5.0), "score-multi-gpu": (5.0, None, None)}
"""Highest median, 95th percentile and worst error, in per cent, by a record's use."""


@dataclass(frozen=True)
class Scored:
    """A record with the prediction made for it, in GiB, or why there is none."""

    id: str
    group: str
    use: str
    measured: float
    predicted: float | None
    note: str

    @property
    def error(self) -> float:
        """Predicted over measured, in per cent."""
        return 100 * ((self.predicted or 0) / self.measured - 1)


def score(record: dict[str, Any]) -> Scored:
    """The record's prediction, or why there is none."""
    measured = record["measured"]["peak_gib"]
    known = (record["id"], record["group"], record["use"], measured)
    try:
        step = resolve(record)
        found = estimate(step)
    except InexpressibleError as error:
        return Scored(*known, None, str(error))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Scored(*known, None, f"the record lacks what the step needs: {error!r}")
    shown = on_device(step, found)
    quantity = record.get("compare_to", "allocated")
    middle = {"reserved": shown.reserved[1], "device": shown.process[1]}
    return Scored(*known, middle.get(quantity, shown.allocated) / GIB, found.segment)


def percentile(errors: list[float], share: float) -> float:
    """The error that `share` of all do not exceed."""
    return sorted(errors)[max(0, -int(-share * len(errors) // 1) - 1)]


def summary(scored: Iterable[Scored]) -> tuple[float, float, float]:
    """Median, 95th percentile and worst of the absolute errors, in per cent."""
    errors = [abs(each.error) for each in scored]
    return statistics.median(errors), percentile(errors, 0.95), max(errors)


def grouped(scored: Iterable[Scored], key: str) -> dict[str, list[Scored]]:
    """Records by a field, in order of appearance."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for each in scored:
        groups[getattr(each, key)].append(each)
    return groups


def show(scored: list[Scored]) -> None:
    """Print every record, the groups, all, and what is not expressible."""
    made = [each for each in scored if each.predicted is not None]
    print(f"{'record':<22} {'measured':>9} {'predicted':>9} {'error':>8}  highest at   (GiB, per cent)")
    for each in made:
        print(f"{each.id:<22} {each.measured:9.3f} {each.predicted:9.3f} {each.error:+8.2f}  {each.note}")
    print(f"\n{'group':<46} {'records':>7} {'median':>7} {'p95':>7} {'worst':>7}")
    for key in ("group", "use"):
        for name, members in grouped(made, key).items():
            median, high, worst = summary(members)
            print(f"{name:<46} {len(members):>7} {median:7.2f} {high:7.2f} {worst:7.2f}")
    print(f"\nnot expressible: {len(scored) - len(made)} of {len(scored)}")
    for each in scored:
        if each.predicted is None:
            print(f"{each.id:<28} {each.note}")


def main() -> None:
    """Score a file of records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=HERE / "calibration.json")
    options = parser.parse_args()
    show([score(record) for record in json.loads(options.file.read_text(encoding="utf-8"))])


if __name__ == "__main__":
    main()
