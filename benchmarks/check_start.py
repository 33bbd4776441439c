"""Cold start of `ftc check`: wall time beside a bare interpreter, measured in turns.

    python benchmarks/check_start.py [--runs N]

Prints both medians, their difference and their ratio; the bar is 0.4 s on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "examples" / "question-routing" / "recipe.toml"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "ftc --help": ["-m", "ftc", "--help"],
    "ftc check": ["-m", "ftc", "check", str(RECIPE)],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one fresh interpreter."""
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, check=False, cwd=ROOT)
    if ran.returncode:
        sys.exit(f"{arguments} failed:\n{ran.stdout.decode()}{ran.stderr.decode()}")
    return time.perf_counter() - start


def measure(runs: int) -> dict[str, list[float]]:
    """Times of every command, taken in turns so that a busy moment hits all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(runs + 1):
        for name, arguments in COMMANDS.items():
            taken = seconds(arguments)
            if number:  # the first round only fills the caches
                times[name].append(taken)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9, help="rounds after the first (9)")
    times = measure(parser.parse_args().runs)
    bare = median(times["python -c pass"])
    print(f"{len(times['ftc check'])} rounds, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}")
    print(f"{'':16}{'median':>9}{'fastest':>9}{'over bare':>11}{'ratio':>8}")
    for name, taken in times.items():
        middle = median(taken)
        print(f"{name:16}{middle:8.3f}s{min(taken):8.3f}s{middle - bare:+10.3f}s{middle / bare:8.1f}")


if __name__ == "__main__":
    main()
