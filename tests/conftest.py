"""Fixtures which every test may use: hermetic directories, and small models on disk."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run; HYPOTHESIS_PROFILE=exploring looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("exploring", max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

os.environ["HF_HUB_OFFLINE"] = "1"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell starts in the background would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker for each core: more threads than cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --update` rewrites the expected output that stands in files."""
    parser.addoption("--update", action="store_true", help="rewrite markers and snapshots of bad_recipes")


def pytest_sessionfinish() -> None:
    """What `young_heap` set aside ends as everything else does."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no fixture of a module, sees or fills the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "ftc-cache"))
        # Models and recipes of the tests lie beside each other; tests/security holds paths to their project.
        places = (tmp_path_factory.getbasetemp().parent, Path(__file__).parents[1])
        patch.setenv("FTC_ALLOW", os.pathsep.join(map(str, places)))
        yield


@pytest.fixture(scope="module", autouse=True)
def young_heap() -> None:
    """Collections do not walk what was there before a module: trainers collect often, workers hold much."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output does not depend on the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with random weights, a real byte-level BPE tokenizer and a ChatML template.

    For plumbing alone: its loss means nothing.
    """
    from models import write_tiny_model

    directory = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(directory)
    return directory


@pytest.fixture(scope="session")
def smollm2_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with SmolLM2's tokenizer."""
    from real_tokenizers import smollm2

    return smollm2(tmp_path_factory.mktemp("smollm2"))
