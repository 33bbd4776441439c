"""Whatever is changed in a finished run is found and named: a byte anywhere, and parts that do not fit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import ftc
from adapter_runs import AdapterRuntime, adapter_tensors
from ftc.artifact.files import write_text
from ftc.artifact.run_directory import BUILD, MANIFEST, build_text, manifest_text
from ftc.artifact.verify import verify
from ftc.artifact.verify_weights import shapes_of
from ftc.jobs.verifying import verify_run


def said(run: Path) -> list[str]:
    return [finding.message for finding in verify_run(run).findings]


def titles(run: Path) -> list[str]:
    """The checks that found something."""
    return [check.title for check in verify(run).checks if check.findings]


def sealed(run: Path) -> Path:
    """The run with lists that fit its files, as whoever tampers with it would leave it."""
    write_text(run / MANIFEST, manifest_text(run))
    write_text(run / BUILD, build_text(run))
    return run


def test_a_finished_run_is_whole(finished: Path) -> None:
    found = verify_run(finished)
    assert found.findings == ()
    about = {check.title: (check.said, check.open) for check in found.checks}
    assert list(about) == [
        "files", "plan", "lock", "ledger", "shards", "weights", "provenance", "chain", "signature"
    ]  # fmt: skip
    assert about["ledger"][0] == "24 rows read = 18 trained + 6 held out"
    assert about["weights"] == ("28 tensors of the adapter fit the modules of ./model", "")
    assert about["signature"] == ("", "not signed")
    for name in (MANIFEST, BUILD):
        done = subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet", name], cwd=finished, check=False
        )
        assert done.returncode == 0


def names(run: Path) -> list[str]:
    return sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())


def flipped(file: Path, at: int, bit: int) -> bytes:
    """The bytes of a file that is changed in one bit; returns what they were."""
    before = file.read_bytes()
    changed = bytearray(before)
    changed[at] ^= 1 << bit
    file.unlink()  # compiled rows share their bytes with the cache
    file.write_bytes(bytes(changed))
    return before


def assert_named(run: Path, name: str) -> None:
    assert any(name in text for text in said(run)), (name, said(run))


def test_a_flipped_byte_in_each_file_is_found_and_named(run: Path) -> None:
    every = names(run)
    assert {"timing.json", "build.log", MANIFEST, BUILD, "plan.json", "provenance.json"} <= set(every)
    for number, name in enumerate(every):
        file = run / name
        if not file.stat().st_size:  # a byte comes where there was none
            file.write_bytes(b"x")
            assert_named(run, name)
            file.write_bytes(b"")
            continue
        before = flipped(file, (number * 7919) % file.stat().st_size, number % 8)
        assert_named(run, name)
        file.write_bytes(before)
    assert said(run) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), in_lists=st.booleans())
def test_a_flipped_byte_anywhere_is_found_and_named(run: Path, where: float, bit: int, in_lists: bool):
    """Over all bytes of the run; half of the examples in the two lists, which nothing else lists."""
    every = [MANIFEST, BUILD] if in_lists else names(run)
    ends = list(accumulate((run / name).stat().st_size for name in every))
    at = int(where * ends[-1])
    number = bisect_right(ends, at)
    name = every[number]
    before = flipped(run / name, at - (ends[number - 1] if number else 0), bit)
    assert_named(run, name)
    (run / name).write_bytes(before)


def test_files_that_came_or_went_are_named(run: Path, tmp_path: Path) -> None:
    (run / "model" / "pytorch_model.bin").write_bytes(b"x")
    (run / "data" / "ledger.json").unlink()
    (run / "notes").symlink_to(tmp_path)
    messages = said(run)
    assert "`model/pytorch_model.bin` is in the run, and MANIFEST.sha256 does not list it" in messages
    assert "`data/ledger.json` is missing, and MANIFEST.sha256 lists it" in messages
    assert "`notes` is a link or no file: a run has files of its own" in messages


def test_a_manifest_cannot_reach_outside_the_run(run: Path) -> None:
    (run.parent / "secret").write_text("x")
    text = (run / MANIFEST).read_text()
    (run / MANIFEST).write_text(text + f"{'0' * 64}  ../secret\n")
    assert any("outside the run" in text for text in said(run))


def test_a_run_that_was_renamed(run: Path) -> None:
    moved = run.rename(run.with_name("best"))
    (message,) = said(moved)
    assert message == f"the plan's digest is {run.name}, and the run's directory is called best"


def test_no_run(tmp_path: Path) -> None:
    (found,) = verify_run(tmp_path).findings
    assert (found.code, found.message) == ("FTC755", "there is no run here: it has no MANIFEST.sha256")


def in_json(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def changed(run: Path) -> None:
        value = json.loads((run / name).read_bytes())
        change(value)
        (run / name).write_text(json.dumps(value))

    return changed


def lock_of_other_rows(run: Path) -> None:
    text = (run / "recipe.lock").read_text()
    assert "rows = 12" in text
    (run / "recipe.lock").write_text(text.replace("rows = 12", "rows = 13", 1))


def other_shard(run: Path) -> None:
    (path,) = (run / "data").glob("train-*.parquet")
    table = pq.read_table(path)
    path.unlink()
    pq.write_table(table.slice(1), path)


def of_another_rank(run: Path) -> None:
    tensors = adapter_tensors()
    name = next(iter(tensors))
    tensors[name] = np.zeros((8, 32), np.float32)
    save_file(tensors, run / "model/adapter_model.safetensors")


def of_another_model(run: Path) -> None:
    tensors = {name.replace("layers.1", "layers.7"): tensor for name, tensor in adapter_tensors().items()}
    save_file(tensors, run / "model/adapter_model.safetensors")


def with_bytes_behind(run: Path) -> None:
    with (run / "model/adapter_model.safetensors").open("ab") as file:
        file.write(b"payload")


TAMPERED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "plan": (in_json("plan.json", lambda plan: plan.update(seed=1)), "plan", "the plan's digest is"),
    "lock": (lock_of_other_rows, "lock", "12 rows, and the lock has 13"),
    "ledger": (
        in_json("data/ledger.json", lambda ledger: ledger.update(read=25)),
        "ledger",
        "the ledger does not balance: 1 rows have no fate",
    ),
    "shard": (other_shard, "shards", "`data/train-00000.parquet` is not the one of the plan"),
    "rank": (of_another_rank, "weights", "has the shape [8, 32], and the base needs [16, 32]"),
    "model": (of_another_model, "weights", "is of no module of the base"),
    "behind": (with_bytes_behind, "weights", "longer or shorter than its header says"),
    "base": (
        in_json("model/adapter_config.json", lambda one: one.update(base_model_name_or_path="other")),
        "weights",
        "the adapter names the base other, and the plan ./model",
    ),
    "subject": (
        in_json("provenance.json", lambda one: one["subject"][0]["digest"].update(sha256="0" * 64)),
        "provenance",
        "has another subject `model/adapter_config.json`",
    ),
    "material": (
        in_json(
            "provenance.json",
            lambda one: one["predicate"]["buildDefinition"]["resolvedDependencies"].pop(0),
        ),
        "provenance",
        "has another material `./model/config.json`",
    ),
}
"""What somebody changes who writes the lists anew: the change, the check that finds it, and its words."""


@pytest.mark.parametrize("change", TAMPERED)
def test_parts_that_do_not_fit_are_found_though_the_lists_do(run: Path, change: str) -> None:
    tamper, title, words = TAMPERED[change]
    tamper(run)
    sealed(run)
    assert title in titles(run)
    assert "files" not in titles(run)
    assert any(words in text for text in said(run)), said(run)


def test_ids_of_rows_that_went_are_counted(run: Path) -> None:
    path = run / "data" / "dropped.parquet"
    schema = pq.read_schema(path)
    row = {"id": "a", "fate": "duplicate", "reason": "x"}
    path.unlink()
    pq.write_table(pa.Table.from_pylist([row], schema), path)
    sealed(run)
    assert "the ledger counts 0 rows `duplicate`, and data/dropped.parquet names 1" in said(run)


def test_shapes_are_what_safetensors_itself_reads(tmp_path: Path) -> None:
    from safetensors import safe_open

    tensors = {
        "a": np.zeros((2, 3), np.float16),
        "b.c": np.zeros((), np.int64),
        "d": np.zeros((0, 4), np.float32),
    }
    save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    with safe_open(tmp_path / "x.safetensors", "np") as file:
        read = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert shapes_of(tmp_path / "x.safetensors") == read


def test_a_chain_is_held_to_the_runs_below(
    tmp_path: Path, tiny_model: Path, adapter_runtime: AdapterRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chain_recipes import Chain

    monkeypatch.setenv("FTC_ALLOW", os.pathsep.join((str(tmp_path), str(tiny_model))))
    chain = Chain(tmp_path, tiny_model)
    done = ftc.build(chain.tickets)
    assert done.run is not None, done.findings
    assert [check.said for check in verify(done.run).checks if check.title == "chain"] == [
        "1 of 1 runs below are there, and are those"
    ]
    assert said(done.run) == []
    below = done.base.run
    (below / MANIFEST).write_text((below / MANIFEST).read_text() + "\n")
    assert any("the run of `domain`" in text and "is not the one" in text for text in said(done.run))
    shutil.rmtree(below)
    assert said(done.run) == []
    assert [check.open for check in verify(done.run).checks if check.title == "chain"] == [
        "not there: domain"
    ]
