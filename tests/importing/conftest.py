"""A directory with a dataset_info.json, in which commands are run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.importing.work import Imported, Wish, import_file
from importing.peer_configs import INFO, Import, text_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the files, in which commands run."""
    (tmp_path / "dataset_info.json").write_text(json.dumps(INFO), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def imported(home: Path) -> Import:
    """Import a text, or a configuration of these tests by its peer and name."""

    def run(
        text: str = "", *, peer: str | None = None, name: str = "", objective: str | None = None
    ) -> Imported:
        file = home / "config.yaml"
        file.write_text(text_of(peer, name) if peer and name else text, encoding="utf-8")
        return import_file(file, Wish(home / "recipe.toml", peer, objective))

    return run
