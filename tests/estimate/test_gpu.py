"""Peaks of real steps on a CUDA device beside those predicted; writes the table docs/memory-on-gpus.md."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.estimate.step import (
    Batch,
    Loss,
    Objective,
    Optimizer,
    Quantisation,
    TrainingStep,
    Tuning,
)

TABLE = Path(__file__).parents[2] / "docs" / "memory-on-gpus.md"
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
}
FULL = Tuning(method="full")
LORA = Tuning(method="lora", rank=16, targets="all-linear")
NF4 = Quantisation(kind="nf4", double=True)
TRL = Loss(kernel="trl")


def a_step(**changes: Any) -> TrainingStep:
    """Full fine-tuning in bfloat16, but for the changes."""
    defaults = {"config": CONFIG, "tuning": FULL, "batch": Batch(rows=4, length=1024)}
    return TrainingStep.model_validate({**defaults, **changes})


GRID = {
    "full": a_step(),
    "full, fused AdamW": a_step(optimizer=Optimizer(form="fused")),
    "full, eager attention": a_step(attention="eager"),
    "full, checkpointing": a_step(checkpointing="non-reentrant"),
    "full, TRL's head, checkpointing": a_step(loss=TRL, checkpointing="non-reentrant"),
    "full, 8-bit AdamW": a_step(optimizer=Optimizer(form="bitsandbytes", bits=8)),
    "full, float32, autocast": a_step(weights="float32", autocast="bfloat16"),
    "full, accumulated": a_step(batch=Batch(rows=4, length=1024, accumulated=True)),
    "last two layers": a_step(tuning=Tuning(method="freeze", layers=2)),
    "LoRA": a_step(tuning=LORA),
    "LoRA, dropout": a_step(tuning=LORA.model_copy(update={"dropout": 0.1})),
    "LoRA, autocast": a_step(tuning=LORA, autocast="bfloat16"),
    "LoRA, TRL's head, checkpointing": a_step(tuning=LORA, loss=TRL, checkpointing="reentrant"),
    "QLoRA": a_step(tuning=LORA, quantisation=NF4),
    "QLoRA, checkpointing": a_step(tuning=LORA, quantisation=NF4, checkpointing="reentrant"),
    "DPO": a_step(
        batch=Batch(rows=2, length=512), loss=TRL, objective=Objective(kind="dpo", reference="model")
    ),
}


def warm_up() -> int:
    """Bytes that stay allocated once the libraries' workspaces are there."""
    import torch

    values = torch.randn(256, 256, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    (values @ values).float().sum().backward()
    del values
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


def measured(step: TrainingStep) -> dict[str, int]:
    """The most bytes allocated in each phase of two optimizer steps, workspaces aside."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from ftc.estimate.abstract import optimizer as optimizers
    from ftc.estimate.abstract.loss import criterion, inputs
    from ftc.estimate.abstract.model import loaded, prepared, skeleton

    gc.collect()
    torch.cuda.empty_cache()
    workspaces = warm_up()
    found: dict[str, int] = {}

    def phase(name: str, run: Callable[[], Any]) -> Any:
        torch.cuda.reset_peak_memory_stats()
        result = run()
        torch.cuda.synchronize()
        found[name] = max(found.get(name, 0), torch.cuda.max_memory_allocated() - workspaces)
        return result

    own = "eager" if step.attention == "eager" else "sdpa"
    count = 1 + (step.objective.reference == "model")
    bases = [loaded(skeleton(step, device="cuda", backend="cuda", attention=own), step) for _ in range(count)]
    model = prepared(bases[0], step)
    loss_of = criterion(model, step, *bases[1:])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer: Any = optimizers.make(step.optimizer, trained)

    def forward() -> Any:
        batch = inputs(step, step.batch.rows, step.batch.length, "cuda")
        kind = getattr(torch, step.autocast or "bfloat16")
        with torch.autocast("cuda", dtype=kind, enabled=step.autocast is not None):
            return loss_of(model, batch)

    def update() -> None:
        optimizers.clip(trained)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(2):
        for _ in range(1 + step.batch.accumulated):
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                loss = phase("forward", forward)
                phase("backward", loss.backward)
                del loss
        phase("optimizer", update)
    return found


@pytest.mark.gpu
def test_a_gpu_takes_what_the_abstract_run_says() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("bitsandbytes")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from ftc.estimate.abstract.depth import predict

    lines, errors = [], []
    for name, step in GRID.items():
        peaks = measured(step)
        phase = max(peaks, key=lambda each: peaks[each])
        result = predict(step)
        predicted = max(result.phases[each].size for each in peaks)
        errors.append(abs(predicted / peaks[phase] - 1))
        error = f"{predicted / peaks[phase] - 1:+.2%}"
        lines.append(f"| {name} | {phase} | {peaks[phase] / 2**20:.1f} | {predicted / 2**20:.1f} | {error} |")
    TABLE.write_text(page(torch, lines), encoding="utf-8")
    assert max(errors) <= 0.02


def page(torch: Any, lines: list[str]) -> str:
    """The table as a page of the documentation."""
    from importlib.metadata import version

    device = torch.cuda.get_device_name()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "trl"))
    head = [
        "# Peak memory on a GPU: measured and predicted",
        "",
        f"{device}; {packages}. Written by `pytest -m gpu tests/estimate`.",
        "",
        "Bytes allocated (`torch.cuda.max_memory_allocated`, library workspaces aside), in MiB.",
        "",
        "| step | phase | measured | predicted | error |",
        "| --- | --- | --: | --: | --: |",
    ]
    return "\n".join([*head, *lines]) + "\n"
