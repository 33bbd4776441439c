"""A runtime that is done at once."""

from __future__ import annotations

import pytest

from fake_runs import FakeRuntime


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """A stand-in for the training process."""
    from ftc.artifact import build

    fake = FakeRuntime()
    monkeypatch.setattr(build, "launch", fake)
    return fake
