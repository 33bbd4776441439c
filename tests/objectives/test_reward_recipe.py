"""A reward model from another recipe: planned and built first, and asked for each sampled answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.artifact import build as artifact_build
from ftc.artifact.chain import read_chain
from ftc.diagnostics import Severity
from ftc.jobs.verifying import verify_run
from ftc.launch.local import Outcome
from ftc.runtime import merge, score
from ftc.runtime.events import Event
from ftc.runtime.job import Job
from objectives.test_objectives_train import FULL, PAIRS, PROMPTS, steps
from runtime.in_process import run_job

pytestmark = pytest.mark.filterwarnings("ignore")
SAMPLED = 'name = "grpo", generations = 4, max_new_tokens = 10'


def write(directory: Path, model: Path, rows: list[dict[str, Any]], objective: str, tune: str = "") -> Path:
    directory.mkdir()
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = directory / "recipe.toml"
    recipe.write_text(
        f'[model]\nbase = "{model}"\n[data]\nsources.rows = "rows.jsonl"\nsplit.eval = 8\n{tune}'
        f"[train]\nobjective = {objective}\nsteps = 3\nbatch = 4\nlearning_rate = 5e-3\n"
        '[lints]\nsmall_eval = "allow"\n',
        encoding="utf-8",
    )
    return recipe


def chain(root: Path, model: Path, tune: str = FULL, reward: str = '"reward"') -> Path:
    write(root / "reward", model, PAIRS, reward, tune)
    rewards = '{ recipe = "../reward", weight = 2.0 }, { metric = "length", at_least = 1 }'
    return write(root / "policy", model, PROMPTS, f"{{ {SAMPLED}, rewards = [{rewards}] }}")


def launched(job: Job, _on_event: Callable[[Event], None], **_: Any) -> Outcome:
    """The runtime in this process."""
    ran = run_job(job)
    assert ran.status == 0, ran.log
    return Outcome("done", 0, None, 0, job.log)


def test_the_reward_model_is_built_first_and_scores(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForSequenceClassification

    monkeypatch.setattr(artifact_build, "launch", launched)
    recipe = chain(tmp_path, tiny_model)
    planned = ftc.plan(recipe)
    assert planned.ok, planned.findings
    assert [(link.name, link.state) for link in planned.chain] == [
        ("reward", "not built"),
        ("policy", "not built"),
    ]
    assert planned.plan is not None
    assert planned.plan.objective is not None
    model, length = planned.plan.objective.rewards
    assert model.model is not None
    assert model.model.location.startswith("run://reward/")
    assert model.model.revision == planned.chain[0].digest
    assert model.weight == 2.0
    assert length.model is None

    seen: list[tuple[list[list[int]], list[float]]] = []
    real = score.row_scores

    def look(model: Any, tokens: list[list[int]], *, pad_id: int) -> list[float]:
        seen.append((tokens, real(model, tokens, pad_id=pad_id)))
        return seen[-1][1]

    monkeypatch.setattr("ftc.runtime.rewards.row_scores", look)
    built = ftc.build(recipe)
    assert built.ok, built.findings
    assert built.run is not None
    assert built.digest == planned.digest
    record = steps(built.run)
    assert all("reward" in line for line in record)
    (made,) = (tmp_path / "reward" / "runs" / "reward").iterdir()
    (link,) = read_chain(built.run)
    assert (link.name, link.use, link.plan) == ("reward", "reward", planned.chain[0].digest)
    assert (built.run / link.place).resolve() == made.resolve()
    (checked,) = [check for check in verify_run(built.run).checks if check.title == "chain"]
    assert (checked.findings, checked.open) == ((), "")
    assert "The reward model scored" in (built.run / "README.md").read_text(encoding="utf-8")
    scorer = AutoModelForSequenceClassification.from_pretrained(made / "model").eval()
    scorer.config.pad_token_id = 0
    row, found = seen[0][0][0], seen[0][1][0]
    assert found == pytest.approx(real(scorer, [row], pad_id=0)[0], abs=1e-5)


def test_an_adapter_of_a_reward_model_is_merged_with_its_head(tmp_path: Path, tiny_model: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    from ftc.plan.canonical import canonical_bytes

    planned = ftc.plan(write(tmp_path / "reward", tiny_model, PAIRS, '"reward"'))
    assert planned.plan is not None
    assert planned.data is not None
    run = tmp_path / "run"
    run.mkdir()
    (run / "plan.json").write_bytes(canonical_bytes(planned.plan))
    assert run_job(Job(run / "plan.json", planned.data, tiny_model, run)).status == 0
    merge.merge(run, tiny_model, tmp_path / "merged")
    ids = torch.arange(3, 23)[None]
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    adapted = PeftModel.from_pretrained(base, run / "model").eval()
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    for model in (adapted, whole):
        model.config.pad_token_id = 0
    assert torch.allclose(adapted(ids).logits, whole(ids).logits, atol=1e-5)


def test_what_cannot_score_is_said(tmp_path: Path, tiny_model: Path) -> None:
    def codes(recipe: Path) -> list[str]:
        return [one.code for one in ftc.plan(recipe).findings if one.severity is Severity.ERROR]

    (tmp_path / "a").mkdir()
    recipe = chain(tmp_path / "a", tiny_model)
    reward = tmp_path / "a" / "reward" / "recipe.toml"
    right = reward.read_text(encoding="utf-8")
    reward.write_text(right.replace('"reward"', '"dpo"'), encoding="utf-8")
    assert codes(recipe) == ["FTC582"]
    reward.write_text(right.replace("[data]", 'chat_template = "own.jinja"\n[data]'), encoding="utf-8")
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    more = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    (tmp_path / "a" / "reward" / "own.jinja").write_text(template + more, encoding="utf-8")
    assert codes(recipe) == ["FTC519"]
    text = recipe.read_text(encoding="utf-8")
    for other, code in (("../nowhere", "FTC580"), ("recipe.toml", "FTC581")):
        recipe.write_text(text.replace('"../reward"', f'"{other}"'), encoding="utf-8")
        assert codes(recipe) == [code]


def test_sampled_answers_have_no_held_out_loss(tmp_path: Path, tiny_model: Path) -> None:
    recipe = write(tmp_path / "p", tiny_model, PROMPTS, f'{{ {SAMPLED}, rewards = ["exact_match"] }}')
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("steps = 3", "steps = 3\neval_every = 1"), encoding="utf-8")
    (found,) = ftc.plan(recipe).findings
    assert found.code == "FTC551"
    assert "says nothing of how well" in found.message
