"""float16 below adapters on a real GPU: the loss is scaled, and what trains is float32."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftc

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def needs_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def test_it_trains_to_the_end_and_learns(tmp_path: Path, tiny_model: Path) -> None:
    from safetensors import safe_open

    rows = "".join(f'{{"prompt": "the number {i % 7}?", "completion": "{i % 7}"}}\n' for i in range(80))
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'[model]\nbase = "{tiny_model}"\ndtype = "float16"\n[data]\nsources.rows = "rows.jsonl"\n'
        'packing = false\n[train]\nsteps = 40\nbatch = 8\nlearning_rate = 1e-2\ndevice = "cuda"\n',
        encoding="utf-8",
    )
    result = ftc.build(recipe)
    assert result.status == "built", result.findings
    assert result.run is not None
    lines = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 40
    assert lines[-1]["loss"] < 0.97 * lines[0]["loss"]
    assert sum(line["grad_norm"] is None for line in lines) < 20
    with safe_open(result.run / "model" / "adapter_model.safetensors", "pt") as adapters:
        kinds = {str(adapters.get_tensor(name).dtype) for name in adapters.keys()}  # noqa: SIM118
    assert kinds == {"torch.float32"}
