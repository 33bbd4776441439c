"""A process that plans a recipe in children of its own and kills each at some moment.

Arguments: the recipe, how many children, a seed. Prints for each child whether it was killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import duckdb  # noqa: F401 - what a child would import is imported once
import jinja2  # noqa: F401
import numpy as np  # noqa: F401
import pyarrow.parquet  # noqa: F401
import tokenizers  # noqa: F401

import ftc
from ftc.data import pipeline  # noqa: F401


def plan_in_child(recipe: str, seconds: float | None) -> bool:
    """Plan in a child; returns whether it was killed, `seconds` after its start."""
    child = os.fork()
    if child == 0:
        result = ftc.plan(recipe)
        os._exit(0 if result.ok else 1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status)


def main(recipe: str, count: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - moments
    before = time.monotonic()
    os.environ["FTC_CACHE_DIR"], kept = os.environ["FTC_CACHE_DIR"] + "-lone", os.environ["FTC_CACHE_DIR"]
    assert not plan_in_child(recipe, None)
    whole = time.monotonic() - before
    os.environ["FTC_CACHE_DIR"] = kept
    for _ in range(count):
        killed = plan_in_child(recipe, chance.uniform(0, whole))
        sys.stdout.write("killed\n" if killed else "ended\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
