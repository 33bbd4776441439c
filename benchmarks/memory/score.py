"""Compare predicted peak memory with published measurements: `python benchmarks/memory/score.py FILE`."""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from records import resolve

from ftc.estimate.closed_form import InexpressibleError, estimate
from ftc.estimate.device import on_device

HERE = Path(__file__).parent
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=HERE / "calibration.json")
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    errors: dict[str, list[float]] = defaultdict(list)
    for record in json.loads(options.file.read_text()):
        measured = record["measured"]["peak_gib"]
        try:
            step = resolve(record)
            found = estimate(step)
            total = on_device(step, found).allocated
        except InexpressibleError as error:
            print(f"{record['id']:24} {measured:9.3f}  not expressible: {error}")
            continue
        error = total / GIB / measured - 1
        errors[record["use"]].append(abs(error))
        print(
            f"{record['id']:24} {record['group'][:40]:40} {measured:9.3f} {total / GIB:9.3f} {100 * error:+7.2f} % {found.segment}"
        )
        if options.v:
            print(
                {k: round(v / GIB, 3) for k, v in found.segments.items()},
                {k: round(v / GIB, 3) for k, v in found.breakdown.items()},
            )
    for use, found in errors.items():
        found = sorted(found)
        print(
            use,
            len(found),
            f"median {100 * statistics.median(found):.2f} p95 {100 * found[int(0.95 * (len(found) - 1))]:.2f} worst {100 * found[-1]:.2f}",
        )


if __name__ == "__main__":
    main()
