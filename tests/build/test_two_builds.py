"""Two processes that build one recipe at once: the second is told, trains nothing, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ftc
from adapter_runs import AdapterRuntime
from build.test_lost_inputs import write_recipe
from ftc.artifact.run_list import builder
from ftc.jobs.verifying import verify_run

HERE = Path(__file__)
BUILD = """
import json, sys, time
from pathlib import Path
from adapter_runs import AdapterRuntime
from ftc.artifact import build
import ftc

recipe, go_on = map(Path, sys.argv[1:])

class Slow(AdapterRuntime):
    def __call__(self, job, on_event, **more):
        while not go_on.exists():
            time.sleep(0.02)
        return super().__call__(job, on_event, **more)

build.launch = runtime = Slow()
done = ftc.build(recipe)
codes = [one.code for one in done.findings if one.severity.name == "ERROR"]
said = " ".join(one.message for one in done.findings)
print(json.dumps({"status": done.status, "codes": codes, "trained": len(runtime.built), "said": said}))
"""


def start(recipe: Path, go_on: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join((str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")))
    command = [sys.executable, "-c", BUILD, str(recipe), str(go_on)]
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def told(process: subprocess.Popen[str]) -> dict[str, object]:
    out, _ = process.communicate(timeout=120)
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


def test_the_second_of_two_builds_is_told_whose_the_first_is(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    recipe, go_on = write_recipe(tmp_path, tiny_model), tmp_path / "go-on"
    first, second = start(recipe, go_on), start(recipe, go_on)
    building = None
    until = time.monotonic() + 120
    while building is None and time.monotonic() < until:
        building = next(iter((tmp_path / "runs" / "r").glob("*.partial/recipe.lock")), None)
        time.sleep(0.02)
    assert building is not None
    ahead = builder(building.parent)
    one, other = (first, second) if ahead == first.pid else (second, first)
    assert ahead == one.pid
    refused = told(other)
    assert (refused["status"], refused["codes"], refused["trained"]) == ("failed", ["FTC707"], 0)
    assert f"as process {one.pid}" in str(refused["said"])
    go_on.touch()
    assert (told(one)["status"], one.returncode) == ("built", 0)
    (run,) = (tmp_path / "runs" / "r").glob("[0-9a-f]*")
    assert verify_run(run).findings == ()
    runtime = AdapterRuntime()
    monkeypatch.setattr("ftc.artifact.build.launch", runtime)
    assert (ftc.build(recipe).status, runtime.built) == ("up to date", [])
