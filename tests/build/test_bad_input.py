"""Bad input through the command line: a code, a place, what to do, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftc.cli.main import run
from ftc.facts import cache as cache_module

GOOD = [{"prompt": f"what is {i}", "completion": "yes" if i % 2 else "no", "key": i} for i in range(12)]
QUERY = 'query = "select * from rows"\n'


@dataclass(frozen=True)
class Case:
    """A recipe's lines after `[data]`, the bytes of its rows, and the codes that must come out."""

    codes: set[str]
    rows: bytes
    data: str = QUERY
    says: tuple[str, ...] = ()
    ok: bool = False


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


CASES = {
    "empty file": Case({"FTC202"}, b"", says=("is empty",)),
    "no rows": Case(
        {"FTC601"}, lines(*GOOD), QUERY.replace('rows"', 'rows where false"'), ("none of the 12",)
    ),
    "one row": Case(set(), lines(GOOD[0]), ok=True),
    "one row, and one held out": Case(
        {"FTC601"}, lines(GOOD[0]), QUERY + "split = { eval = 1 }\n", ("held out",)
    ),
    "all filtered": Case(
        {"FTC601"}, lines(*GOOD), 'query = "select * from rows where key > 99"\n', ("none of the 12 rows",)
    ),
    "a null": Case({"FTC604"}, lines(*GOOD, {"prompt": None, "completion": "x"}), says=("rows:13", "null")),
    "a null, dropped": Case(
        set(), lines(*GOOD, {"prompt": None, "completion": "x"}), QUERY + 'invalid = "drop"\n', ok=True
    ),
    "not UTF-8": Case(
        {"FTC211"}, lines(*GOOD) + b'{"prompt": "caf\xe9", "completion": "x"}\n', says=("rows.jsonl:13",)
    ),
    "a malformed line": Case(
        {"FTC210"}, lines(*GOOD[:4]) + b'{"prompt": "x", \n' + lines(*GOOD[4:]), says=("rows.jsonl:5",)
    ),
    "a row of a megabyte": Case(
        {"FTC603"}, lines(*GOOD, {"prompt": "long " * 200_000, "completion": "x"}), says=("rows:13", "512")
    ),
    "duplicate ids": Case({"FTC605"}, lines(*GOOD, GOOD[3]), QUERY + 'id = "key"\n', ("3",)),
    "nothing held out": Case({"FTC602"}, lines(*GOOD), QUERY + "split = { eval = 0.0001 }\n", ("eval = 1",)),
}


def write(directory: Path, model: Path | str, case: Case) -> Path:
    (directory / "rows.jsonl").write_bytes(case.rows)
    recipe = directory / "recipe.toml"
    recipe.write_text(f'[model]\nbase = "{model}"\n[data]\nsources.rows = "rows.jsonl"\n{case.data}', "utf-8")
    return recipe


@pytest.fixture
def say(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Run a command in the test's directory; its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        code = run(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.mark.parametrize("name", CASES)
def test_bad_rows_are_diagnosed(
    name: str, tmp_path: Path, tiny_model: Path, say: Callable[..., tuple[int, str]]
) -> None:
    case = CASES[name]
    write(tmp_path, tiny_model, case)
    command = "plan" if case.ok else "build"
    code, text = say(command, "recipe.toml")
    assert code == (0 if case.ok else 1), text
    assert "Traceback" not in text
    for expected in case.codes:
        assert f"error[{expected}]" in text
    for words in case.says:
        assert words in text, text
    assert case.ok or "= help:" in text
    assert not (tmp_path / "runs").exists()


def test_a_model_without_tokenizer_or_template(
    tmp_path: Path, tiny_model: Path, say: Callable[..., tuple[int, str]]
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((tiny_model / name).read_bytes())
    write(tmp_path, "bare", Case(set(), lines(*GOOD)))
    code, text = say("build", "recipe.toml")
    assert (code, "error[FTC402]" in text) == (1, True), text
    (bare / "tokenizer.json").write_bytes((tiny_model / "tokenizer.json").read_bytes())
    config = json.loads((tiny_model / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["chat_template"]
    (bare / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    chats = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    write(tmp_path, "bare", Case(set(), lines(*chats)))
    code, text = say("build", "recipe.toml")
    assert (code, "error[FTC306]" in text) == (1, True), text
    assert "chatml" in text
    code, text = say("plan", "recipe.toml", "--set", "model.chat_template=chatml")
    assert code == 0, text


def test_pickled_weights_are_refused(
    tmp_path: Path, tiny_model: Path, say: Callable[..., tuple[int, str]]
) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (pickled / name).write_bytes((tiny_model / name).read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x02}.")
    write(tmp_path, "pickled", Case(set(), lines(*GOOD)))
    code, text = say("plan", "recipe.toml")
    assert (code, "error[FTC405]" in text, "save_pretrained" in text) == (1, True, True), text


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, tiny_model: Path, say: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache_module, "_sync", full)
    write(tmp_path, tiny_model, Case(set(), lines(*GOOD)))
    code, text = say("plan", "recipe.toml")
    assert (code, "error[FTC702]" in text) == (3, True), text
    assert "Traceback" not in text
    assert not list((tmp_path / "cache").glob("data/*/*"))
    assert not list((tmp_path / "cache" / "staging").iterdir())


def test_runs_that_cannot_be_written(
    tmp_path: Path, tiny_model: Path, say: Callable[..., tuple[int, str]]
) -> None:
    write(tmp_path, tiny_model, Case(set(), lines(*GOOD)))
    (tmp_path / "runs").write_text("in the way", encoding="utf-8")
    code, text = say("build", "recipe.toml")
    assert (code, "error[FTC701]" in text, "--runs" in text) == (3, True, True), text
    assert (tmp_path / "runs").read_text(encoding="utf-8") == "in the way"


def test_a_prompt_on_both_sides_is_named(
    tmp_path: Path, tiny_model: Path, say: Callable[..., tuple[int, str]]
) -> None:
    rows = [{"question": f"what is number {i}?", "answer": "yes"} for i in range(40)]
    render = '[render]\nprompt = "{{ question[:7] }}"\ncompletion = "{{ answer }}"\n'
    case = Case(set(), lines(*rows), QUERY + "split = { eval = 5 }\n" + render)
    write(tmp_path, tiny_model, case)
    code, text = say("plan", "recipe.toml")
    assert (code, "warning[FTC608]: 5 held-out rows have" in text) == (0, True), text
    whole = case.data.replace("[:7]", "")
    write(tmp_path, tiny_model, Case(set(), case.rows, whole))
    code, text = say("plan", "recipe.toml")
    assert (code, "FTC608" in text) == (0, False), text
