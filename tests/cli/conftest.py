"""Run the command line in this process, in a directory of its own, and compare whole screens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftc.cli.main import run

SNAPSHOTS = Path(__file__).parent / "snapshots"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def ftc(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run `ftc ARGUMENTS` in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return call


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a screen with snapshots/NAME.txt; `pytest --update` writes it anew."""

    def compare(name: str, text: str) -> None:
        file = SNAPSHOTS / f"{name}.txt"
        if request.config.getoption("--update", default=False):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"no snapshot {name}; make it with --update"
        assert text == file.read_text(encoding="utf-8")

    return compare
