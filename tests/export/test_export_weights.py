"""Merged weights and adapters: what is compared, and by whom else it can be compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.export.work import Options
from ftc.exporting import ExportResult, export


def checks(result: ExportResult) -> dict[str, dict]:
    assert result.ok, result.findings
    return {check["name"]: check for check in result.report["checks"]}


def test_merged_weights_give_what_the_adapter_gives(chat: Path, tmp_path: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = export(chat, Options("merged"), tmp_path / "out")
    found = checks(result)
    assert found["logits"]["largest"] < found["logits"]["tolerance"]["largest"] == pytest.approx(1e-3)
    assert found["prompts"]["conversations"][0] > 10
    assert found["prompts"]["own_prompts"][0] > 20
    config = json.loads((chat / "plan.json").read_text())["model"]
    base = AutoModelForCausalLM.from_pretrained(config["location"], dtype=torch.float32)
    adapted, merged = (
        PeftModel.from_pretrained(base, str(chat / "model")).eval(),
        AutoModelForCausalLM.from_pretrained(result.directory, dtype=torch.float32).eval(),
    )
    tokens = AutoTokenizer.from_pretrained(result.directory).apply_chat_template(
        [{"role": "user", "content": "the fox"}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    assert (adapted(tokens).logits - merged(tokens).logits).abs().max() < 1e-4
    assert export(chat, Options("merged"), tmp_path / "out").there
