"""Options of training as they run: accumulation, smoothing, noise, the compiler, trackers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from in_process import Ran, execute, run_job

from ftc.plan.steps import Plan
from ftc.runtime.events import Failed, Step, Warned
from ftc.runtime.job import Job
from tiny_plan import Tiny

WEIGHTS = "model/model.safetensors"
ADAPTER = "model/adapter_model.safetensors"


def losses(directory: Path) -> list[float]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def done(tiny: Tiny, plan: Plan, directory: Path) -> Ran:
    ran = execute(tiny, plan, directory)
    assert ran.status == 0, ran.log
    return ran


def weights(directory: Path, name: str = WEIGHTS) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(str(directory / name)))


@pytest.mark.parametrize("more", [{}, {"label_smoothing_factor": 0.2}], ids=["plain", "smoothed"])
def test_accumulation_changes_nothing(tiny: Tiny, tmp_path: Path, more: dict[str, float]) -> None:
    """Batches of 4 rows of unequal lengths, 1, 2 and 4 at a time: the same losses and the same weights.

    The loss is the mean over the trained tokens of all four, so a row counts by its tokens. SGD passes
    gradients on as they are, where AdamW would hide their scale.
    """
    settings: dict[str, Any] = {"method": "full", "steps": 5, "learning_rate": 0.5, "optim": "sgd"}
    for micro in (1, 2, 4):
        plan = tiny.plan(micro_batch=micro, accumulation=4 // micro, **settings, **more)
        done(tiny, plan, tmp_path / str(micro))
    whole, first = weights(tmp_path / "4"), losses(tmp_path / "4")
    assert len({round(loss, 6) for loss in first}) == 5
    for micro in ("1", "2"):
        assert losses(tmp_path / micro) == pytest.approx(first, rel=2e-5)
        for name, weight in weights(tmp_path / micro).items():
            assert (weight - whole[name]).abs().max() < 2e-6, name


def test_the_loss_is_the_mean_over_the_trained_tokens_of_a_batch(tiny: Tiny, tmp_path: Path) -> None:
    """The first step's loss, told again from the base model alone, over a whole pass."""
    import torch
    from transformers import AutoModelForCausalLM

    from ftc.runtime.heldout import Heldout

    rows = tiny.train.rows
    plan = tiny.plan(method="full", steps=1, micro_batch=3, accumulation=rows // 3)
    done(tiny, plan, tmp_path / "run")
    model, held = AutoModelForCausalLM.from_pretrained(str(tiny.model)), Heldout.read(tiny.train, tiny.data)
    total = count = 0.0
    for row in range(rows):
        ids, mask = torch.tensor([held.tokens(row)]), torch.tensor(held.mask(row))
        with torch.no_grad():
            likely = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        total -= float(likely[mask[1:]].sum())
        count += int(mask[1:].sum())
    assert losses(tmp_path / "run") == [pytest.approx(total / count, rel=1e-5)]


def test_smoothing_is_that_of_the_formula(tiny: Tiny, tmp_path: Path) -> None:
    """(1 - e) of the target's and e of the mean over the vocabulary, against PyTorch's cross-entropy."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    from ftc.runtime.heldout import Heldout

    rows = tiny.train.rows
    plan = tiny.plan(method="full", steps=1, micro_batch=rows, label_smoothing_factor=0.3)
    done(tiny, plan, tmp_path / "run")
    model, held = AutoModelForCausalLM.from_pretrained(str(tiny.model)), Heldout.read(tiny.train, tiny.data)
    found = []
    for row in range(rows):
        ids, mask = torch.tensor([held.tokens(row)]), torch.tensor(held.mask(row))[1:]
        with torch.no_grad():
            logits = model(ids).logits[0, :-1][mask]
        found.append(cross_entropy(logits, ids[0, 1:][mask], label_smoothing=0.3, reduction="none"))
    assert losses(tmp_path / "run") == [pytest.approx(float(torch.cat(found).mean()), rel=1e-5)]


@pytest.mark.parametrize("more", [{"neftune_noise_alpha": 5.0}, {"label_smoothing_factor": 0.1}])
def test_stopped_and_resumed_with_noise(tiny: Tiny, tmp_path: Path, more: dict[str, float]) -> None:
    """The noise goes on where it was: the same bytes as without a stop, other ones than without noise."""
    plan = tiny.plan(steps=7, save_every=3, **more)
    done(tiny, plan, tmp_path / "whole")
    execute(tiny, plan, tmp_path / "run", lambda event: isinstance(event, Step) and event.step == 4)
    done(tiny, plan, tmp_path / "run")
    for name in (ADAPTER, "metrics.jsonl", "eval.json", "training.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    done(tiny, tiny.plan(steps=7, save_every=3), tmp_path / "plain")
    assert (tmp_path / "plain" / ADAPTER).read_bytes() != (tmp_path / "whole" / ADAPTER).read_bytes()


def test_a_compiled_model_learns_the_same_and_is_saved_as_it_is(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs are traced and differentiated as ever; the code that Inductor would make of them is left out."""
    import torch._inductor.compile_fx as inductor
    from torch._dynamo.backends.debugging import aot_eager

    graphs = []

    def traced(graph: Any, inputs: Any, **_: Any) -> Any:
        graphs.append(graph)
        return aot_eager(graph, inputs)

    monkeypatch.setattr(inductor, "compile_fx", traced)
    settings: dict[str, Any] = {"method": "full", "steps": 2, "learning_rate": 1e-3}
    done(tiny, tiny.plan(**settings), tmp_path / "plain")
    assert not graphs
    done(tiny, tiny.plan(**settings, torch_compile=True), tmp_path / "compiled")
    assert graphs
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert set(weights(tmp_path / "compiled")) == set(weights(tmp_path / "plain"))


def test_a_loss_that_goes_up_for_good_stops_with_its_rows(tiny: Tiny, tmp_path: Path, monkeypatch) -> None:
    """From step 30 on the loss is told as far too high; the run goes on where the plan says to warn."""
    from ftc.runtime.trainer import Additions

    log = Additions.log

    def risen(self: Additions, logs: dict[str, float], *rest: Any) -> None:
        high = "loss" in logs and self.state.global_step >= 30
        log(self, {**logs, "loss": 50.0 + self.state.global_step} if high else logs, *rest)

    monkeypatch.setattr(Additions, "log", risen)
    plan = tiny.plan(steps=60, save_every=20, learning_rate=1e-4)
    ran = execute(tiny, plan, tmp_path / "run")
    failed = ran.events[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "FTC705"
    assert "at step 30" in failed.message
    named = next(line for line in failed.help if "the rows of that step" in line)
    assert len(re.findall(r"\br\d+\b", named)) == 4
    assert any("learning_rate" in line for line in failed.help)
    again = execute(tiny, plan, tmp_path / "run")
    assert again.events[-1] == failed, "the same words, though it began at the checkpoint of step 20"
    warn = plan.model_copy(update={"train": plan.train.model_copy(update={"divergence": "warn"})})
    going_on = done(tiny, warn, tmp_path / "warned")
    assert [event.message for event in going_on.of(Warned)] == [failed.message]


def test_a_tracker_is_told_of_each_step_and_changes_no_byte(tiny: Tiny, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    plan = tiny.plan(steps=3)
    done(tiny, plan, tmp_path / "without" / "run")
    told = tiny.job(plan, tmp_path / "with" / "run")
    ran = run_job(Job(told.plan, told.data, told.model, told.run, ("tensorboard",)))
    assert ran.status == 0, ran.log
    for name in (ADAPTER, "metrics.jsonl", "eval.json", "training.json"):
        assert (told.run / name).read_bytes() == (tmp_path / "without/run" / name).read_bytes(), name
    files = list((tmp_path / "with/trackers/tensorboard/run").glob("events.*"))
    assert files
    assert b"train/loss" in b"".join(file.read_bytes() for file in files)
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
