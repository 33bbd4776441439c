"""`ftc verify` and `--rebuild` of a run that builds on another one: both are built anew, and compared."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import ftc
from adapter_runs import AdapterRuntime
from chain_recipes import Chain
from ftc.jobs.verifying import Rebuild, verify_run

WEIGHTS = "model/model.safetensors"


@dataclass(frozen=True)
class Built:
    """Two recipes and their runs, the second of which builds on the first."""

    chain: Chain
    run: Path
    below: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Built:
    from ftc.artifact import build

    chain = Chain(tmp_path_factory.mktemp("chain"), tiny_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "launch", AdapterRuntime())
        done = ftc.build(chain.tickets)
    assert done.run is not None, done.findings
    assert done.base is not None
    assert done.base.run is not None
    return Built(chain, done.run, done.base.run)


def flip(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def of_chain(run: Path) -> tuple[str, list[str]]:
    """What is said of the runs below, and the findings."""
    (check,) = [one for one in verify_run(run).checks if one.title == "chain"]
    return check.said, [finding.message for finding in check.findings]


def test_all_of_a_chain_is_built_anew(built: Built, adapter_runtime: AdapterRuntime, tmp_path: Path) -> None:
    found = verify_run(built.run, rebuild=Rebuild(keep=tmp_path / "kept"))
    assert found.findings == ()
    assert [name for name, _ in adapter_runtime.built] == ["domain", "tickets"]
    for name, run in (("domain", built.below), ("tickets", built.run)):
        again = tmp_path / "kept" / "runs" / name / run.name
        assert (again / WEIGHTS).read_bytes() == (run / WEIGHTS).read_bytes()
    assert found.checks[-1].said.endswith("files of weights and compiled rows are the same to the byte")
    assert found.checks[-1].open == "not the same: README.md, chain.json, report.html", "where the base is"


def test_weights_of_the_run_below_that_were_changed_are_named(built: Built) -> None:
    flip(built.below / WEIGHTS)
    try:
        assert of_chain(built.run)[1] == [
            f"`{WEIGHTS}` of the run below, `domain`, was changed since it was built on"
        ]
    finally:
        flip(built.below / WEIGHTS)
    assert of_chain(built.run) == ("1 of 1 runs below are there, and are those", [])


def test_a_base_whose_recipe_changed_is_told_and_nothing_is_trained(
    built: Built, adapter_runtime: AdapterRuntime
) -> None:
    built.chain.write("domain", ("steps = 2", "steps = 3"))
    try:
        (finding,) = verify_run(built.run, rebuild=Rebuild()).findings
    finally:
        built.chain.write("domain")
    assert (finding.code, adapter_runtime.built) == ("FTC757", [])
    assert "the base recipe" in finding.message


def test_a_base_that_comes_out_otherwise_changes_what_is_built_on_it(
    built: Built, adapter_runtime: AdapterRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = shutil.copyfile

    def other(source: Path, target: Path) -> object:
        copied(source, target)
        if target.as_posix().endswith(WEIGHTS) and "/runs/domain/" in target.as_posix():
            flip(target)
        return target

    monkeypatch.setattr("adapter_runs.shutil.copyfile", other)
    (finding,) = verify_run(built.run, rebuild=Rebuild()).findings
    assert (finding.code, WEIGHTS in finding.message) == ("FTC758", True)
