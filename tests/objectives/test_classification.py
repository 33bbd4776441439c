"""Classifiers train for real: the loss is that of whole steps, what is saved answers as it was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.artifact.cards.loading import loading
from ftc.plan.canonical import canonical_bytes
from ftc.runtime.events import Checkpoint
from ftc.runtime.failure import BuildError
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS
from ftc.runtime.ready import read_plan
from runtime.in_process import Ran, run_job

pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = {"animal": "fox", "place": "country", "thing": "what"}
TEXTS = [{"text": f"over the {NAMES[label]} {i}", "label": label} for i in range(16) for label in NAMES]
PROMPTS = [{"prompt": row["text"], "label": sorted(NAMES).index(row["label"]) + 9} for row in TEXTS]
CHATS = [{"messages": [{"role": "user", "content": row["text"]}], "label": row["label"]} for row in TEXTS]
STEPS = 24


def planned(rows: list[dict[str, Any]], directory: Path, model: Path, more: str = "") -> ftc.PlanResult:
    directory.mkdir(exist_ok=True)
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = directory / "recipe.toml"
    split = 'split = { eval = 12, stratify = "label" }\n' if "split" not in more else ""
    recipe.write_text(
        f'[model]\nbase = "{model}"\n[lints]\nsmall_eval = "allow"\n[train]\nobjective = "classification"\n'
        f"steps = {STEPS}\nbatch = 8\nmicro_batch = 4\nlearning_rate = 1e-2\n"
        "save_every = 10\neval_every = 12\n"
        f'[data]\nsources.rows = "rows.jsonl"\n{split}{more}',
        encoding="utf-8",
    )
    return ftc.plan(recipe)


def job_of(result: ftc.PlanResult, directory: Path, model: Path) -> Job:
    assert result.ok, result.findings
    assert result.plan is not None
    assert result.data is not None
    directory.mkdir(exist_ok=True)
    (directory / "plan.json").write_bytes(canonical_bytes(result.plan))
    return Job(directory / "plan.json", result.data, model, directory / "run")


def loaded(plan: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The model as the card says to load it, in the run's directory."""
    monkeypatch.chdir(run)
    found: dict[str, Any] = {}
    exec(loading(plan), found)  # noqa: S102 - what the card tells people to type
    return found["model"].eval(), found["tokenizer"]


CASES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "texts, full": (TEXTS, '[tune]\nmethod = "full"\n'),
    "prompts": (PROMPTS, ""),
    "chats": (CHATS, ""),
}
Whole = Callable[[str], tuple[ftc.PlanResult, Job, Ran]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Whole:
    """The uninterrupted run of a case, made once."""

    def made(case: str) -> tuple[ftc.PlanResult, Job, Ran]:
        rows, tune = CASES[case]
        directory = tmp_path_factory.mktemp("whole")
        result = planned(rows, directory / "r", tiny_model, tune)
        job = job_of(result, directory / "j", tiny_model)
        return result, job, run_job(job)

    return cache(made)


@pytest.mark.parametrize("case", CASES)
def test_a_classifier_learns_and_loads(case: str, whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    rows = CASES[case][0]
    result, job, ran = whole(case)
    plan = result.plan
    assert plan is not None
    assert plan.data is not None
    wanted = sorted({str(row["label"]) for row in rows}, key=lambda one: (len(one), one))
    assert sorted(plan.data.classes) == sorted(wanted)
    assert ran.status == 0, ran.log
    found = json.loads((job.run / "eval.json").read_text(encoding="utf-8"))
    assert found["after"]["label_accuracy"] > found["before"]["label_accuracy"]
    assert found["after"]["loss"] < found["before"]["loss"]
    record = [json.loads(line) for line in (job.run / METRICS).read_text("utf-8").splitlines()]
    watched = [line["eval_loss"] for line in record if "eval_loss" in line]
    assert len(watched) == STEPS // 12
    assert watched[-1] == pytest.approx(found["after"]["loss"], rel=1e-4)
    model, _ = loaded(plan, job.run, monkeypatch)
    assert tuple(model.config.id2label.values()) == plan.data.classes
    lines = [json.loads(line) for line in (job.run / "answers" / "held_out.jsonl").read_text().splitlines()]
    ready = read_plan(job.plan)
    from ftc.runtime.heldout import Heldout

    held = Heldout.read(ready.data.eval, job.data)
    with torch.no_grad():
        for row, line in enumerate(lines):
            logits = model(input_ids=torch.tensor([held.tokens(row)])).logits[0]
            assert plan.data.classes[int(logits.argmax())] == line["after"]["label"]
            own = plan.data.classes.index(line["reference"])
            assert float(-logits.log_softmax(0)[own]) == pytest.approx(line["after"]["loss"], abs=1e-4)


def test_a_build_that_is_stopped_ends_with_the_same_bytes(
    tmp_path: Path, tiny_model: Path, whole: Whole
) -> None:
    result, _, ran = whole("prompts")
    job = job_of(result, tmp_path / "stopped", tiny_model)
    stopped = run_job(job, lambda event: isinstance(event, Checkpoint))
    assert (ran.status, stopped.status) == (0, 130), ran.log + stopped.log
    again = run_job(job)
    assert again.status == 0, again.log
    assert digests(again.directory) == digests(ran.directory)


def digests(directory: Path) -> dict[str, str]:
    files = [directory / METRICS, *sorted((directory / "model").glob("*.safetensors"))]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def test_accumulation_changes_no_loss(tmp_path: Path, tiny_model: Path) -> None:
    """The first step's loss is the mean over its rows, however many there are at a time."""
    found = []
    for micro in (8, 2):
        rows = planned(TEXTS, tmp_path / f"r{micro}", tiny_model, "")
        recipe = tmp_path / f"r{micro}" / "recipe.toml"
        text = recipe.read_text("utf-8").replace("micro_batch = 4", f"micro_batch = {micro}")
        recipe.write_text(text.replace(f"steps = {STEPS}", "steps = 2"), "utf-8")
        assert rows.ok
        job = job_of(ftc.plan(recipe), tmp_path / f"j{micro}", tiny_model)
        assert run_job(job).status == 0
        line = (job.run / METRICS).read_text("utf-8").splitlines()[0]
        found.append(json.loads(line)["loss"])
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_the_first_batch_is_proved_to_have_its_own_classes(tmp_path: Path, tiny_model: Path) -> None:
    from ftc.runtime.classes import prove
    from ftc.runtime.collate import ClassCollator
    from ftc.runtime.rows import trainable

    job = job_of(planned(TEXTS, tmp_path / "r", tiny_model), tmp_path / "j", tiny_model)
    plan = read_plan(job.plan)
    rows = trainable(plan.data.train, job.data, tmp_path / "train.arrow")
    batch = ClassCollator(plan.tokenizer.pad_id, plan.data.classes)([rows[number] for number in (3, 1)])
    prove(batch["labels"].tolist(), [3, 1], plan, job.data)
    with pytest.raises(BuildError, match="class of row 3"):
        prove([(batch["labels"][0].item() + 1) % 3, batch["labels"][1].item()], [3, 1], plan, job.data)


def test_a_loss_of_rows_equals_pytorchs() -> None:
    from types import SimpleNamespace

    import torch

    from ftc.runtime.classes import ClassLoss

    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    wanted = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    parts = [
        ClassLoss(0.1)(SimpleNamespace(logits=logits[part]), labels[part], 6)
        for part in (slice(0, 2), slice(2, 6))
    ]
    assert sum(parts).item() == pytest.approx(wanted.item(), abs=1e-6)


def codes(result: ftc.PlanResult) -> list[str]:
    return [finding.code for finding in result.findings]


def test_classes_that_cannot_be_learned(tmp_path: Path, tiny_model: Path) -> None:
    alone = [{"text": f"row {i}", "label": "one"} for i in range(30)]
    found = planned(alone, tmp_path / "a", tiny_model)
    assert codes(found) == ["FTC516"]
    assert "nothing to tell apart" in found.findings[0].message
    rare = [*TEXTS, {"text": "the only one of its kind", "label": "rare", "side": "eval"}]
    rows = [{"side": "train", **row} for row in rare]
    found = planned(rows, tmp_path / "b", tiny_model, 'split = { column = "side" }\n')
    assert codes(found) == ["FTC516"]
    assert "`rare`" in found.findings[0].message


def test_rows_without_a_label_and_labels_of_another_type(tmp_path: Path, tiny_model: Path) -> None:
    found = planned([*TEXTS, {"text": "no label", "label": None}], tmp_path / "a", tiny_model)
    assert codes(found) == ["FTC604"]
    true = [{"text": row["text"], "label": row["label"] == "animal"} for row in TEXTS]
    found = planned(true, tmp_path / "b", tiny_model)
    assert codes(found) == ["FTC209"]
    assert "a text or a whole number" in found.findings[0].message


def test_metrics_that_need_words_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    found = planned(TEXTS, tmp_path / "a", tiny_model, '[eval]\nmetrics = ["exact_match"]\n')
    assert codes(found) == ["FTC507"]
    assert "`label_accuracy`" in found.findings[0].help[0]
