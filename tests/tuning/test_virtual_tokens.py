"""Scores of models with virtual tokens, against the loss that PEFT computes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc import tuning
from ftc.runtime import score
from ftc.runtime.adapt import adapt

pytestmark = pytest.mark.filterwarnings("ignore")
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12]]
LABELS = [[20, 21], [22, 23, 24]]


@pytest.fixture(scope="module", params=["prompt", "prefix", "p_tuning"])
def model(request: pytest.FixtureRequest, tiny_model: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    method = tuning.load(request.param)
    step = method.lower(method.options(method=request.param, tokens=5), None)
    adapted = adapt(AutoModelForCausalLM.from_pretrained(tiny_model), step, tiny_model)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    return adapted.eval()


def loss_of(model: Any, tokens: list[int], mask: list[bool]) -> float:
    """The sum of the trained tokens' losses by PEFT's own alignment."""
    import torch

    labels = [token if kept else -100 for token, kept in zip(tokens, mask, strict=True)]
    with torch.no_grad():
        mean = model(input_ids=torch.tensor([tokens]), labels=torch.tensor([labels])).loss
    return float(mean) * sum(mask)


def test_row_losses_are_those_of_peft(model: Any) -> None:
    import torch

    rows = [prompt + LABELS[0] for prompt in PROMPTS]
    masks = [[False] * len(prompt) + [True] * 2 for prompt in PROMPTS]
    with torch.no_grad():
        found = score.row_losses(model, rows, masks, pad_id=0)
    for row, mask, (total, count) in zip(rows, masks, found, strict=True):
        assert count == 2
        assert total == pytest.approx(loss_of(model, row, mask), rel=1e-4)


def test_label_scores_are_those_of_peft(model: Any) -> None:
    import torch

    with torch.no_grad():
        found = score.label_scores(model, PROMPTS, LABELS, pad_id=0)
    for row, prompt in enumerate(PROMPTS):
        for column, label in enumerate(LABELS):
            mask = [False] * len(prompt) + [True] * len(label)
            assert float(found[row, column]) == pytest.approx(-loss_of(model, prompt + label, mask), rel=1e-4)
