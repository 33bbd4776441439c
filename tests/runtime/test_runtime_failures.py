"""What goes wrong while a plan runs comes back as a code with advice, and the traceback goes to the log."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from in_process import Ran, execute

from ftc.artifact.lock import exclusive
from ftc.plan.steps import EnvironmentStep
from ftc.runtime import trainer
from ftc.runtime.events import Event, Failed, Step, Warned
from ftc.runtime.failure import BuildError, explain
from ftc.runtime.stop import Stop
from tiny_plan import Tiny, file_digest


def failed(ran: Ran) -> Failed:
    assert ran.status == 1
    assert isinstance(ran.events[-1], Failed)
    assert not (ran.directory / "model").exists()
    return ran.events[-1]


def test_divergence(tiny: Tiny, tmp_path):
    plan = tiny.plan(method="full", learning_rate=1e30, max_grad_norm=1e9)
    event = failed(execute(tiny, plan, tmp_path / "run"))
    assert event.code == "FTC705"
    assert "step 2" in event.message
    assert any("learning_rate" in line for line in event.help)


def test_divergence_is_the_same_after_a_restart(tiny: Tiny, tmp_path):
    """No checkpoint of broken weights is resumed: the second start fails at the same step."""
    plan = tiny.plan(method="full", learning_rate=1e30, max_grad_norm=1e9, save_every=1)
    first = failed(execute(tiny, plan, tmp_path / "run"))
    assert failed(execute(tiny, plan, tmp_path / "run")) == first


def test_a_gradient_that_is_not_finite(tiny: Tiny, tmp_path, monkeypatch):
    log = trainer.Additions.log

    def broken(self, logs, *rest):
        log(self, {**logs, "grad_norm": float("inf")} if "loss" in logs else logs, *rest)

    monkeypatch.setattr(trainer.Additions, "log", broken)
    event = failed(execute(tiny, tiny.plan(), tmp_path / "run"))
    assert event.code == "FTC705"
    assert "gradient" in event.message


def scaled_session(tmp_path: Path, *, scaled: bool) -> tuple[trainer.Session, list[Event]]:
    events: list[Event] = []
    train = SimpleNamespace(arguments={"fp16": scaled}, divergence="stop")
    plan = SimpleNamespace(train=train, objective=SimpleNamespace(batches="rows"))
    session = trainer.Session(plan, tmp_path, tmp_path / "metrics.jsonl", tmp_path, events.append, Stop())
    session.first_step = -1
    return session, events


LOGS = {"loss": 1.5, "learning_rate": 1e-3}


def test_a_scaled_gradient_that_overflows_is_left_out_and_said(tmp_path: Path):
    session, events = scaled_session(tmp_path, scaled=True)
    for step, norm in enumerate([float("inf"), float("nan"), 2.0, float("inf")], 1):
        session.record(step, 4, {**LOGS, "grad_norm": norm})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["grad_norm"] for line in lines] == [None, None, 2.0, None]
    assert [event.grad_norm for event in events if isinstance(event, Step)] == [None, None, 2.0, None]
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert [message.split()[1] for message in warned] == ["1", "2", "4"]


def test_a_scaled_gradient_that_keeps_overflowing_has_diverged(tmp_path: Path):
    session, _ = scaled_session(tmp_path, scaled=True)
    steps = trainer.OVERFLOWS
    for step in range(steps):
        session.record(step, 100, {**LOGS, "grad_norm": float("inf")})
    with pytest.raises(BuildError) as caught:
        session.record(steps, 100, {**LOGS, "grad_norm": float("inf")})
    assert caught.value.event.code == "FTC705"


def test_without_scaling_the_first_one_has_diverged(tmp_path: Path):
    session, _ = scaled_session(tmp_path, scaled=False)
    with pytest.raises(BuildError):
        session.record(1, 100, {**LOGS, "grad_norm": float("inf")})


def test_a_device_that_is_not_there(tiny: Tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("ftc.runtime.load.load_base", lambda *_: pytest.fail("loaded the model"))
    plan = tiny.plan()
    on_gpu = plan.model_copy(update={"environment": EnvironmentStep(device="cuda", packages={})})
    event = failed(execute(tiny, on_gpu, tmp_path / "run"))
    assert event.code == "FTC855"
    assert "GPU (cuda)" in event.message


def out_of_cuda_memory() -> BaseException:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def safetensors_full() -> BaseException:
    from safetensors import SafetensorError

    return SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("made", "code", "word"),
    [
        (out_of_cuda_memory, "FTC703", "micro_batch"),
        (MemoryError, "FTC703", "micro_batch"),
        (
            lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "FTC703",
            "micro_batch",
        ),
        (lambda: OSError(errno.ENOSPC, "No space left on device"), "FTC702", "free some space"),
        (safetensors_full, "FTC702", "free some space"),
        (lambda: PermissionError(errno.EACCES, "Permission denied", "x"), "FTC701", "writable"),
        (lambda: OSError(errno.EROFS, "Read-only file system", "x"), "FTC701", "writable"),
        (lambda: ZeroDivisionError("first\nsecond"), "FTC703", "build.log"),
    ],
)
def test_what_is_raised_while_training(made, code, word, tiny: Tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise made()

    monkeypatch.setattr(trainer.Additions, "training_step", fail)
    ran = execute(tiny, tiny.plan(), tmp_path / "run")
    event = failed(ran)
    assert event.code == code
    assert any(word in line for line in event.help)
    assert "Traceback" in ran.log


def test_a_full_disk_keeps_the_checkpoint_before(tiny: Tiny, tmp_path, monkeypatch):
    """The disk fills while the second checkpoint is written; later the run goes on from the first."""
    import torch

    save, calls = torch.save, []

    def full(value, place, *rest, **more):
        calls.append(place)
        if "checkpoint-4" in str(place):
            raise OSError(errno.ENOSPC, "No space left on device", str(place))
        save(value, place, *rest, **more)

    monkeypatch.setattr(torch, "save", full)
    assert failed(execute(tiny, tiny.plan(), tmp_path / "run")).code == "FTC702"
    assert calls
    monkeypatch.undo()
    resumed = execute(tiny, tiny.plan(), tmp_path / "run")
    assert resumed.status == 0, resumed.log
    assert resumed.of(Step)[0].step == 3


def test_explain_follows_the_chain():
    full = OSError(errno.ENOSPC, "No space left on device")

    def raised():
        raise RuntimeError("write failed") from full

    with pytest.raises(RuntimeError) as caught:
        raised()
    assert explain(caught.value).code == "FTC702"
    assert explain(ZeroDivisionError("a\nlast line")).message == "ZeroDivisionError: last line"
    assert explain(BuildError("FTC999", "m", "h")) == Failed("FTC999", "m", ("h",))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_changed_model(name, tiny: Tiny, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny.model, model)
    plan = tiny.plan()
    with (model / name).open("ab") as file:
        file.write(b" ")
    other = Tiny(tiny.root, model, tiny.train, tiny.eval)
    event = failed(execute(other, plan, tmp_path / "run"))
    assert event.code == "FTC706"
    assert name in event.message


def test_changed_data(tiny: Tiny, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(tiny.root, root)
    name = tiny.train.shards[-1].file.name
    data = (root / "data" / name).read_bytes()
    (root / "data" / name).write_bytes(data[:-1] + b"x")
    event = failed(execute(Tiny(root, tiny.model, tiny.train, tiny.eval), tiny.plan(), tmp_path / "run"))
    assert event.code == "FTC706"
    assert name in event.message


def test_missing_weights_are_not_made_up(tiny: Tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    model = tmp_path / "model"
    shutil.copytree(tiny.model, model)
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    other = Tiny(tiny.root, model, tiny.train, tiny.eval)
    event = failed(execute(other, other.plan(), tmp_path / "run"))
    assert event.code == "FTC405"
    assert "model.layers.1.mlp.up_proj.weight" in event.message


def test_pickled_weights_are_not_loaded(tiny: Tiny, tmp_path):
    import torch
    from safetensors.torch import load_file

    model = tmp_path / "model"
    shutil.copytree(tiny.model, model)
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    step = tiny.model_step().model_copy(update={"weights": (file_digest(model / "pytorch_model.bin"),)})
    plan = tiny.plan().model_copy(update={"model": step})
    other = Tiny(tiny.root, model, tiny.train, tiny.eval)
    failed(execute(other, plan, tmp_path / "run"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda plan: plan.pop("train"), "no train"),
        (lambda plan: plan.update(surprise=1), "cannot be read"),
        (lambda plan: plan.update(format=2), "cannot be read"),
    ],
)
def test_an_unusable_plan(spoil, said, tiny: Tiny, tmp_path):
    from in_process import run_job

    job = tiny.job(tiny.plan(), tmp_path / "run")
    plan = json.loads(job.plan.read_text())
    spoil(plan)
    job.plan.write_text(json.dumps(plan))
    event = failed(run_job(job))
    assert event.code == "FTC703"
    assert said in event.message


def test_two_at_once(tiny: Tiny, tmp_path):
    run = tmp_path / "run"
    (run / "work").mkdir(parents=True)
    with exclusive(run / "work/lock"):
        event = failed(execute(tiny, tiny.plan(), run))
    assert event.code == "FTC707"
    assert str(os.getpid()) in event.message


def test_an_unwritable_run(tiny: Tiny, tmp_path, monkeypatch):
    job = tiny.job(tiny.plan(), tmp_path / "run")
    from in_process import run_job

    make = os.mkdir

    def refuse(path, *arguments, **options):
        """As the system would for anyone but root, who may run these tests."""
        if Path(path).is_relative_to(job.run):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return make(path, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", refuse)
    assert failed(run_job(job)).code == "FTC701"
