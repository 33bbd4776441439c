"""What metrics need of a model: losses, answers, likeliest labels and choices, figures of pairs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ftc.runtime import score

if TYPE_CHECKING:
    from ftc.runtime.evaluate import Evaluator, Row

    Measure = Callable[[Evaluator, Any, list[Row]], None]

MEASURES = {
    "loss": "ftc.runtime.measures:losses",
    "answers": "ftc.runtime.measures:answers",
    "labels": "ftc.runtime.measures:labels",
    "choices": "ftc.runtime.measures:choices",
    "pairs": "ftc.runtime.measures:pairs",
}
OF_CLASSES = {"loss": "ftc.runtime.classes:measured", "labels": "ftc.runtime.classes:measured"}
"""The same of a model that tells classes apart: it has no token to predict."""
OF_TEXTS = {"embeddings": "ftc.runtime.embeddings:ranked"}
"""The same of a model that makes vectors of texts."""
OF_HEAD = {"classes": OF_CLASSES, "embedding": OF_TEXTS}

"""How what a metric needs is made, by name (`ftc.evaluation.base.Needs`); each fills the rows' entries in."""


def measure(needs: str, head: str = "vocabulary") -> Measure:
    """The function that makes what a metric needs, of a model with such a head."""
    table = MEASURES | OF_HEAD.get(head, {})
    module, _, name = table[needs].partition(":")
    found: Measure = getattr(import_module(module), name)
    return found


def losses(evaluator: Evaluator, model: Any, rows: list[Row]) -> None:
    """Each row's mean loss over its trained tokens in nats, and how many these are."""
    held = evaluator.heldout
    for batch in evaluator.in_turn(list(range(len(rows))), held.lengths, "loss"):
        tokens, masks = [held.tokens(row) for row in batch], [held.mask(row) for row in batch]
        found = score.row_losses(model, tokens, masks, pad_id=evaluator.pad)
        for row, (total, count) in zip(batch, found, strict=True):
            rows[row] |= {"loss": total / count if count else None, "tokens": count}


def answers(evaluator: Evaluator, model: Any, rows: list[Row]) -> None:
    """The greedy answer to each prompt, and how many tokens it and the prompt have."""
    held = evaluator.heldout
    for batch in evaluator.in_turn(held.answered, evaluator.prompt_lengths, "answers"):
        prompts = [held.prompt(row) for row in batch]
        room = max(1, evaluator.plan.model.context_length - max(map(len, prompts)))
        longest = min(evaluator.settings.max_new_tokens, room)
        made = score.greedy(model, prompts, stops=evaluator.stops, pad_id=evaluator.pad, longest=longest)
        for row, prompt, tokens in zip(batch, prompts, made, strict=True):
            answer = evaluator.tokenizer.decode(tokens, skip_special_tokens=False)
            rows[row] |= {"answer": answer, "answer_tokens": len(tokens), "prompt_tokens": len(prompt)}


def labels(evaluator: Evaluator, model: Any, rows: list[Row]) -> None:
    """The likeliest of the suite's labels behind each prompt."""
    held, names = evaluator.heldout, list(evaluator.labels)
    tried = list(evaluator.labels.values())
    for batch in evaluator.in_turn(held.answered, evaluator.prompt_lengths, "labels"):
        prompts = [held.prompt(row) for row in batch]
        scores = score.label_scores(model, prompts, tried, pad_id=evaluator.pad)
        for row, place in zip(batch, scores.argmax(dim=1).tolist(), strict=True):
            rows[row]["label"] = names[place]


def choices(evaluator: Evaluator, model: Any, rows: list[Row]) -> None:
    """The likeliest of each row's own choices, by the sum of its tokens' log-probabilities.

    It has a space before it where the rows' answers have one, and behind a shipped suite's plain prompt.
    """
    held, tokenizer = evaluator.heldout, evaluator.tokenizer
    numbers = [row for row in held.answered if evaluator.columns(row).get("choices")]
    own = evaluator.settings.rows
    plain = own is not None and own.shipped is not None and own.render.form == "completion"
    for row in (
        row for batch in evaluator.in_turn(numbers, evaluator.prompt_lengths, "choices") for row in batch
    ):
        texts = [str(one) for one in evaluator.columns(row)["choices"]]
        spaced = plain or (held.targets[row] or "").startswith(" ")
        tried = [
            [
                *tokenizer.encode(f" {text}" if spaced else text, add_special_tokens=False).ids,
                evaluator.stops[-1],
            ]
            for text in texts
        ]
        found = score.label_scores(model, [held.prompt(row)], tried, pad_id=evaluator.pad)
        rows[row]["choice"] = texts[int(found.argmax(dim=1)[0])]


def pairs(evaluator: Evaluator, model: Any, rows: list[Row]) -> None:
    """Of the chosen and of the rejected answer of each row the model's score, or the log-probability."""
    held = evaluator.heldout
    for batch in evaluator.in_turn(list(range(len(rows))), held.lengths, "pairs"):
        for place in range(2):
            members = [held.member(row, place) for row in batch]
            tokens, masks = [ids for ids, _ in members], [mask for _, mask in members]
            if evaluator.plan.objective.head == "scores":
                found = score.row_scores(model, tokens, pad_id=evaluator.pad)
            else:
                losses = score.row_losses(model, tokens, masks, pad_id=evaluator.pad)
                found = [-total for total, _ in losses]
            name = ("chosen", "rejected")[place]
            for row, figure in zip(batch, found, strict=True):
                rows[row].setdefault("columns", {})[name] = figure
