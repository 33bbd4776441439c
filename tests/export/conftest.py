"""Fixtures of exports: finished runs over tiny models."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from export_runs import CHATS, PLAIN, Runs, here, small_llama


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What needs torch runs in this process, but in tests that are slow anyway."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(subprocess, "run", here(subprocess.run))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    """Runs on the tiny model."""
    return Runs(tmp_path_factory.mktemp("exports"), tiny_model)


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory, smollm2_tokenizer: Path) -> Runs:
    """Runs on a two-layer Llama with SmolLM2's tokenizer, which llama.cpp knows."""
    root = tmp_path_factory.mktemp("known")
    return Runs(root, small_llama(root / "base", smollm2_tokenizer))


@pytest.fixture(scope="session")
def chat(runs: Runs) -> Path:
    """A run that was trained on chats, with an adapter."""
    return runs.build("chats", CHATS)


@pytest.fixture(scope="session")
def plain(runs: Runs) -> Path:
    """A run that was trained on plain prompts, all weights."""
    return runs.build("plain", PLAIN, tune='method = "full"', more="[render]\nchat = false")


@pytest.fixture(scope="session")
def chained(runs: Runs, chat: Path) -> Path:
    """A run with an adapter that builds on the run with chats."""
    return runs.build("chained", CHATS, base='{ recipe = "../chats" }')
