"""Finished plans over tiny models and hand-made shards, for the tests of what executes a plan."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from ftc.objectives import load as load_objective
from ftc.objectives import options as objective_options
from ftc.plan.account import Ledger, SourceRows
from ftc.plan.canonical import canonical_bytes
from ftc.plan.steps import (
    DataStep,
    EnvironmentStep,
    EvalStep,
    FileDigest,
    LimitStep,
    ModelStep,
    ObjectiveStep,
    Part,
    Plan,
    QueryStep,
    RenderStep,
    Shard,
    SourceStep,
    SplitStep,
    TokenizerStep,
    TrainStep,
    TuneStep,
)
from ftc.runtime.job import Job

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("input_ids", pa.list_(pa.int32())),
        ("mask", pa.list_(pa.bool_())),
        ("prompt_length", pa.int32()),
        ("target", pa.string()),
    ]
)
LABELS = (" fox", " dog", " country")
LORA: dict[str, JsonValue] = {
    "type": "LoraConfig",
    "task_type": "CAUSAL_LM",
    "r": 4,
    "lora_alpha": 8.0,
    "lora_dropout": 0.0,
    "target_modules": "all-linear",
    "bias": "none",
}


def file_digest(path: Path) -> FileDigest:
    data = path.read_bytes()
    return FileDigest(name=path.name, bytes=len(data), sha256=sha256(data).hexdigest())


def completion_row(tokenizer: Any, name: str, prompt: str, target: str, eos: int = 2) -> dict[str, Any]:
    """A row as the data compiler makes it: prompt, then the trained answer and its end token."""
    before = tokenizer.encode(prompt, add_special_tokens=False).ids
    answer = [*tokenizer.encode(target, add_special_tokens=False).ids, eos]
    return {
        "id": name,
        "input_ids": before + answer,
        "mask": [False] * len(before) + [True] * len(answer),
        "prompt_length": len(before),
        "target": target,
    }


def text_row(tokenizer: Any, name: str, text: str, eos: int = 2) -> dict[str, Any]:
    ids = [*tokenizer.encode(text, add_special_tokens=False).ids, eos]
    return {"id": name, "input_ids": ids, "mask": [True] * len(ids), "prompt_length": None, "target": None}


def question_rows(tokenizer: Any, first: int, count: int) -> list[dict[str, Any]]:
    """Rows of different lengths whose label follows from the words."""
    prompts = ["the quick brown", "over the lazy" + " lazy" * 3, "what is the capital of this"]
    numbers = range(first, first + count)
    return [
        completion_row(tokenizer, f"r{i}", prompts[i % 3] + " the" * (i % 5), LABELS[i % 3]) for i in numbers
    ]


def _schema(rows: list[dict[str, Any]]) -> pa.Schema:
    """The shards' columns, with those that rows of several members or with carried columns have more."""
    more = [("lengths", pa.list_(pa.int32())), ("carried", pa.string())]
    return pa.schema([*SCHEMA, *(pa.field(*each) for each in more if each[0] in rows[0])])


def write_part(directory: Path, name: str, rows: list[dict[str, Any]], shards: int = 2) -> Part:
    """Write rows as `shards` Parquet files and describe them as the plan does."""
    directory.mkdir(parents=True, exist_ok=True)
    size = max(1, -(-len(rows) // shards))
    written = []
    for start in range(0, len(rows), size):
        path = directory / f"{name}-{start // size:05d}.parquet"
        some = rows[start : start + size]
        pq.write_table(pa.Table.from_pylist(some, _schema(some)), path)
        written.append(Shard(file=file_digest(path), rows=len(some)))
    lengths = [max(row.get("lengths", [len(row["input_ids"])])) for row in rows] or [0]
    return Part(
        shards=tuple(written),
        rows=len(rows),
        tokens=sum(len(row["input_ids"]) for row in rows),
        trained_tokens=sum(sum(row["mask"]) for row in rows),
        longest=max(lengths),
        shortest=min(lengths),
    )


def train_arguments(
    *,
    steps: int,
    micro_batch: int,
    accumulation: int,
    learning_rate: float,
    save_every: int,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    **more: JsonValue,
) -> dict[str, JsonValue]:
    """The trainer's arguments as a plan carries them."""
    return {
        **load_objective("sft").arguments(objective_options("sft", None)),
        "max_steps": steps,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch",
        "gradient_checkpointing": False,
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "logging_strategy": "steps",
        "save_strategy": "steps",
        "save_steps": save_every,
        "save_total_limit": 2,
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "average_tokens_across_devices": True,
        "dataloader_num_workers": 0,
        **more,
    }


@dataclass
class Tiny:
    """A directory with compiled data for a tiny model, and the pieces of plans over it."""

    root: Path
    model: Path
    train: Part
    eval: Part | None

    @property
    def data(self) -> Path:
        return self.root / "data"

    def plan(
        self,
        *,
        method: str = "lora",
        steps: int = 6,
        micro_batch: int = 4,
        accumulation: int = 1,
        learning_rate: float = 1e-2,
        save_every: int = 2,
        metrics: tuple[Any, ...] = ("loss",),
        labels: tuple[str, ...] = (),
        name: str = "tiny",
        seed: int = 0,
        **arguments: JsonValue,
    ) -> Plan:
        """A finished plan."""
        objective = load_objective("sft")
        rows = self.train.rows + (self.eval.rows if self.eval else 0)
        return Plan(
            name=name,
            seed=seed,
            sources=(SourceStep(name="t", location="t.jsonl", format="jsonl", options={}, files=()),),
            queries=(QueryStep(sql="select * from t", columns=(), id_column=None, traced_source="t"),),
            model=self.model_step(),
            tokenizer=TokenizerStep(
                special_tokens={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
                bos_id=None,
                eos_id=2,
                pad_id=0,
            ),
            objective=ObjectiveStep(name="sft", trainer=objective.trainer, config=objective.config),
            render=RenderStep(
                form="completion",
                fields={},
                chat_template=None,
                variables={},
                train_on="completion",
                unproved="error",
            ),
            limits=LimitStep(max_length=512, too_long="error", invalid="error"),
            split=SplitStep(fraction=0.1, rows=None, keys=("prompt",), seed=seed),
            data=DataStep(
                train=self.train,
                eval=self.eval,
                ledger=Ledger(
                    sources=(SourceRows(name="t", rows=rows),),
                    read=rows,
                    lines=(),
                    train=self.train.rows,
                    eval=self.eval.rows if self.eval else 0,
                ),
                labels=labels or None,
                longest_target=3,
            ),
            tune=TuneStep(method=method, peft=dict(LORA) if method == "lora" else None),
            train=TrainStep(
                steps=steps,
                epochs=1.0,
                batch=micro_batch * accumulation,
                micro_batch=micro_batch,
                accumulation=accumulation,
                save_every=save_every,
                arguments=train_arguments(
                    steps=steps,
                    micro_batch=micro_batch,
                    accumulation=accumulation,
                    learning_rate=learning_rate,
                    save_every=save_every,
                    seed=seed,
                    **arguments,
                ),
            ),
            eval=EvalStep(metrics=metrics, labels=labels, max_new_tokens=8, batch=4),
            environment=EnvironmentStep(device="cpu", packages={}),
        )

    def model_step(self) -> ModelStep:
        return ModelStep(
            location="models/tiny",
            kind="directory",
            revision=None,
            architecture="LlamaForCausalLM",
            context_length=512,
            vocabulary=400,
            config_sha256=file_digest(self.model / "config.json").sha256,
            tokenizer_sha256=file_digest(self.model / "tokenizer.json").sha256,
            weights=(file_digest(self.model / "model.safetensors"),),
            dtype="float32",
        )

    def job(self, plan: Plan, run: Path) -> Job:
        """A run directory with the plan in it, and the job that fills it."""
        run.mkdir(parents=True, exist_ok=True)
        (run / "plan.json").write_bytes(canonical_bytes(plan))
        return Job(run / "plan.json", self.data, self.model, run)


def write_tiny(root: Path, model: Path, *, train_rows: int = 24, eval_rows: int = 9) -> Tiny:
    """Compiled data of labelled questions beside the tiny model."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    train = write_part(root / "data", "train", question_rows(tokenizer, 0, train_rows))
    held = question_rows(tokenizer, 100, eval_rows)
    return Tiny(root, model, train, write_part(root / "data", "eval", held) if held else None)
