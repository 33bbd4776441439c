"""Recipes that build on each other, and a runtime that is done at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain_recipes import Chain
from fake_runs import FakeRuntime


@pytest.fixture
def chain(tmp_path: Path, tiny_model: Path) -> Chain:
    return Chain(tmp_path, tiny_model)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """A stand-in for the training process."""
    from ftc.artifact import build

    fake = FakeRuntime()
    monkeypatch.setattr(build, "launch", fake)
    return fake
