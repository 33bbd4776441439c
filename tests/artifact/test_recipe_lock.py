"""recipe.lock: written, read again, held to, moved on purpose; and what it pins."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ftc
from adapter_runs import AdapterRuntime
from ftc.artifact.files import write_text
from ftc.artifact.inputs_lock import text_of
from ftc.artifact.lock_reading import differences, read_entries
from ftc.cli.main import run as command
from ftc.diagnostics import Severity
from ftc.jobs.locking import lock_path, pinned, read_lock
from ftc.recipe.load import load_recipe

COMMIT, NEWER = "a" * 40, "b" * 40
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


def add_row(recipe: Path, name: str = "animals") -> None:
    with (recipe.parent / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "one more", "completion": "a dog"}) + "\n")


def codes(result: ftc.PlanResult | ftc.BuildResult) -> list[tuple[str, Severity]]:
    return [(one.code, one.severity) for one in result.findings]


@given(st.dictionaries(st.tuples(names, names), st.one_of(names, st.integers(0, 10**9)), max_size=6))
def test_what_is_written_is_read_again(entries: dict) -> None:
    entries = {("format",): 1, **entries}
    assert read_entries(text_of(entries)) == entries


def test_a_lock_is_sorted_and_says_what_each_input_is(project: Path, finished: Path) -> None:
    result = ftc.lock(project)
    assert (result.ok, result.written, result.lock) == (
        True,
        (project.with_suffix(".lock"),),
        result.written[0],
    )
    text = result.lock.read_text()
    tables = tomllib.loads(text)
    heads = [line.strip("[]") for line in text.splitlines() if line.startswith("[")]
    assert heads == sorted(heads)
    assert tables["sources"]["animals"]["rows"] == 12
    assert set(tables["model"]["files"]) == {"config.json", "tokenizer.json", "model.safetensors"}
    assert {"torch", "trl", "ftc", "duckdb", "python"} <= set(tables["packages"])
    assert {"query", "template", "format"} <= set(tables)
    # The same inputs in another place have the same lock, and a run has that of its recipe.
    assert (
        text
        == (finished / "recipe.lock").read_text()
        == lock_path(finished.parents[2] / "recipe.toml").read_text()
    )
    assert len(text) < 4000


def test_a_build_writes_the_lock_once(project: Path, adapter_runtime: AdapterRuntime) -> None:
    lock = lock_path(project)
    done = ftc.build(project, set=["seed=1"])
    assert (done.status, done.locks, lock.exists()) == ("built", (), False)
    done = ftc.build(project)
    assert (done.status, done.locks) == ("built", (lock,))
    before = lock.stat().st_mtime_ns
    done = ftc.build(project, locked=True)
    assert (done.status, done.locks, lock.stat().st_mtime_ns) == ("up to date", (), before)


def test_locked_refuses_what_differs_and_names_it(project: Path, adapter_runtime: AdapterRuntime) -> None:
    missing = ftc.build(project, locked=True)
    assert (missing.status, codes(missing)) == ("invalid", [("FTC750", Severity.ERROR)])
    ftc.lock(project)
    add_row(project)
    refused = ftc.build(project, locked=True)
    (finding,) = refused.findings
    assert (refused.status, finding.code) == ("invalid", "FTC751")
    assert finding.message == (
        "the source `animals` is not as in recipe.lock: "
        "`animals.jsonl` has other content; 13 rows, and the lock has 12"
    )
    assert finding.span is not None
    assert finding.span.source.text[finding.span.start : finding.span.end] == '"animals.jsonl"'
    assert finding.help == (f"if that is meant: ftc lock {project} --update sources.animals",)
    assert not adapter_runtime.built
    assert codes(ftc.plan(project, gpus=None)) == [("FTC751", Severity.WARNING)]
    assert codes(ftc.plan(project, gpus=None, locked=True)) == [("FTC751", Severity.ERROR)]
    told = ftc.build(project)
    assert (told.status, codes(told)) == ("built", [("FTC751", Severity.WARNING)])
    assert "rows = 13" in (told.run / "recipe.lock").read_text()


def test_one_input_is_moved_and_the_others_stay(project: Path) -> None:
    ftc.lock(project)
    add_row(project)
    add_row(project, "more")
    text = project.read_text()
    project.write_text(text.replace("union all", "union all by name"))
    moved = ftc.lock(project, update=["sources.more"])
    assert [one.input for one in moved.moved] == ["sources.more"]
    assert [one.input for one in moved.left] == ["query", "sources.animals"]
    locked = read_lock(project)
    assert (locked[("sources", "more", "rows")], locked[("sources", "animals", "rows")]) == (13, 12)
    assert [one.code for one in ftc.plan(project, gpus=None, locked=True).findings] == ["FTC751"] * 2
    assert not ftc.lock(project, update=["all"]).left
    assert ftc.plan(project, gpus=None, locked=True).ok


def test_an_input_that_is_none(project: Path) -> None:
    (finding,) = ftc.lock(project, update=["sources.animal"]).findings
    assert (finding.code, finding.help) == ("FTC754", ("did you mean `sources.animals`?",))
    assert not lock_path(project).exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("format = 1\n<<<<<<< HEAD\n=======\n>>>>>>> theirs\n", "it has marks of a merge conflict in it"),
        ("format = 2\n", "its format is 2, and this release reads 1"),
        ("format = 1\n[model]\nfiles = [1]\n", "`model.files` is neither a text nor a whole number"),
        ("format = ", "it is not TOML: "),
    ],
)
def test_a_lock_that_cannot_be_read_is_never_skipped(project: Path, text: str, why: str) -> None:
    lock_path(project).write_text(text)
    (finding,) = ftc.check(project).findings
    assert (finding.code, finding.severity) == ("FTC752", Severity.ERROR)
    assert finding.message.startswith(f"recipe.lock cannot be read: {why}")


def test_a_lock_that_cannot_be_written(
    project: Path, adapter_runtime: AdapterRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, text: str) -> None:
        if path == lock_path(project):
            raise OSError(30, os.strerror(30), str(path))
        write_text(path, text)

    monkeypatch.setattr("ftc.artifact.files.write_text", refused)
    done = ftc.build(project)
    assert (done.status, codes(done)) == ("built", [("FTC753", Severity.NOTE)])
    assert codes(ftc.lock(project)) == [("FTC753", Severity.ERROR)]


def test_words_for_what_differs() -> None:
    old = {
        ("model", "revision"): COMMIT,
        ("packages", "torch"): "2.9",
        ("packages", "trl"): "1.0",
        ("query", "sql"): "sha256:1",
        ("sources", "a", "location"): "a.jsonl",
        ("template", "jinja"): "sha256:1",
        ("base", "sha256"): "sha256:1",
        ("base", "sources", "docs", "rows"): 1000,
    }
    new = {
        ("model", "revision"): NEWER,
        ("packages", "torch"): "2.10",
        ("packages", "peft"): "1.0",
        ("query", "sql"): "sha256:2",
        ("sources", "b", "location"): "b.jsonl",
        ("template", "jinja"): "sha256:2",
        ("base", "sha256"): "sha256:2",
        ("base", "sources", "docs", "rows"): 1001,
    }
    lock, other, gone = "the lock has", "not as in the lock", "trl is not installed, and the lock has 1.0"
    assert [one.sentence for one in differences(old, new)] == [
        f"the base recipe: its settings are {other}; the source `docs` of it: 1,001 rows, and {lock} 1,000",
        "the base model: it is at bbbbbbbbbbbb, and the lock has aaaaaaaaaaaa",
        f"the packages: peft is 1.0, and {lock} none; torch is 2.10, and {lock} 2.9; {gone}",
        "the query: its SQL is not as in the lock",
        "the source `a`: it is in the lock, and the recipe has none",
        "the source `b`: it is not in the lock",
        "the chat template: its text is not as in the lock",
    ]


HUB = """
[model]
base = "someone/tiny"
{revision}
[data]
sources.rows = {{ dataset = "someone/rows" }}
[[eval]]
name = "theirs"
sources.held = {{ dataset = "someone/held", revision = "v1" }}
query = "select prompt, reference from held"
metrics = ["exact_match"]
"""
LOCKED = {
    ("model", "kind"): "hub",
    ("model", "location"): "someone/tiny",
    ("model", "revision"): COMMIT,
    ("sources", "rows", "location"): f"hf://datasets/someone/rows@{COMMIT}",
    ("suites", "theirs", "sources", "held", "location"): f"hf://datasets/someone/held@{COMMIT}",
    ("suites", "theirs", "sources", "held", "asked"): "v1",
}


def revisions(
    tmp_path: Path, revision: str = "", moving: tuple[str, ...] = (), **changed: str
) -> list[str | None]:
    """The revisions of the model, of the source and of the suite's source under the lock."""
    (tmp_path / "recipe.toml").write_text(HUB.format(revision=revision))
    loaded = load_recipe(tmp_path / "recipe.toml")
    assert loaded.recipe is not None, loaded.findings
    found = pinned(loaded.recipe, LOCKED, moving)
    return [
        found.model.revision,
        found.data.sources["rows"].revision,
        found.eval[0].sources["held"].revision,
    ]


def test_a_lock_pins_what_the_recipe_takes_from_the_hub(tmp_path: Path) -> None:
    assert revisions(tmp_path) == [COMMIT, COMMIT, COMMIT]
    assert revisions(tmp_path, f'revision = "{NEWER}"') == [NEWER, COMMIT, COMMIT]
    assert revisions(tmp_path, 'revision = "v2"') == ["v2", COMMIT, COMMIT]
    assert revisions(tmp_path, moving=("model",)) == [None, COMMIT, COMMIT]
    assert revisions(tmp_path, moving=("sources.rows", "suites.theirs")) == [COMMIT, None, "v1"]
    assert revisions(tmp_path, moving=("all",)) == [None, None, "v1"]


def test_the_lock_of_a_chain_has_the_inputs_below(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chain_recipes import Chain

    monkeypatch.setenv("FTC_ALLOW", os.pathsep.join((str(tmp_path), str(tiny_model))))
    chain = Chain(tmp_path, tiny_model)
    done = ftc.lock(chain.tickets)
    assert set(done.written) == {lock_path(chain.tickets), lock_path(chain.domain)}
    lock = tomllib.loads(lock_path(chain.tickets).read_text())
    assert lock["model"]["location"] == "run://domain"
    assert lock["base"]["recipe"] == "../domain/recipe.toml"
    assert lock["base"]["sources"]["docs"]["rows"] == 24
    assert set(lock["base"]["model"]["files"]) == {"config.json", "tokenizer.json", "model.safetensors"}
    chain.write("domain", ("steps = 2", "steps = 3"))
    (finding,) = ftc.plan(chain.tickets, gpus=None, locked=True).findings
    assert finding.message == "the base recipe is not as in recipe.lock: its settings are not as in the lock"


def test_on_the_command_line(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(project.parent)
    assert command(["lock"]) == 0
    assert capsys.readouterr().out == "wrote recipe.lock\n"
    assert command(["lock"]) == 0
    assert capsys.readouterr().out == "recipe.lock is up to date\n"
    add_row(project)
    assert command(["plan", "--locked", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], [one["code"] for one in found["results"][0]["findings"]]) == (False, ["FTC751"])
    assert command(["lock", "--update", "sources.animals", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [one["input"] for one in result["moved"]] == ["sources.animals"]
    assert command(["plan", "--locked", "--after", "render"]) == 2
