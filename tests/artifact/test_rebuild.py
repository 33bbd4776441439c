"""`ftc verify --rebuild`: the same run again, and what is said where it cannot be made, or is another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adapter_runs import AdapterRuntime, write_project
from ftc.artifact.run_directory import MANIFEST
from ftc.cli.main import run as command
from ftc.facts.machine import package_versions
from ftc.jobs.verifying import Rebuild, VerifyResult, verify_run


def rebuilt(run: Path, **how: Path) -> VerifyResult:
    return verify_run(run, rebuild=Rebuild(**how))


def said(found: VerifyResult) -> str:
    return " ".join(found.checks[-1].said.split())


@pytest.fixture
def inputs(tmp_path: Path, tiny_model: Path) -> Path:
    """The directory of a recipe as it was when the run was built."""
    return write_project(tmp_path / "again", tiny_model).parent


def test_the_same_bytes(finished: Path, adapter_runtime: AdapterRuntime, tmp_path: Path) -> None:
    found = rebuilt(finished, keep=tmp_path / "kept")
    assert found.findings == ()
    assert said(found).endswith("files of weights and compiled rows are the same to the byte")
    assert adapter_runtime.built
    (again,) = (tmp_path / "kept" / "runs" / "animals").glob("[0-9a-f]*")
    assert (again.name, (again / MANIFEST).read_bytes()) == (
        finished.name,
        (finished / MANIFEST).read_bytes(),
    )
    assert not (tmp_path / "kept" / "cache").exists()


def test_a_run_that_was_moved(run: Path, inputs: Path, adapter_runtime: AdapterRuntime) -> None:
    assert rebuilt(run, inputs=inputs).findings == ()
    first, *others = rebuilt(run).findings  # its recipe's sources are not above it
    assert (first.code, first.message) == ("FTC757", "the run cannot be rebuilt here: an input is missing")
    assert "it needs the source `animals` at animals.jsonl" in first.notes
    assert "it needs the base model at ./model" in first.notes
    assert any(note.startswith("it needs the packages accelerate ") for note in first.notes)
    assert {one.code for one in others} >= {"FTC201", "FTC401"}


def test_an_input_that_changed(run: Path, inputs: Path, adapter_runtime: AdapterRuntime) -> None:
    shutil.copyfile(inputs / "animals.jsonl", inputs / "more.jsonl")
    (finding,) = rebuilt(run, inputs=inputs).findings
    assert finding.code == "FTC757"
    assert "the source `more`: `more.jsonl` has other content" in finding.message
    assert not adapter_runtime.built


def test_another_package(
    run: Path, inputs: Path, adapter_runtime: AdapterRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftc.facts.gather.package_versions", lambda: {**package_versions(), "torch": "9.9"})
    (finding,) = rebuilt(run, inputs=inputs).findings
    assert "the packages: torch is 9.9, and the lock has " in finding.message


def test_another_device(
    run: Path, inputs: Path, adapter_runtime: AdapterRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftc.facts.gather.detect_device", lambda: ("mps", "an Apple silicon machine"))
    (finding,) = rebuilt(run, inputs=inputs).findings
    assert "its recipe makes another plan on this machine" in finding.message
    assert "environment.device: 'mps', and the run has 'cpu'" in finding.notes


def test_weights_that_came_out_otherwise(
    run: Path, inputs: Path, adapter_runtime: AdapterRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    import adapter_runs

    def other() -> dict[str, object]:
        return {name: tensor + 1 for name, tensor in tensors().items()}

    tensors = adapter_runs.adapter_tensors
    monkeypatch.setattr(adapter_runs, "adapter_tensors", other)
    (finding,) = rebuilt(run, inputs=inputs).findings
    assert finding.code == "FTC758"
    assert finding.message == "`model/adapter_model.safetensors` is not the same when the run is built again"


def test_what_was_changed_is_not_rebuilt(
    run: Path, inputs: Path, adapter_runtime: AdapterRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "README.md").write_text("mine")
    assert command(["verify", str(run), "--rebuild", "--inputs", str(inputs)]) == 1
    captured = capsys.readouterr()
    assert "rebuilt     not tried, as the run is not what was built" in captured.out
    assert "error[FTC755]: `README.md` has other bytes than MANIFEST.sha256 lists" in captured.err
    assert not adapter_runtime.built
