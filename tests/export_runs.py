"""Finished runs over a tiny model: all of a run is real but its training, which random numbers stand for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fake_runs import FakeRuntime, rows_of
from ftc import api
from ftc.artifact.build import Job
from ftc.plan.steps import Plan
from ftc.runtime.ready import ready

RECIPE = """
name = "{name}"
[model]
base = {base}
[data]
sources.rows = "rows.jsonl"
split = {{ eval = 8 }}
{more}
[tune]
{tune}
[train]
steps = 1
batch = 4
[lints]
small_eval = "allow"
"""
CHATS = [
    {
        "messages": [
            *([{"role": "system", "content": "Be short."}] if i % 3 == 0 else []),
            {"role": "user", "content": f"the quick brown fox {i} 🐎"},
            {"role": "assistant", "content": f"jumps {i} over\n\nthe dog"},
            *([{"role": "user", "content": f"why {i}?"}, {"role": "assistant", "content": "so"}] * (i % 2)),
        ]
    }
    for i in range(24)
]
PLAIN = [{"prompt": f"what is {i}", "completion": f" the lazy dog {i}"} for i in range(24)]
LORA = 'method = "lora"\nrank = 4'


class Random(FakeRuntime):
    """Writes the model of a run as if it was trained: an adapter, or all weights, moved at random."""

    def _write(self, plan: Plan, job: Job) -> None:
        import torch

        from ftc.runtime import adapt, load, save

        super()._write(plan, job)
        shutil.rmtree(job.run / "model")
        made = ready(plan)
        torch.manual_seed(3)
        model = adapt.adapt(load.load_base(made, job.model), made.tune, job.model)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
        save.save_model(made, model, job.model, job.run / "model")


@dataclass
class Runs:
    """Where recipes are written and built."""

    root: Path
    model: Path

    def build(
        self, name: str, rows: list[dict[str, Any]], *, tune: str = LORA, base: str = "", more: str = ""
    ) -> Path:
        """The run of a recipe over rows, on the tiny model or on another recipe."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        rows_of(folder / "rows.jsonl", rows)
        text = RECIPE.format(name=name, base=base or f'"{self.model}"', tune=tune, more=more)
        (folder / "recipe.toml").write_text(text)
        with untrained():
            result = api.build(folder / "recipe.toml")
        assert result.status == "built", result.findings
        assert result.run is not None
        return result.run


@contextmanager
def untrained() -> Iterator[None]:
    """Builds put random numbers in place of training, and what needs torch runs in this process."""
    from ftc.artifact import build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "launch", Random())
        patch.setattr(subprocess, "run", here(subprocess.run))
        yield


def small_llama(directory: Path, tokenizer: Path) -> Path:
    """A two-layer Llama with random weights beside a real tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    directory.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, directory / name)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(shape).save_pretrained(directory)
    return directory


def here(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """`subprocess.run` that calls what needs torch in this process, which has it loaded."""

    def run(command: list[str], **options: Any) -> Any:
        from ftc.runtime import exported, merge

        if "ftc.runtime.exported" in command:
            code = exported.main(*map(Path, command[-2:]))
            return subprocess.CompletedProcess(command, code, "", "")
        if "ftc.runtime.merge" in command:
            merge.merge(*map(Path, command[-3:]))
            return subprocess.CompletedProcess(command, 0, "", "")
        return otherwise(command, **options)

    return run
