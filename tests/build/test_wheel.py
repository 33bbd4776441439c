"""What is shipped works from a wheel as it does from a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
from ftc.diagnostics.codes import CODES
from ftc.diagnostics.explain import explanation
from ftc.estimate.catalogue import devices
from ftc.estimate.speeds import speeds
from ftc.evaluation.suites import SUITES, digest
from ftc.facts.shipped import shipped_directory, shipped_templates
explained = all(explanation(code) for code in CODES)
suites = [digest(name) for name in SUITES]
print(shipped_directory("recipes"), *sorted(shipped_templates()), *devices(), *speeds().constants)
print(*suites, explained)
"""


def probe(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
        cwd=environment.get("PYTHONPATH"),
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "site")
    return directory / "site"


def test_a_wheel_has_all_that_a_checkout_has(unpacked: Path) -> None:
    here, there = probe(), probe(PYTHONPATH=str(unpacked))
    assert Path(here[0]) == ROOT / "recipes"
    assert Path(there[0]) == unpacked / "ftc" / "_shipped" / "recipes"
    assert here[1:] == there[1:]
    assert here[-1] == "True"
    assert {"chatml", "H100-80GB-SXM"} <= set(here)
    assert sorted(p.name for p in Path(here[0]).iterdir()) == sorted(p.name for p in Path(there[0]).iterdir())


def test_a_wheel_is_typed_and_has_no_tests(unpacked: Path) -> None:
    assert (unpacked / "ftc" / "py.typed").is_file()
    assert {path.name for path in unpacked.iterdir()} == {"ftc", f"ftc-{version()}.dist-info"}


def version() -> str:
    import ftc

    return ftc.__version__
