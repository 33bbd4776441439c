"""What trainers that sample answers need beside: the compiled prompts as they are, and an account of them."""

from __future__ import annotations

from typing import Any

FIGURES = {
    "reward": "reward",
    "reward_std": "reward_std",
    "completions/mean_length": "answer_tokens",
    "completions/clipped_ratio": "cut_answers",
    "kl": "kl",
    "rewards/accuracies": "preference_accuracy",
    "rewards/margins": "preference_margin",
    "accuracy": "preference_accuracy",
    "margin": "preference_margin",
}
"""Figures of a step that TRL's trainers log beside the loss, and their names in metrics.jsonl."""


def figures(logs: dict[str, Any]) -> dict[str, float]:
    """What a step's log says beside its loss."""
    return {name: float(logs[key]) for key, name in FIGURES.items() if isinstance(logs.get(key), float | int)}


class Prompted:
    """Mixed in before a trainer that samples: it tokenises no prompt, the compiled tokens are the prompt."""

    _compiled: list[list[int]]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        self._compiled = [list(row["input_ids"]) for row in inputs]
        return super()._generate_and_score_completions(inputs)  # type: ignore[misc]

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        assert len(prompts) == len(self._compiled)  # noqa: S101 - they are of the same batch
        return self._compiled, None, {}
