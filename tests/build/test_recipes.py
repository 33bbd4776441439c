"""The ready recipes and the examples: each checks or plans, with data of its shape in place of the user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftc
from ftc.recipe.load import load_recipe
from models import write_tiny_encoder

ROOT = Path(__file__).parents[2]
READY = sorted((ROOT / "recipes").glob("*.toml"))
EXAMPLES = sorted((ROOT / "examples").glob("*/recipe.toml"))

PAIRS = (
    "preferences",
    [{"prompt": f"what is {i}?", "chosen": f"it is {i}", "rejected": f"no {i}"} for i in range(60)],
)
SUMS = ("sums", [{"question": f"what is {i} and {i}?", "result": 2 * i} for i in range(160)])
ROWS = {
    **dict.fromkeys(("dpo", "orpo", "cpo", "simpo", "reward"), PAIRS),
    **dict.fromkeys(("grpo", "rloo"), SUMS),
    "distillation": ("questions", [{"question": f"q {i}", "answer": f"a {i}"} for i in range(60)]),
    "kto": (
        "feedback",
        [{"question": f"q {i}", "answer": f"a {i}", "thumb": ("up", "down")[i % 2]} for i in range(60)],
    ),
    "chat-lora": (
        "chats",
        [
            {"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": f"a {i}"}]}
            for i in range(60)
        ],
    ),
    "qlora": (
        "chats",
        [
            {"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": f"a {i}"}]}
            for i in range(60)
        ],
    ),
    "prompt-completion-lora": (
        "tickets",
        [
            {"subject": f"s{i}", "body": "b", "reply": f"r{i}", "rating": 4 + i % 2, "customer_id": i % 9}
            for i in range(40)
        ],
    ),
    "classification": (
        "tickets",
        [{"subject": f"s{i}", "body": "b" * (i % 5), "topic": ("sale", "bug")[i % 2]} for i in range(60)],
    ),
    "embedding": (
        "faq",
        [{"question": f"what is w{i}?", "answer": f"it is the fox w{i}"} for i in range(80)],
    ),
    "continued-pretraining": (
        "documents",
        [{"title": f"t{i}", "body": "the quick brown fox " * 9} for i in range(400)],
    ),
}


def test_every_ready_recipe_is_among_these() -> None:
    assert {path.stem for path in READY} == set(ROWS)
    assert EXAMPLES


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_ready_recipe_plans(path: Path, tiny_model: Path, tmp_path: Path) -> None:
    source, rows = ROWS[path.stem]
    model = tiny_model
    if path.stem == "embedding":
        model = tmp_path / "encoder"
        write_tiny_encoder(model)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = [f"data.sources.{source}={data}", f"model.base={model}", "lints.small_eval=allow"]
    if path.stem == "distillation":
        settings.append(f"train.objective.teacher={model}")
    if "max_length" in path.read_text(encoding="utf-8"):
        settings.append("data.max_length=256")
    result = ftc.plan(path, set=settings)
    assert result.findings == ()
    assert result.ok
    assert result.plan is not None
    assert result.plan.data is not None
    assert result.plan.data.ledger.unexplained == 0
    assert result.plan.data.ledger.read == len(rows)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_checks(path: Path) -> None:
    assert ftc.check(path).findings == ()


def test_recipes_name_their_schema() -> None:
    for path in EXAMPLES:
        directive = path.read_text(encoding="utf-8").splitlines()[0]
        schema = (path.parent / directive.removeprefix("#:schema ")).resolve()
        assert schema == ROOT / "docs" / "recipe.schema.json"
        assert load_recipe(path).findings == ()
