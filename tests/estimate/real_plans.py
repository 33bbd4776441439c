"""Plans over small models, and the true peaks of the runtime's own functions that execute them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import JsonValue

from estimate.real_steps import peaks, phase
from ftc.objectives import load as load_objective
from ftc.objectives import options as objective_options
from ftc.plan.steps import ObjectiveStep, PackingStep, Plan, RewardStep, Sequences
from ftc.runtime.stop import Stop
from tiny_plan import Tiny, file_digest, write_part

LENGTHS = (256, 131, 190, 256, 97, 233, 256, 160)


@dataclass(frozen=True)
class Case:
    """What is asked of a plan, apart from its model."""

    method: str = "lora"
    micro_batch: int = 4
    accumulation: int = 1
    packed: bool = False
    lengths: tuple[int, ...] = LENGTHS
    held_out: tuple[int, ...] = ()
    metrics: tuple[str, ...] = ("loss",)
    labels: tuple[str, ...] = ()
    prompt: int = 8
    arguments: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=lambda: {"name": "sft"})
    scored: bool = False

    @property
    def asks(self) -> bool:
        """Whether rows are prompts whose answers are sampled."""
        return load_objective(self.objective["name"]).batches == "prompts"

    @property
    def members(self) -> tuple[str, ...]:
        """The texts that train together as a row of the objective."""
        return load_objective(self.objective["name"]).members


def pairs(lengths: tuple[int, ...], prompt: int, vocabulary: int) -> list[dict[str, Any]]:
    """Rows of two members: one of the length, and one that is shorter by as many tokens as rows go before."""
    made = []
    for number, whole in enumerate(rows(lengths, prompt, vocabulary)):
        shorter = len(whole["input_ids"]) - number
        both = {name: whole[name] + whole[name][:shorter] for name in ("input_ids", "mask")}
        made.append({**whole, **both, "lengths": [len(whole["input_ids"]), shorter]})
    return made


REWARDS = (RewardStep(name="length", metric="length", options={}, python=None, source=None, weight=1.0),)
SCORER = "scorer"
LABELLED: dict[str, tuple[JsonValue, ...]] = {"kto": (True, False), "classification": ("a", "b", "c")}
"""Labels that rows carry by turns, by objective."""


def labelled(
    lengths: tuple[int, ...], prompt: int, vocabulary: int, labels: tuple[JsonValue, ...]
) -> list[dict[str, Any]]:
    """Rows that carry a label each; one of a class has no token with loss."""
    made = rows(lengths, prompt, vocabulary)
    if labels == LABELLED["classification"]:
        made = [{**row, "mask": [False] * len(row["mask"])} for row in made]
    carried = [json.dumps({"label": label}) for label in labels]
    return [{**row, "carried": carried[number % len(labels)]} for number, row in enumerate(made)]


def asked(lengths: tuple[int, ...], prompt: int, vocabulary: int) -> list[dict[str, Any]]:
    """Prompts of so many tokens, with what a reward is told of them."""
    made = rows(lengths, prompt, vocabulary)
    changed = {"mask": [False], "target": None, "carried": json.dumps({"reference": "a"})}
    return [
        {**row, **changed, "mask": [False] * len(row["mask"]), "prompt_length": len(row["mask"])}
        for row in made
    ]


def rows(lengths: tuple[int, ...], prompt: int, vocabulary: int) -> list[dict[str, Any]]:
    """Rows of any tokens, which carry loss behind the prompt."""
    made = []
    for number, length in enumerate(lengths):
        mask = [index >= prompt for index in range(length)]
        ids = [3 + (17 * index + number) % (vocabulary - 3) for index in range(length)]
        made.append(
            {"id": f"r{number}", "input_ids": ids, "mask": mask, "prompt_length": prompt, "target": "a"}
        )
    return made


def tiny_of(root: Path, config: dict[str, Any], case: Case) -> Tiny:
    """A model of this config with random weights, its tokenizer, and compiled rows of the case's lengths."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    from models import write_tiny_tokenizer

    model = root / "model"
    write_tiny_tokenizer(model)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).save_pretrained(model)
    if case.scored:
        settings = AutoConfig.for_model(**config, num_labels=1, pad_token_id=0)
        AutoModelForSequenceClassification.from_config(settings).save_pretrained(root / SCORER)
    labels = LABELLED.get(case.objective["name"])
    plain = partial(labelled, labels=labels) if labels else asked if case.asks else rows
    kind = pairs if case.members else plain
    made = [kind(lengths, case.prompt, config["vocab_size"]) for lengths in (case.lengths, case.held_out)]
    train = write_part(root / "data", "train", made[0])
    held = write_part(root / "data", "eval", made[1]) if made[1] else None
    return Tiny(root, model, train, held)


def plan_of(tiny: Tiny, config: dict[str, Any], case: Case, packages: dict[str, str]) -> Plan:
    """The plan of a case over its compiled rows."""
    plan = tiny.plan(
        method=case.method,
        steps=2,
        micro_batch=case.micro_batch,
        accumulation=case.accumulation,
        save_every=100,
        metrics=case.metrics,
        labels=case.labels,
        **case.arguments,
    )
    assert plan.model is not None
    assert plan.data is not None
    assert plan.environment is not None
    changes: dict[str, Any] = {
        "model": plan.model.model_copy(update={"vocabulary": config["vocab_size"]}),
        "environment": plan.environment.model_copy(update={"packages": packages}),
        "packing": PackingStep(packed=case.packed),
        **_objective(plan, case),
    }
    answer = max((*case.lengths, *case.held_out)) - case.prompt
    classes = LABELLED["classification"] if case.objective["name"] == "classification" else ()
    data = {
        "classes": classes,
        "longest_target": answer,
        "sequences": _pairs(tiny, case) if case.packed else None,
    }
    changes["data"] = plan.data.model_copy(update=data)
    return plan.model_copy(update=changes)


def _objective(plan: Plan, case: Case) -> dict[str, Any]:
    """The steps that hang on what is optimised."""
    assert plan.train is not None
    assert plan.render is not None
    name = case.objective["name"]
    found, sft = load_objective(name), load_objective("sft")
    options = found.options(**case.objective)
    before = sft.arguments(objective_options("sft", None)) if name != "sft" else {}
    arguments = {key: value for key, value in plan.train.arguments.items() if key not in before}
    arguments = found.arguments(options) | arguments
    each = found.per_row(options)
    arguments["per_device_train_batch_size"] = case.micro_batch * each
    by_model = (REWARDS[0].model_copy(update={"metric": None, "model": plan.model}),)
    step = ObjectiveStep(
        name=name,
        trainer=found.trainer,
        config=found.config,
        options=options.model_dump(mode="json"),
        batches=found.batches,
        head=found.loads.head,
        reference=found.loads.reference,
        teacher=plan.model if found.loads.teacher else None,
        rewards=(by_model if case.scored else REWARDS) if case.asks else (),
    )
    tune = plan.tune
    if found.loads.head != "vocabulary" and tune is not None and tune.peft is not None:
        peft = {**tune.peft, "task_type": "SEQ_CLS", "modules_to_save": ["score"]}
        tune = tune.model_copy(update={"peft": peft})
    return {
        "objective": step,
        "tune": tune,
        "train": plan.train.model_copy(update={"arguments": arguments}),
        "render": plan.render.model_copy(update={"members": found.members, "carried": found.carried}),
    }


def _pairs(tiny: Tiny, case: Case) -> Sequences:
    """Sequences of two rows each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tiny.data / "sequences.parquet"
    numbers = [[first, first + 1] for first in range(0, len(case.lengths), 2)]
    pq.write_table(pa.table({"rows": pa.array(numbers, pa.list_(pa.int64()))}), path)
    sums = [case.lengths[a] + case.lengths[b] for a, b in numbers]
    return Sequences(
        file=file_digest(path),
        count=len(sums),
        rows=len(case.lengths),
        tokens=sum(sums),
        longest=max(sums),
        capacity=max(sums),
    )


def measured(tiny: Tiny, plan: Plan, run: Path) -> dict[str, int]:
    """The peaks in bytes of evaluation before, training, and evaluation after, by the runtime's functions."""
    from transformers import set_seed

    from ftc.runtime import adapt, load, rewards, train
    from ftc.runtime.evaluate import Evaluator, Host
    from ftc.runtime.ready import read_plan
    from ftc.runtime.suites import with_rows
    from ftc.runtime.trainer import Session

    scorer = tiny.root / SCORER
    job = replace(tiny.job(plan, run), teacher=tiny.model, scorers=(scorer,) if scorer.exists() else ())
    ready = read_plan(job.plan)
    job.work.mkdir(parents=True, exist_ok=True)

    def unmapped(model: Any) -> Any:
        """Files are mapped into memory, which the profiler does not see."""
        for weight in model.parameters():
            weight.data = weight.data.clone()
        return model

    def execute() -> None:
        stop, quiet = Stop(), lambda _: None
        set_seed(0)
        model = unmapped(load.load_base(ready, job.model))
        tokenizer = load.load_tokenizer(job.model)
        host = Host.make(ready, job.data, job.model, emit=quiet, stop=stop)
        evaluator = next((Evaluator.make(host, *suite) for suite in with_rows(ready)), None)
        if evaluator:
            with phase("before"):
                evaluator(model)
        model = adapt.adapt(model, ready.tune, job.model)
        session = Session(ready, job.data, job.run / "metrics.jsonl", job.checkpoints, quiet, stop)
        with phase("train"):
            trained = train.train(ready, job, session, model=model, tokenizer=tokenizer)
        if evaluator:
            with phase("after"):
                evaluator(trained)

    loads = rewards.load_model
    with patch.object(rewards, "load_model", lambda *args, **options: unmapped(loads(*args, **options))):
        return peaks(execute)
