"""Modules that train whole beside adapters, in a model whose output head is its embedding."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc import tuning
from ftc.estimate.inventory import modules
from ftc.runtime.adapt import adapt, trained
from tuning.families import small_config

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("saved", [("lm_head",), ("embed_tokens",), ("lm_head", "embed_tokens")])
def test_tied_weights_train_and_load_back_as_one(saved: tuple[str, ...], tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = small_config("smollm3")
    known, method = modules(config.to_dict()), tuning.load("lora")
    step = method.lower(method.options(method="lora", rank=4, modules_to_save=saved), known)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    model = adapt(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), step)
    assert known.tied
    assert trained(model) == method.count(step, known)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.05)
    model.eval().save_pretrained(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    ids = torch.arange(3, 20)[None]
    assert torch.equal(model(input_ids=ids).logits, loaded(input_ids=ids).logits)
