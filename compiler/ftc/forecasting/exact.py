"""`ftc plan --exact`: the step run abstractly by the installed packages, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.forecast import Exact, Forecasts
from ftc.estimate.step import TrainingStep
from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.forecasting.forecaster import Forecaster
from ftc.launch.local import environment

CODE = ("estimate/abstract", "estimate/step.py", "runtime/adapt.py")
PACKAGES = ("accelerate", "bitsandbytes", "peft", "torch", "transformers", "trl")
KIND = "abstract"


def with_exact(
    found: Forecasts, forecaster: Forecaster, cache: Cache, progress: Callable[[str, int, int | None], None]
) -> Forecasts:
    """The forecasts, with what the abstract run of the plan's own step gives; remembered in the cache."""
    try:
        step = forecaster.own_step()
    except InexpressibleError as error:
        exact = Exact(None, unknown=str(error))
    else:
        exact = _remembered(step, cache, progress)
    return replace(found, own=replace(found.own, exact=exact))


def _remembered(step: TrainingStep, cache: Cache, progress: Callable[[str, int, int | None], None]) -> Exact:
    asked = step.model_copy(update={"device": None})
    key = cache_key(KIND, asked.model_dump(mode="json"), _versions(), code=code_digest(*CODE))
    known = cache.recall(KIND, key)
    if known is None:
        progress("running the step abstractly", 0, None)
        ran = _run(asked)
        if isinstance(ran, Exact):
            return ran
        known = json.dumps(ran).encode()
        cache.remember(KIND, key, known)
    value = json.loads(known)
    return Exact(value["bytes"], value["phase"], value["packages"])


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _run(step: TrainingStep) -> dict[str, Any] | Exact:
    """The answer of the process that runs the step, or why there is none."""
    command = [sys.executable, "-m", "ftc.estimate.abstract", "-", "--json", "--backend", step.backend]
    ran = subprocess.run(
        command, input=step.model_dump_json(), capture_output=True, text=True, env=environment(), check=False
    )
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:] or [f"exit code {ran.returncode}"]
        return Exact(None, unknown=last[0])
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer
