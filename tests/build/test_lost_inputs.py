"""What is lost, changed or closed while a build wants it: told with a way out, and nothing is lost by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ftc
from fake_runs import FakeRuntime
from ftc.artifact.lock import exclusive
from ftc.cli.main import run
from ftc.facts.cache import Cache
from ftc.facts.cache_care import verify
from ftc.jobs.verifying import verify_run

ROWS = "".join(json.dumps({"prompt": f"{n}?", "completion": " fox"}) + "\n" for n in range(20))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """What stands for training."""
    fake = FakeRuntime()
    monkeypatch.setattr("ftc.artifact.build.launch", fake)
    return fake


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with a source, a model and a cache of its own."""
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    return write_recipe(tmp_path, tiny_model)


def write_recipe(directory: Path, model: Path) -> Path:
    shutil.copytree(model, directory / "model")
    (directory / "rows.jsonl").write_text(ROWS, encoding="utf-8")
    (directory / "r.toml").write_text(
        '[model]\nbase = "model"\n[data]\nsources.rows = "rows.jsonl"\n[render]\nchat = false\n'
        "[train]\nsteps = 1\n",
        encoding="utf-8",
    )
    return directory / "r.toml"


def at_reading(act: Callable[[], object]) -> Callable[[str, int, int | None], None]:
    """A progress function that acts once, when the sources begin to be read."""
    done: list[object] = []

    def progress(stage: str, *_: object) -> None:
        if stage == "reading sources" and not done:
            done.append(act())

    return progress


CHANGES: dict[str, Callable[[Path], object]] = {
    "appended": lambda file: file.write_text(ROWS + ROWS, encoding="utf-8"),
    "one byte": lambda file: file.write_text(ROWS.replace("7?", "8?"), encoding="utf-8"),
    "removed": lambda file: file.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_while_it_is_read_is_refused(
    recipe: Path, runtime: FakeRuntime, change: str
) -> None:
    """Its rows would be those of one file, and its digest that of another."""
    source = recipe.parent / "rows.jsonl"
    os.utime(source, (1000, 1000))  # old enough for its digest to be remembered
    refused = ftc.build(recipe, progress=at_reading(lambda: CHANGES[change](source)))
    assert (refused.status, refused.run, runtime.built) == ("invalid", None, [])
    (finding,) = [one for one in refused.findings if one.severity.name == "ERROR"]
    assert "rows" in finding.message
    assert not list((recipe.parent / "cache" / "sources").glob("*/*"))
    assert verify(Cache()) == ()
    source.write_text(ROWS, encoding="utf-8")
    assert ftc.build(recipe).status == "built"


def test_what_vanishes_between_plan_and_build_is_told(
    recipe: Path, runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ftc.plan(recipe).ok
    for name, code in (("rows.jsonl", "FTC201"), ("model", "FTC401")):
        (recipe.parent / name).rename(recipe.parent / "away")
        assert (run(["build", str(recipe)]), runtime.built) == (1, [])
        said = capsys.readouterr().err
        assert f"[{code}]" in said
        assert "holds" in said or "help" in said
        (recipe.parent / "away").rename(recipe.parent / name)
    assert ftc.build(recipe).status == "built"


def test_another_recipe_never_goes_on_from_its_neighbours_checkpoints(
    recipe: Path, runtime: FakeRuntime
) -> None:
    """Each plan has a partial run of its own; a checkpoint that is put into another one names its plan."""
    runtime.stop = lambda _: True
    partials = []
    for rate in ("1e-3", "1e-4"):
        stopped = ftc.build(recipe, set=[f"train.learning_rate={rate}"])
        assert stopped.status == "stopped"
        partials = sorted((recipe.parent / "runs" / "r").glob("*.partial"))
    assert len(partials) == 2


def test_a_whole_run_keeps_its_card_and_that_is_told(recipe: Path, runtime: FakeRuntime) -> None:
    built = ftc.build(recipe)
    text = recipe.read_text(encoding="utf-8")
    for more, codes in (("# other words\n", []), ('[card]\nlicence = "apache-2.0"\n', ["FTC711"])):
        recipe.write_text(text + more, encoding="utf-8")
        again = ftc.build(recipe)
        assert (again.status, again.run) == ("up to date", built.run)
        assert [one.code for one in again.findings if one.code == "FTC711"] == codes
    assert len(runtime.built) == 1
    assert "apache" not in (again.run / "README.md").read_text(encoding="utf-8")
    assert verify_run(again.run).checks[0].findings == ()


def test_leftovers_of_a_killed_build_are_in_no_run(recipe: Path, runtime: FakeRuntime) -> None:
    whole = ftc.build(recipe, runs=recipe.parent / "other")
    runtime.stop = lambda _: True
    ftc.build(recipe)
    (partial,) = (recipe.parent / "runs" / "r").glob("*.partial")
    (partial / ".eval.json.part").write_text("half", encoding="utf-8")
    (partial / "old").mkdir()
    (partial / "old" / "report.html").write_text("of another release", encoding="utf-8")
    (partial / "data" / "stray.parquet").write_text("", encoding="utf-8")
    runtime.stop = lambda _: False
    again = ftc.build(recipe)
    assert manifest(again.run) == manifest(whole.run)


def manifest(run: Path | None) -> str:
    assert run is not None
    return (run / "MANIFEST.sha256").read_text(encoding="utf-8")


def test_a_run_that_only_lacks_its_name_is_not_trained_again(
    recipe: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is written before anything goes; what a byte was changed of meanwhile is made again."""
    whole = ftc.build(recipe, runs=recipe.parent / "other")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for damage, built in ((False, 2), (True, 4)):
        with monkeypatch.context() as patch:
            patch.setattr("ftc.artifact.run_directory.put_in_place", die)
            with pytest.raises(KeyboardInterrupt):
                ftc.build(recipe)
        (partial,) = (recipe.parent / "runs" / "r").glob("*.partial")
        if damage:
            (partial / "eval.json").write_bytes((partial / "eval.json").read_bytes()[:-1] + b" ")
        again = ftc.build(recipe)
        assert (again.status, len(runtime.built)) == ("built", built)
        assert manifest(again.run) == manifest(whole.run)
        assert again.run is not None
        shutil.rmtree(again.run)


def test_the_training_process_of_a_killed_build_is_waited_for(recipe: Path, runtime: FakeRuntime) -> None:
    """It writes its last checkpoint and ends by itself; until then nothing is touched."""
    runtime.stop = lambda _: True
    ftc.build(recipe)
    (partial,) = (recipe.parent / "runs" / "r").glob("*.partial")
    (partial / "work").mkdir(exist_ok=True)
    ending = "import sys, time\nfrom pathlib import Path\nfrom ftc.artifact.lock import exclusive\n"
    ending += "with exclusive(Path(sys.argv[1])):\n print('held', flush=True)\n time.sleep(0.5)\n"
    orphan = subprocess.Popen(
        [sys.executable, "-c", ending, str(partial / "work" / "lock")], stdout=subprocess.PIPE
    )
    assert orphan.stdout is not None
    assert orphan.stdout.readline() == b"held\n"
    runtime.stop = lambda _: False
    told: list[Any] = []
    assert ftc.build(recipe, on_event=told.append).status == "built"
    assert [(event.name, str(orphan.pid) in event.detail) for event in told] == [("wait", True)]
    assert orphan.wait(timeout=60) == 0


def test_one_that_does_not_end_is_named(
    recipe: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftc.artifact.build.ORPHANED", 0.2)
    runtime.stop = lambda _: True
    ftc.build(recipe)
    (partial,) = (recipe.parent / "runs" / "r").glob("*.partial")
    (partial / "work").mkdir(exist_ok=True)
    with exclusive(partial / "work" / "lock"):
        again = ftc.build(recipe)
    assert [finding.code for finding in again.findings if finding.code.startswith("FTC7")] == ["FTC707"]
    assert str(os.getpid()) in again.findings[-1].message


@pytest.fixture
def closed(tiny_model: Path) -> Iterator[Path]:
    """A project of a user who is not root, outside of what only root may enter."""
    directory = Path(tempfile.mkdtemp(prefix="ftc-closed-"))
    try:
        write_recipe(directory, tiny_model)
        for name in ("runs", "cache"):
            (directory / name).mkdir()
        if os.geteuid() == 0:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield directory
    finally:
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o700)
        shutil.rmtree(directory)


NOBODY = 65534


def as_user(act: Callable[[], list[str]]) -> list[str]:
    """What an act says in a forked process that is not root's."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(writing, json.dumps(act()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    found: list[str] = json.loads(said or b'["died"]')
    return found


@pytest.mark.parametrize(
    ("shut", "code", "word"),
    [("runs", "FTC701", "--runs"), ("cache", "FTC708", "FTC_CACHE_DIR")],
)
def test_a_directory_that_cannot_be_written_is_named(
    closed: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, shut: str, code: str, word: str
) -> None:
    monkeypatch.setenv("FTC_CACHE_DIR", str(closed / "warm"))
    assert ftc.build(closed / "r.toml", runs=closed / "warm" / "runs").status == "built"  # imports everything
    monkeypatch.setenv("FTC_CACHE_DIR", str(closed / "cache"))
    (closed / shut).chmod(0o500)

    def build() -> list[str]:
        made = ftc.build(closed / "r.toml")
        wrong = [one for one in made.findings if one.code == code]
        return [made.status, *(f"{one.message} {one.place} {' '.join(one.help)}" for one in wrong)]

    status, *said = as_user(build)
    assert status in ("failed", "invalid")
    assert len(said) == 1
    assert word in said[0]
    assert shut in said[0]
    (closed / shut).chmod(0o700)
    assert as_user(build) == ["built"]
