"""`ftc chat` and `ftc generate` on runs with an adapter, with all weights, and on a chain."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ftc.cli.main import run as ftc
from ftc.diagnostics import Finding
from ftc.jobs.opening import OpenRun, opened
from ftc.jobs.speaking import NoPrompt, Settings, Spelling, answer, cannot_write, prompt_of, read_rows
from ftc.launch.writer import Written, open_writer


def at(run: Path) -> OpenRun:
    found = opened(run)
    assert not isinstance(found, Finding), found
    return found


def test_prompts_are_those_that_were_trained(chat: Path, plain: Path):
    talk, text = at(chat), at(plain)
    messages = [{"role": "user", "content": "the quick brown fox 3 🐎"}]
    asked = prompt_of(talk, {"messages": [*messages, {"role": "assistant", "content": "gone"}]}).ids
    assert asked == prompt_of(talk, {"prompt": "the quick brown fox 3 🐎"}).ids
    assert talk.tokenizer.decode(asked, skip_special_tokens=False) == talk.rendered(messages)
    rows = [row["input_ids"][: row["prompt_length"]] for row in text.rows]
    mine = [prompt_of(text, {"prompt": f"what is {i}"}).ids for i in range(24)]
    assert sorted(rows) == sorted(mine)


def test_stops_and_beginnings_are_those_of_the_rows(chat: Path, plain: Path):
    for run in (at(chat), at(plain)):
        assert run.stop_texts() == ("<|im_end|>",)
    # ChatML's turns begin with the token that is this tokenizer's first one: the template's text, no BOS
    assert not at(chat).begins_with_bos
    assert not at(plain).begins_with_bos


@pytest.mark.parametrize(
    "row",
    [{}, {"messages": []}, {"messages": [{"role": "assistant", "content": "a"}]}, {"prompt": "the " * 600}],
)
def test_a_row_without_a_prompt_says_why(chat: Path, row: dict):
    with pytest.raises(NoPrompt):
        prompt_of(at(chat), row)


def test_lines_that_are_no_rows_are_named():
    found = dict(read_rows(iter(['{"prompt": "a"}', "", '"b"', "{", "3"])))
    assert found[1] == {"prompt": "a"}
    assert found[3] == {"prompt": "b"}
    assert "not JSON" in found[4]
    assert "neither" in found[5]


def test_pieces_of_an_answer_are_whole_characters(chat: Path):
    run = at(chat)
    text = "jumps 🐎 žluťoučký 日本"
    spelling = Spelling(run)
    said = [spelling([number]) for number in run.tokenizer.encode(text).ids]
    assert "".join(said) == text
    assert not any("\ufffd" in piece for piece in said)


def test_what_writes_nothing_says_what_it_does(chat: Path):
    run = at(chat)
    head = run.ready.objective.model_copy(update={"head": "scores", "name": "reward"})
    other = OpenRun(
        run.directory, run.plan, run.ready.__class__(**{**vars(run.ready), "objective": head}), "", run.cache
    )
    finding = cannot_write(other)
    assert finding.code == "FTC772"
    assert "score" in finding.help[0]
    assert cannot_write(run) is None


def test_a_run_of_a_gpu_talks_on_the_cpu_where_there_is_none(chat: Path, monkeypatch: pytest.MonkeyPatch):
    from ftc.runtime import machine
    from ftc.runtime.failure import BuildError
    from ftc.runtime.generate import at_hand

    plan = at(chat).ready
    on_gpu = replace(plan, environment=plan.environment.model_copy(update={"device": "cuda"}))
    monkeypatch.setattr(machine, "require", lambda _: None)
    assert at_hand(on_gpu) is on_gpu

    def lacking(_: str) -> None:
        raise BuildError("FTC855", "there is no GPU")

    monkeypatch.setattr(machine, "require", lacking)
    assert at_hand(on_gpu).environment.device == "cpu"


def test_a_run_that_is_not_whole_cannot_be_used(chat: Path, tmp_path: Path):
    import shutil

    broken = tmp_path / "run"
    shutil.copytree(chat, broken)
    (broken / "model" / "tokenizer.json").write_text("{}")
    assert isinstance(opened(broken), Finding)
    assert "tokenizer.json" in opened(broken).message
    assert ftc(["chat", str(tmp_path / "nothing")]) == 3


@pytest.fixture(scope="module")
def base(chat: Path) -> Path:
    found = at(chat).base()
    assert isinstance(found, Path)
    return found


@pytest.mark.parametrize("which", ["chained", pytest.param("plain", marks=pytest.mark.slow)])
def test_answers_are_those_of_transformers(request: pytest.FixtureRequest, which: str, tmp_path: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = at(request.getfixturevalue(which))
    prompts = [prompt_of(run, {"prompt": f"what is {i}?" * (i + 1)}) for i in range(3)]
    place = run.base()
    settings = Settings(longest=6)
    with open_writer(run.directory, place) as writer:
        writer.ready()
        ids = [prompt.ids for prompt in prompts]
        together = writer.written(ids, settings.asked(run, ids), [0, 0, 0]).rows
        drawn = Settings(longest=6, temperature=1.5)
        seeds = [drawn.seed_of(n) for n in range(3)]
        first = writer.written(ids, drawn.asked(run, ids), seeds).rows
        again = writer.written(ids[2:], drawn.asked(run, ids), seeds[2:]).rows
        other = writer.written(ids, drawn.asked(run, ids), [seed + 1 for seed in seeds]).rows
        writer.ask(ids[:1], settings.asked(run, ids), [0], stream=True)
        pieces = list(writer.answers())
    model = AutoModelForCausalLM.from_pretrained(place if run.is_adapter else run.model, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(run.model)) if run.is_adapter else model
    for prompt, made in zip(prompts, together, strict=True):
        wanted = model.generate(
            input_ids=torch.tensor([prompt.ids]), max_new_tokens=6, do_sample=False, eos_token_id=run.stops
        )[0, len(prompt.ids) :].tolist()
        assert made == wanted
    assert first[2:] == again
    assert first != other
    assert [number for piece in pieces[:-1] for number in piece] == together[0]
    assert pieces[-1] == Written([together[0]], stopped=False)
    told = answer(run, prompts[0], [*together[0][:2], run.stops[0]])
    assert (told.ended, told.tokens) == ("stop", 2)


@pytest.mark.slow
def test_generate_writes_a_line_for_each_row(chat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    prompts, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"what is {i}", "n": i}) + "\n" for i in range(11)))
    words = ["generate", str(chat), "--prompts", str(prompts), "--max-tokens", "4"]
    assert ftc([*words, "--out", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["line"] for line in lines] == list(range(1, 12))
    assert [line["row"]["n"] for line in lines] == list(range(11))
    capsys.readouterr()
    assert ftc(words) == 0
    assert capsys.readouterr().out == out.read_text()
    prompts.write_text('{"prompt": "a"}\n{"nothing": 1}\n')
    assert ftc(words) == 3
    assert "line 2" in capsys.readouterr().err


@pytest.fixture
def talk(chat: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`ftc chat` at a terminal of its own."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "ftc", "chat", str(chat), "--max-tokens", "400"]
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=tmp_path
    )
    os.close(theirs)
    yield process, ours
    process.kill()
    process.wait()
    os.close(ours)


def until(terminal: int, wanted: str, seconds: float = 180) -> str:
    import select

    seen, end = "", time.monotonic() + seconds
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(terminal, 4096).decode("utf-8", "replace")
    return seen


@pytest.mark.slow
def test_ctrl_c_ends_the_answer_and_not_the_program(talk: tuple[subprocess.Popen[bytes], int]):
    process, terminal = talk
    until(terminal, "> ")
    os.write(terminal, b"tell me all\n")
    until(terminal, "tell me all\r\n")
    assert os.read(terminal, 1)  # the answer has begun
    process.send_signal(signal.SIGINT)
    until(terminal, "\n> ")
    os.write(terminal, b"/clear\n/help\n")
    assert "/system" in until(terminal, "/exit")
    os.write(terminal, b"/exit\n")
    assert process.wait(timeout=60) == 0


@pytest.mark.slow
def test_a_pipe_is_answered_line_by_line(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("what is 1\n\nwhat is 2\n"))
    assert ftc(["chat", str(plain), "--max-tokens", "3"]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    assert found.out.count("\n") >= 2
    assert "> " not in found.out
