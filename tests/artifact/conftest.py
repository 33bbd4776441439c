"""A recipe and its run, made once: the data compiled, the weights those of a runtime that is done at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adapter_runs import AdapterRuntime, write_project


@pytest.fixture
def adapter_runtime(monkeypatch: pytest.MonkeyPatch) -> AdapterRuntime:
    """A stand-in for the training process."""
    from ftc.artifact import build

    fake = AdapterRuntime()
    monkeypatch.setattr(build, "launch", fake)
    return fake


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Path:
    """The recipe of a project of its own."""
    return write_project(tmp_path / "project", tiny_model)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A finished run that no test changes."""
    import ftc
    from ftc.artifact import build

    recipe = write_project(tmp_path_factory.mktemp("finished"), tiny_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "launch", AdapterRuntime())
        done = ftc.build(recipe)
    assert done.run is not None, done.findings
    return done.run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "runs" / "animals" / finished.name))
