"""Every objective that compares or samples answers trains, moves its metric, and resumes to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.data.kept.shards import read_rows
from ftc.plan.canonical import canonical_bytes
from ftc.runtime.events import Checkpoint, Event
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS
from ftc.runtime.ready import read_plan
from runtime.in_process import Ran, run_job

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS, EVERY = 8, 4
GOOD, BAD = "country capital", "capital country"
"""As many tokens each; to the model as it begins the bad one is a little likelier."""

WORDS = ("quick", "brown", "lazy", "country", "capital", "fox")
PAIRS = [
    {"prompt": f"what is the {WORDS[i % 6]} of {i}?", "chosen": GOOD, "rejected": BAD} for i in range(32)
]
JUDGED = [
    {"prompt": f"what is the {WORDS[i % 6]} of {i}?", "completion": (BAD, GOOD)[i % 2], "label": bool(i % 2)}
    for i in range(32)
]
PROMPTS = [{"prompt": f"what is the {WORDS[i % 6]} of {i}?", "reference": WORDS[i % 6]} for i in range(32)]
REWARD = '''
def vowels(answer):
    """How much of an answer is the letter e."""
    return sum(letter in "eaou" for letter in answer) / max(len(answer), 1)
'''
SAMPLED = 'generations = 4, max_new_tokens = 10, rewards = [{ python = "rewards.py:vowels" }]'
FULL = '[tune]\nmethod = "full"\n'
CASES: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "dpo": ('"dpo"', PAIRS, ""),
    "dpo, ipo with sft, full": ('{ name = "dpo", loss = "ipo", sft = 0.5 }', PAIRS, FULL),
    "kto": ('"kto"', JUDGED, ""),
    "kto, unpaired, full": ('{ name = "kto", loss = "apo_zero_unpaired" }', JUDGED, FULL),
    "orpo": ('"orpo"', PAIRS, ""),
    "cpo": ('{ name = "cpo", loss = "hinge" }', PAIRS, ""),
    "simpo": ('"simpo"', PAIRS, ""),
    "reward": ('"reward"', PAIRS, ""),
    "reward, full": ('{ name = "reward", centre = 0.01 }', PAIRS, FULL),
    "grpo": (f'{{ name = "grpo", {SAMPLED} }}', PROMPTS, FULL),
    "rloo, full": (f'{{ name = "rloo", {SAMPLED} }}', PROMPTS, FULL),
}


def planned(case: str, directory: Path, model: Path) -> ftc.PlanResult:
    objective, rows, tune = CASES[case]
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (directory / "rewards.py").write_text(REWARD, encoding="utf-8")
    recipe = directory / "recipe.toml"
    recipe.write_text(
        f'[model]\nbase = "{model}"\n[data]\nsources.rows = "rows.jsonl"\nsplit.eval = 8\n{tune}'
        f"[train]\nobjective = {objective}\nsteps = {STEPS}\nbatch = 4\n"
        f"{'' if rows is PROMPTS else f'eval_every = {EVERY}'}\n"
        "save_every = 3\nlearning_rate = 5e-3\n"
        '[lints]\nsmall_eval = "allow"\nlabel_imbalance = "allow"\n',
        encoding="utf-8",
    )
    result = ftc.plan(recipe)
    assert result.ok, result.findings
    return result


def run(
    case: str, directory: Path, model: Path, stop_when: Callable[[Event], bool] | None = None
) -> tuple[Ran, Job]:
    directory.mkdir(exist_ok=True)
    result = planned(case, directory, model)
    assert result.plan is not None
    assert result.data is not None
    (directory / "plan.json").write_bytes(canonical_bytes(result.plan))
    job = Job(directory / "plan.json", result.data, model, directory / "run")
    return run_job(job, stop_when), job


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[[str], tuple[Ran, Job]]:
    """The uninterrupted run of a case, made once."""
    return cache(lambda case: run(case, tmp_path_factory.mktemp("whole"), tiny_model))


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / METRICS).read_text(encoding="utf-8").splitlines()]


def steps(directory: Path) -> list[dict[str, Any]]:
    return [line for line in lines(directory) if "eval_loss" not in line]


def held_out(directory: Path) -> list[float]:
    return [line["eval_loss"] for line in lines(directory) if "eval_loss" in line]


def figure(directory: Path, name: str, when: str) -> float:
    found = json.loads((directory / "eval.json").read_text(encoding="utf-8"))
    return float(found[when][name])


@pytest.mark.parametrize("case", CASES)
def test_an_objective_trains_and_its_metric_moves_the_right_way(
    case: str, whole: Callable[[str], tuple[Ran, Job]]
) -> None:
    ran, _ = whole(case)
    assert ran.status == 0, ran.log
    record = steps(ran.directory)
    assert len(record) == STEPS
    assert all(line["tokens"] > 0 for line in record)
    if "vowels" in CASES[case][0]:
        rewards = [line["reward"] for line in record]
        assert sum(rewards[-3:]) > sum(rewards[:3])
    elif case.startswith("kto"):
        assert record[-1]["preference_margin"] > record[0]["preference_margin"]
    else:
        before, after = (figure(ran.directory, "preference_accuracy", when) for when in ("before", "after"))
        assert after > before or (after == 1.0 and case.startswith("reward"))  # its head begins at random
        margins = [line["preference_margin"] for line in record if "preference_margin" in line]
        assert not margins or margins[-1] > margins[0]


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("cpo")])
def test_the_held_out_loss_falls_with_that_of_training(
    case: str, whole: Callable[[str], tuple[Ran, Job]]
) -> None:
    found = held_out(whole(case)[0].directory)
    assert len(found) == (0 if "vowels" in CASES[case][0] else STEPS // EVERY)
    assert not found or found[-1] < found[0]


RESUMED = ["dpo, ipo with sft, full", "kto", "orpo", "cpo", "simpo", "reward", "grpo", "rloo, full"]


@pytest.mark.parametrize("case", RESUMED)
def test_a_build_that_is_stopped_ends_with_the_same_bytes(
    case: str, tmp_path: Path, tiny_model: Path, whole: Callable[[str], tuple[Ran, Job]]
) -> None:
    stopped, job = run(case, tmp_path / "stopped", tiny_model, lambda event: isinstance(event, Checkpoint))
    assert stopped.status == 130, stopped.log
    again = run_job(job)
    assert again.status == 0, again.log
    assert digests(again.directory) == digests(whole(case)[0].directory)


def digests(directory: Path) -> dict[str, str]:
    files = [directory / METRICS, *sorted((directory / "model").glob("*.safetensors"))]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_saved_reward_model_scores_as_it_did(
    tiny_model: Path, whole: Callable[[str], tuple[Ran, Job]]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    ran, job = whole("reward")
    tokenizer = AutoTokenizer.from_pretrained(ran.directory / "model")
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    base.config.pad_token_id = tokenizer.pad_token_id
    model = PeftModel.from_pretrained(base, ran.directory / "model").eval()

    def score(answer: str) -> float:
        turns = [
            {"role": "user", "content": "what is the fox of 1?"},
            {"role": "assistant", "content": answer},
        ]
        ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            return float(model(ids).logits[0, 0])

    assert score(GOOD) > score(BAD)
    plan = read_plan(job.plan)
    assert plan.data.eval is not None
    gaps = []
    for row in read_rows(job.data, plan.data.eval):
        chosen, rejected = (torch.tensor([ids]) for ids in apart(row.input_ids, row.lengths))
        with torch.no_grad():
            gaps.append(model(chosen).logits[0, 0] - model(rejected).logits[0, 0])
    wanted = -torch.nn.functional.logsigmoid(torch.stack(gaps)).mean()
    assert held_out(ran.directory)[-1] == pytest.approx(float(wanted), rel=1e-4)


def apart(tokens: Sequence[int], lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    return list(tokens[: lengths[0]]), list(tokens[lengths[0] :])
