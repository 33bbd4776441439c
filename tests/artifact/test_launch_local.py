"""The launcher, with small stand-ins for the runtime: how a process can end, and what becomes of that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ftc.launch import local
from ftc.launch.local import Job, launch
from ftc.runtime.__main__ import parse
from ftc.runtime.events import Done, Event, Failed, Phase, Step

SAY = "from ftc.runtime.events import *\ndef say(e): print(encode(e), flush=True)\n"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    run = tmp_path / "run"
    run.mkdir()
    return Job(run / "plan.json", tmp_path, tmp_path, run)


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(local, "command", lambda _, **__: [sys.executable, "-c", SAY + code])


def test_done(job, monkeypatch):
    stand_in(monkeypatch, "say(Phase('train'))\nsay(Done({'after': {'loss': 1.5}}))")
    events: list[Event] = []
    outcome = launch(job, events.append)
    assert events == [Phase("train"), Done({"after": {"loss": 1.5}})]
    assert (outcome.status, outcome.exit_code, outcome.failure) == ("done", 0, None)
    assert outcome.done == events[-1]


def test_failed(job, monkeypatch):
    stand_in(monkeypatch, "say(Failed('FTC705', 'diverged', ('lower',)))\nraise SystemExit(1)")
    outcome = launch(job, lambda _: None)
    assert (outcome.status, outcome.failure) == ("failed", Failed("FTC705", "diverged", ("lower",)))


@pytest.mark.parametrize(
    ("code", "said", "memory"),
    [
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL", True),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV", False),
        ("import sys; sys.exit(3)", "status 3", False),
        ("", "status 0", False),
        ("print('half a li', end='', flush=True); import os; os.kill(os.getpid(), 9)", "SIGKILL", True),
    ],
)
def test_death_without_a_word(code, said, memory, job, monkeypatch):
    stand_in(monkeypatch, f"import sys; print('last words', file=sys.stderr, flush=True)\n{code}")
    outcome = launch(job, lambda _: None)
    assert outcome.status == "failed"
    assert outcome.failure.code == "FTC703"
    assert said in outcome.failure.message
    assert outcome.failure.log[-1] == "last words"
    assert any("memory" in line for line in outcome.failure.help) == memory


WAIT = """
import signal, time
from ftc.runtime.stop import Stop
stop = Stop(); stop.on_signals()
say(Step(1, 9, 1.0, 1.0, 1.0, 1, 1.0, 1.0))
while not stop.asked: time.sleep(0.01)
say(Stopped(4)); raise SystemExit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_is_forwarded(number, job, monkeypatch):
    stand_in(monkeypatch, WAIT)
    before = signal.getsignal(signal.SIGINT)
    outcome = launch(job, lambda event: isinstance(event, Step) and os.kill(os.getpid(), number))
    assert (outcome.status, outcome.step, outcome.exit_code) == ("stopped", 4, 130)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_kills(job, monkeypatch):
    stubborn = "import signal, time\nsignal.signal(2, signal.SIG_IGN)\nsay(Checkpoint(1))\ntime.sleep(600)"
    stand_in(monkeypatch, stubborn)

    def twice(_: Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    outcome = launch(job, twice)
    assert (outcome.status, outcome.step) == ("stopped", 0)
    assert outcome.exit_code == -signal.SIGKILL


def test_the_process_has_a_session_of_its_own(job, monkeypatch):
    stand_in(monkeypatch, "import os; say(Phase(str(os.getsid(0) == os.getpid())))\nsay(Done())")
    events: list[Event] = []
    launch(job, events.append)
    assert events[0] == Phase("True")


def test_environment_has_no_secret(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("PG_URL", "postgres://me:secret@host")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("WORLD_SIZE", "4")
    made = local.environment()
    assert "secret" not in str(made)
    assert not {"ACCELERATE_USE_FSDP", "WORLD_SIZE"} & set(made)
    assert made["HF_HUB_OFFLINE"] == "1"
    assert made["PATH"] == os.environ["PATH"]


def test_a_tracker_that_is_named_gets_its_own_variables_alone(monkeypatch, job):
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "other secret")
    monkeypatch.setenv("https_proxy", "http://proxy")
    made = local.environment(("wandb",))
    assert made["WANDB_API_KEY"] == "secret"
    assert made["https_proxy"] == "http://proxy"
    assert "MLFLOW_TRACKING_TOKEN" not in made
    assert "https_proxy" not in local.environment()
    named = local.command(Job(job.plan, job.data, job.model, job.run, ("wandb", "tensorboard")))
    assert parse(named[3:])[0].trackers == ("wandb", "tensorboard")
    assert "secret" not in " ".join(named)


def test_a_judge_gets_its_own_key_alone(monkeypatch, tmp_path):
    plan = tmp_path / "plan.json"
    judge = {"endpoint": "http://localhost:8000/v1", "model": "m", "key": "JUDGE_KEY", "prompt": None}
    plan.write_text(json.dumps({"eval": None, "suites": [{"judge": None}, {"judge": judge}]}))
    monkeypatch.setenv("JUDGE_KEY", "secret")
    monkeypatch.setenv("JUDGE_KEY_OF_ANOTHER", "other secret")
    monkeypatch.setenv("https_proxy", "http://proxy")
    made = local.environment((), local.judge_keys(plan))
    assert made["JUDGE_KEY"] == "secret"
    assert made["https_proxy"] == "http://proxy"
    assert "other secret" not in str(made)
    plan.write_text(json.dumps({"eval": {"judge": None}, "suites": []}))
    assert local.judge_keys(plan) is None
    assert "JUDGE_KEY" not in local.environment((), local.judge_keys(plan))


@pytest.mark.parametrize(("stated", "seen"), [(None, "0"), ("2,3", "2"), ("", ""), ("GPU-1a", "GPU-1a")])
def test_the_runtime_sees_one_gpu(stated, seen, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if stated is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    assert local.environment()["CUDA_VISIBLE_DEVICES"] == seen


def test_outside_the_main_thread(job, monkeypatch):
    stand_in(monkeypatch, "say(Done())")
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(launch(job, lambda _: None)))
    thread.start()
    thread.join()
    assert outcomes[0].status == "done"


def test_a_listener_that_fails_ends_the_process(job, monkeypatch):
    stand_in(
        monkeypatch,
        "import os\nfrom ftc.runtime.stop import Stop\nimport time\nstop = Stop(); stop.on_closed(0)\n"
        "say(Phase(str(os.getpid())))\nwhile not stop.asked: time.sleep(0.01)",
    )
    seen: list[int] = []

    def fail(event: Event) -> None:
        seen.append(int(event.name))
        raise KeyError("listener")

    with pytest.raises(KeyError):
        launch(job, fail)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_the_runtime_ends_with_its_parent(tmp_path):
    """A launcher that is killed leaves no process behind."""
    child = (
        "import os, time\nfrom ftc.runtime.stop import Stop\nstop = Stop(); stop.on_closed(0)\n"
        "say(Phase(str(os.getpid())))\nwhile not stop.asked: time.sleep(0.01)"
    )
    parent = (
        "import sys\nfrom pathlib import Path\nfrom ftc.launch import local\n"
        f"local.command = lambda _, **__: [sys.executable, '-c', {SAY + child!r}]\n"
        "run = Path(sys.argv[1])\n"
        "local.launch(local.Job(run, run, run, run), lambda e: print(e.name, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", parent, tmp_path], stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    status = Path(f"/proc/{pid}/status")
    assert not status.exists() or "Z (zombie)" in status.read_text()
