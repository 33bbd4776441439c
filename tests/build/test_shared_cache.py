"""One cache and several processes: at once, killed at any moment, and while things are removed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

import ftc
from ftc.facts.cache import Cache
from ftc.facts.cache_care import entries, verify

KILLER = Path(__file__).with_name("killed_plans.py")
PLAN = "import sys, ftc; r = ftc.plan(sys.argv[1]); print(r.digest); sys.exit(not r.ok)"
ROWS = 3000


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three recipes over one file, with a cache of their own; every step of a compilation is in them."""
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("FTC_JOBS", "2")
    rows = [{"prompt": f"what is {n} times {n}?", "completion": f" it is {n * n}"} for n in range(ROWS)]
    text = "\n".join(map(json.dumps, rows)) + "\n{broken\n"
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    for name, where in (("a", "true"), ("b", "length(prompt) > 18"), ("c", "length(prompt) < 20")):
        (tmp_path / f"{name}.toml").write_text(
            f'[model]\nbase = "{tiny_model}"\n[data]\nsources.rows = "rows.jsonl"\ninvalid = "drop"\n'
            f'query = "from rows where {where}"\n[data.split]\neval = 0.1\n[render]\nchat = false\n'
            "[train]\nsteps = 1\n",
            encoding="utf-8",
        )
    return tmp_path


def contents(root: Path) -> dict[str, str]:
    """The bytes of every entry that decides what is trained, by their names."""
    found = {}
    for entry in entries(root):
        if entry.path.is_dir() and entry.kind == "data":
            for path in entry.path.rglob("*"):
                if path.is_file() and not path.name.startswith("."):
                    name = f"{entry.kind}/{entry.key}/{path.name}"
                    found[name] = sha256(path.read_bytes()).hexdigest()
    return found


def lone(project: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> tuple[list[str], dict[str, str]]:
    """The digests of the recipes' plans and the bytes of their entries, made by one process alone."""
    with monkeypatch.context() as patch:
        patch.setenv("FTC_CACHE_DIR", str(project / "alone"))
        digests = [str(ftc.plan(project / f"{name}.toml").digest) for name in names]
    return digests, contents(project / "alone")


def start(recipe: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PLAN, str(recipe)], stdout=subprocess.PIPE, text=True)


def test_processes_at_once_some_of_them_killed_share_one_cache(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "b", "a", "c", "a", "b"]
    chance = random.Random(7)  # noqa: S311 - moments
    running = [start(project / f"{name}.toml") for name in names]
    killed = [running[0], running[1]]
    for process in killed:
        time.sleep(chance.uniform(0.5, 2))
        process.kill()
    said = [process.communicate(timeout=240)[0].strip() for process in running]
    digests, bytes_ = lone(project, monkeypatch, "a", "b", "c")
    for name, process, digest in zip(names, running, said, strict=True):
        if process not in killed:
            assert process.returncode == 0
        if process.returncode == 0:
            assert digest == digests["abc".index(name)]
    assert verify(Cache()) == ()
    for name, digest in zip("abc", digests, strict=True):
        assert ftc.plan(project / f"{name}.toml").digest == digest
    assert contents(project / "cache") == bytes_
    with Cache().scratch():
        pass
    assert not [path for path in (project / "cache" / "staging").iterdir() if path.is_dir()]


def test_a_compilation_killed_at_any_moment_leaves_nothing_that_looks_whole(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several processes; one by itself is killed at its own acts (`test_killed_builds`)."""
    recipe, cache = project / "a.toml", project / "cache"
    ran = subprocess.run(
        [sys.executable, str(KILLER), str(recipe), "10", "2"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert "killed" in ran.stdout.split()
    assert verify(Cache()) == ()
    (digest,), bytes_ = lone(project, monkeypatch, "a")
    assert ftc.plan(recipe).digest == digest
    assert contents(cache) == bytes_
    with Cache().scratch() as scratch:
        left = [path for path in scratch.parent.iterdir() if path.is_dir() and path != scratch]
    assert left == []


def test_plans_and_a_collection_of_everything_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process uses is not taken from under it, however often everything else is removed."""
    clear = [sys.executable, "-m", "ftc", "cache", "clear", "-q"]
    running = [start(project / f"{name}.toml") for name in "ab"]
    while any(process.poll() is None for process in running):
        subprocess.run(clear, check=True, timeout=60)
    said = [process.communicate()[0].strip() for process in running]
    digests, _ = lone(project, monkeypatch, "a", "b")
    assert said == digests
    assert verify(Cache()) == ()


def test_the_recipes_that_used_an_entry_are_named(project: Path) -> None:
    (project / "copy.toml").write_text((project / "a.toml").read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("a", "copy"):
        ftc.plan(project / f"{name}.toml")
    (data,) = [entry for entry in entries(project / "cache") if entry.kind == "data"]
    assert data.users == (str(project / "copy.toml"), str(project / "a.toml"))
    assert os.environ["FTC_CACHE_DIR"] == str(project / "cache")
