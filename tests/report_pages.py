"""Rows that mean harm, recipes over them, and a training that is made up, for the tests of pages."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_runs import FakeRuntime, rows_of
from ftc.artifact.build import Job
from ftc.plan.steps import Plan
from models import write_tiny_tokenizer

EVIL = (
    "<script>window.harmed = 1</script>",
    "</script><script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 1'>",
    '" onmouseover="window.harmed = 1" x="',
    "</style><style>body { display: none }</style>",
    "{{ 7 * 7 }} {% raw %} ]]> <!-- -->",
    "\x1b[31mred\x1b[0m \x07 \x9b31m",
    "\u202eevil\u202c \u2066x\u2069 \ufeff",
)
"""What rows may say; a page has to show it, and do nothing of it."""

PLAN = """
name = "chats"
[model]
base = "model"
[data]
sources.chats = "chats.jsonl"
query = "select messages from chats where lang = 'en'"
split = { eval = 20 }
dedupe = "exact"
too_long = "drop"
max_length = 120
packing = true
redact = ["email"]
[hardware]
gpu = "L4"
[train]
epochs = 1
"""
RUN = """
name = "pairs"
[model]
base = "model"
[data]
sources.pairs = "pairs.jsonl"
split = { eval = 12 }
[train]
objective = "dpo"
steps = 6
batch = 4
[lints]
small_eval = "allow"
"""


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    "dtype": "float32",
}


def write_model(directory: Path) -> None:
    """A model as far as planning looks at one: its tokenizer, its configuration, and a file of weights."""
    import numpy as np
    from safetensors.numpy import save_file

    size = write_tiny_tokenizer(directory)
    (directory / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": size}))
    weights = {"model.embed_tokens.weight": np.zeros((size, 32), np.float32)}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def chat(number: int, said: str, answer: str, lang: str = "en") -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{said} {number}"}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "lang": lang}


def write_sources(root: Path) -> None:
    """Rows of which some go for each of several reasons, and some are of `EVIL`."""
    chats = [
        chat(number, EVIL[number % len(EVIL)], f"the quick größe 日本 {number}\t.") for number in range(60)
    ]
    chats += [chat(number, "what is", "a fox", "de") for number in range(60, 70)]
    chats += [
        chat(80, "long", "lazy dog " * 300),
        chat(81, "mail", "ask ann@example.com"),
        chats[3],
        chats[4],
    ]
    rows_of(root / "chats.jsonl", chats)
    pairs = [
        {"prompt": f"{EVIL[n % len(EVIL)]} {n}", "chosen": f"the fox {EVIL[-n % 8]}", "rejected": f"dog {n}"}
        for n in range(40)
    ]
    rows_of(root / "pairs.jsonl", pairs)


def interval(value: float) -> dict[str, float]:
    return {"low": value - 0.1, "value": value, "high": value + 0.1, "count": 12}


def metric(name: str, title: str, before: float, after: float, *, better: str = "higher") -> dict[str, Any]:
    difference = after - before
    change = {"difference": difference, "low": difference - 0.05, "high": difference + 0.05}
    change |= {"p_value": 0.01, "test": "permutation", "pairs": 12}
    figures = {"before": interval(before), "after": interval(after), "change": change}
    return {"metric": name, "title": title, "better": better, **figures}


class Told(FakeRuntime):
    """Writes the record of training, an evaluation with a failed gate, and answers of which some flipped."""

    def _write(self, plan: Plan, job: Job) -> None:
        super()._write(plan, job)
        steps = range(1, 901)
        lines: list[dict[str, Any]] = [
            {
                "step": step,
                "loss": 2 * math.exp(-step / 300),
                "learning_rate": 1e-4,
                "grad_norm": 0.5,
                "tokens": 9,
            }
            for step in steps
        ]
        lines += [
            {"step": step, "eval_loss": 1 + step / 900, "eval_tokens": 9} for step in range(100, 901, 100)
        ]
        rows_of(job.run / "metrics.jsonl", lines)
        metrics = [
            metric("exact_match", "exact match", 0.2, 0.6),
            metric("loss", "loss", 2.0, 2.5, better="lower"),
        ]
        gate = {"suite": "held_out", "metric": "loss", "gate": "<= 1.5", "bound": 1.5, "passed": False}
        tokens: dict[str, Any] = {"before": {}, "after": {}}
        suite = {
            "suite": "held_out",
            "rows": 12,
            "metrics": metrics,
            "gates": [gate],
            "baselines": [],
            "tokens": tokens,
        }
        told = {"before": {"loss": 2.0}, "after": {"loss": 2.5}, "suites": [suite], "gates": [gate]}
        (job.run / "eval.json").write_text(json.dumps(told))
        (job.run / "answers").mkdir()
        rows_of(job.run / "answers" / "held_out.jsonl", [answer(number) for number in range(12)])
        watched = {"steps": 900, "last_step": 900, "ended_early": False, "kept_step": 900, "best": None}
        (job.run / "training.json").write_text(json.dumps({**watched, "held_out": [], "overfitting": None}))


def answer(number: int) -> dict[str, Any]:
    """A row of the suite: of each four one became right, one became wrong, two are as they were."""
    old, new = {0: (0.0, 1.0), 1: (1.0, 0.0)}.get(number % 4, (0.0, 0.0))
    said = EVIL[number % len(EVIL)]
    sides = {
        when: {
            "answer": f"{said} {when}",
            "loss": 2.0 + score,
            "scores": {"exact_match": score, "loss": 2.0 + number * score},
            "parts": {"loss": [1.0, 1]},
        }
        for when, score in (("before", old), ("after", new))
    }
    return {"id": f"pairs:{number}", "prompt": said, "reference": f"</textarea>{said}", **sides}


@dataclass(frozen=True)
class Pages:
    """A recipe with the page of its plan, and a whole run."""

    recipe: Path
    plan: bytes
    pairs: Path
    run: Path

    @property
    def run_page(self) -> bytes:
        return (self.run / "report.html").read_bytes()
