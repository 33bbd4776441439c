"""The held-out loss while training: early stopping, the best weights, and that a restart changes no byte."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from in_process import Ran, execute
from test_runtime_resume import runtime

from ftc.plan.steps import Plan, WatchStep
from ftc.runtime.events import HeldOut, Phase, Step, Stopped, Warned, decode
from tiny_plan import LABELS, Tiny, completion_row, write_part

BYTES = ("model/model.safetensors", "metrics.jsonl", "eval.json", "training.json")


def with_watch(plan: Plan, **settings: Any) -> Plan:
    watch = WatchStep(**{"every": 4, "batch": 4, **settings})
    return plan.model_copy(update={"train": plan.train.model_copy(update={"watch": watch})})


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Tiny:
    """Six rows that are soon learned by heart, and held-out rows that answer the same prompts otherwise."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    root, prompts = tmp_path_factory.mktemp("few"), ["the quick brown", "over the lazy", "what is the"]
    pairs = [(prompts[i % 3] + " the" * i, LABELS[i % 3]) for i in range(6)]
    train = [completion_row(tokenizer, f"t{i}", prompt, label) for i, (prompt, label) in enumerate(pairs)]
    others = [(prompt, LABELS[(i + 1) % 3]) for i, (prompt, _) in enumerate(pairs)]
    other = [completion_row(tokenizer, f"h{i}", prompt, label) for i, (prompt, label) in enumerate(others)]
    data = root / "data"
    return Tiny(root, tiny_model, write_part(data, "train", train), write_part(data, "eval", other))


@pytest.fixture(scope="module")
def best_plan(few: Tiny) -> Plan:
    plan = few.plan(method="full", steps=30, save_every=7, micro_batch=2, learning_rate=0.02)
    return with_watch(plan, keep="best")


@pytest.fixture(scope="module")
def best_run(few: Tiny, best_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    ran = execute(few, best_plan, tmp_path_factory.mktemp("runs") / "best")
    assert ran.status == 0, ran.log
    return ran


@pytest.fixture(scope="module")
def early_plan(few: Tiny) -> Plan:
    plan = few.plan(method="full", steps=60, save_every=7, micro_batch=2, learning_rate=0.02)
    return with_watch(plan, every=2, patience=3, keep="best")


@pytest.fixture(scope="module")
def early_run(few: Tiny, early_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    ran = execute(few, early_plan, tmp_path_factory.mktemp("runs") / "early")
    assert ran.status == 0, ran.log
    return ran


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def held_out(directory: Path) -> dict[int, float]:
    return {line["step"]: line["eval_loss"] for line in lines(directory) if "eval_loss" in line}


def content(directory: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / name).read_text())
    return found


def same(one: Path, other: Path) -> None:
    for name in BYTES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_it_is_the_loss_that_eval_measures(few: Tiny, tmp_path: Path) -> None:
    """After the last step it is that of the evaluation after training, to the last bit."""
    ran = execute(few, with_watch(few.plan(steps=6), every=4), tmp_path / "run")
    assert ran.status == 0, ran.log
    found = held_out(tmp_path / "run")
    assert list(found) == [4, 6]
    assert found[6] == content(tmp_path / "run", "eval.json")["after"]["loss"]
    steps = [line["step"] for line in lines(tmp_path / "run")]
    assert steps == [1, 2, 3, 4, 4, 5, 6, 6]
    assert [(event.step, event.loss) for event in ran.of(HeldOut)] == list(found.items())


def test_looking_changes_nothing(few: Tiny, tmp_path: Path) -> None:
    """With dropout, training that is watched ends with the weights of training that is not."""
    plan = few.plan(steps=6)
    peft = {**plan.tune.peft, "lora_dropout": 0.2}
    plan = plan.model_copy(update={"tune": plan.tune.model_copy(update={"peft": peft})})
    execute(few, plan, tmp_path / "without")
    execute(few, with_watch(plan, every=1), tmp_path / "with")
    name = "model/adapter_model.safetensors"
    assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


def test_the_best_weights_are_saved(best_run: Ran) -> None:
    found = held_out(best_run.directory)
    lowest = min(found, key=lambda step: found[step])
    assert lowest < max(found), "the fixture is meant to overfit"
    about = content(best_run.directory, "training.json")
    assert (about["kept_step"], about["last_step"]) == (lowest, 30)
    assert content(best_run.directory, "eval.json")["after"]["loss"] == found[lowest]


def test_overfitting_is_said_while_training_and_recorded(best_run: Ran) -> None:
    warned = [event.message for event in best_run.of(Warned)]
    about = content(best_run.directory, "training.json")["overfitting"]
    assert len(warned) == 1
    assert "overfits" in warned[0]
    found = held_out(best_run.directory)
    assert found[about["best_step"]] == about["best"] < about["held_out"] == found[about["step"]]
    assert about["since"] < about["before"]


def test_early_stopping_ends_after_its_patience(early_run: Ran) -> None:
    """Told again in the plainest words: three evaluations after the lowest so far, none lower."""
    found = held_out(early_run.directory)
    steps = list(found)
    for index, _ in enumerate(steps):
        seen = steps[: index + 1]
        waited = len(seen) - 1 - min(range(len(seen)), key=lambda place: found[seen[place]])
        assert (waited >= 3) == (index == len(steps) - 1)
    about = content(early_run.directory, "training.json")
    assert about["ended_early"]
    assert about["last_step"] == steps[-1] < 60
    assert early_run.of(Step)[-1].step == steps[-1]


def at_step(number: int) -> Any:
    return lambda event: isinstance(event, Step) and event.step == number


@pytest.mark.parametrize("step", [3, 8, 9, 16])
def test_stopped_and_resumed_ends_with_the_same_bytes(
    step: int, few: Tiny, best_plan: Plan, best_run: Ran, tmp_path: Path
) -> None:
    """Between evaluations, at the step of one that is then not done, and behind it."""
    run = tmp_path / "run"
    stopped = execute(few, best_plan, run, at_step(step))
    assert stopped.events[-1] == Stopped(step)
    resumed = execute(few, best_plan, run)
    assert resumed.status == 0, resumed.log
    same(run, best_run.directory)


def test_stopped_again_and_again(few: Tiny, early_plan: Plan, early_run: Ran, tmp_path: Path) -> None:
    """At every third step, so that counters of early stopping come from checkpoints many times."""
    run, last = tmp_path / "run", content(early_run.directory, "training.json")["last_step"]
    for step in range(3, last, 3):
        assert execute(few, early_plan, run, at_step(step)).events[-1] == Stopped(step)
    resumed = execute(few, early_plan, run)
    assert resumed.status == 0, resumed.log
    same(run, early_run.directory)


def test_stopped_within_an_evaluation(few: Tiny, best_plan: Plan, best_run: Ran, tmp_path, monkeypatch):
    """The evaluation is left, a checkpoint is written, and the next start begins with that evaluation."""
    from ftc.runtime.watch import Watch

    whole, calls = Watch.loss, []

    def asked(self: Watch, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            self.stop.ask()
        return whole(self, *given)

    run = tmp_path / "run"
    monkeypatch.setattr(Watch, "loss", asked)
    stopped = execute(few, best_plan, run)
    monkeypatch.undo()
    assert stopped.events[-1] == Stopped(12)
    assert stopped.status == 130
    resumed = execute(few, best_plan, run)
    assert resumed.status == 0, resumed.log
    same(run, best_run.directory)


def test_stopped_behind_an_early_end(few: Tiny, early_plan: Plan, early_run: Ran, tmp_path: Path) -> None:
    """Training has ended, the evaluation after it has not: no step is trained again."""
    run, after = tmp_path / "run", Phase("evaluate", "after")
    execute(few, early_plan, run, lambda event: event == after)
    resumed = execute(few, early_plan, run)
    assert resumed.of(Step) == []
    same(run, early_run.directory)


def test_killed_and_resumed(few: Tiny, best_plan: Plan, best_run: Ran, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with runtime(few.job(best_plan, run)) as process:
        for line in process.stdout:
            event = decode(line.decode())
            if isinstance(event, Step) and event.step == 19:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    resumed = execute(few, best_plan, run)
    assert resumed.status == 0, resumed.log
    same(run, best_run.directory)


def test_without_the_best_checkpoint_it_goes_back(
    few: Tiny, best_plan: Plan, best_run: Ran, tmp_path: Path
) -> None:
    """The newest checkpoint is whole, but the best one that it would need is not."""
    run = tmp_path / "run"
    execute(few, best_plan, run, at_step(25))
    best = content(best_run.directory, "training.json")["kept_step"]
    assert best < 25
    (run / f"checkpoints/step-{best}/model.safetensors").unlink()
    resumed = execute(few, best_plan, run)
    assert resumed.status == 0, resumed.log
    assert resumed.of(Step)[0].step <= best
    same(run, best_run.directory)
