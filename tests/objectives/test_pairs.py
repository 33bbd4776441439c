"""Rows of two answers: both rendered as transformers does, both masked, together or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.data.kept.shards import CompiledRow, read_rows

ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "what is the fox?"}]


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def planned(directory: Path, model: Path, rows: list[dict[str, Any]], extra: str = "") -> ftc.PlanResult:
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = directory / "recipe.toml"
    recipe.write_text(
        f'[model]\nbase = "{model}"\n[data]\nsources.rows = "rows.jsonl"\ninvalid = "drop"\n{extra}',
        encoding="utf-8",
    )
    return ftc.plan(recipe)


def compiled(result: ftc.PlanResult) -> list[CompiledRow]:
    assert result.ok, result.findings
    assert result.plan is not None
    assert result.plan.data is not None
    assert result.data is not None
    return list(read_rows(result.data, result.plan.data.train))


def members(row: CompiledRow) -> list[tuple[list[int], list[bool]]]:
    found, start = [], 0
    for length in row.lengths:
        found.append((list(row.input_ids[start : start + length]), list(row.mask[start : start + length])))
        start += length
    return found


@pytest.mark.parametrize("form", ["prompt and answers", "whole conversations", "texts"])
def test_each_answer_is_the_rendering_of_transformers(form: str, tmp_path: Path, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    good, bad = "it jumps over the dog", "what"
    asked = ASKED if form != "texts" else ASKED[1:]
    row = {
        "prompt and answers": {"prompt": ASKED, "chosen": answer(good), "rejected": answer(bad)},
        "whole conversations": {"chosen": ASKED + answer(good), "rejected": ASKED + answer(bad)},
        "texts": {"prompt": "what is the fox?", "chosen": good, "rejected": bad},
    }[form]
    (row_,) = compiled(planned(tmp_path, tiny_model, [row]))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for (ids, mask), text in zip(members(row_), (good, bad), strict=True):
        assert tokenizer.decode(ids) == tokenizer.apply_chat_template(asked + answer(text), tokenize=False)
        trained = tokenizer.decode([token for token, kept in zip(ids, mask, strict=True) if kept])
        assert trained == f"{text}<|im_end|>"
    assert row_.prompt_length is not None
    given = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert tokenizer.decode(row_.input_ids[: row_.prompt_length]) == given


def test_what_is_no_pair_goes_whole_and_is_in_the_ledger(tmp_path: Path, tiny_model: Path) -> None:
    rows = [
        {"chosen": ASKED + answer("a"), "rejected": ASKED + answer("b")},
        {"chosen": ASKED + answer("a"), "rejected": ASKED[1:] + answer("b")},
        {"chosen": ASKED + answer("a"), "rejected": ASKED + answer("a")},
        {"chosen": ASKED, "rejected": ASKED + answer("b")},
        {"chosen": ASKED + answer("a"), "rejected": None},
    ]
    result = planned(tmp_path, tiny_model, rows)
    assert [row.id for row in compiled(result)] == ["rows:1"]
    assert result.plan is not None
    assert result.plan.data is not None
    ledger = result.plan.data.ledger
    assert (ledger.read, ledger.train, ledger.unexplained) == (5, 1, 0)
    reasons = {line.reason for line in ledger.lines if line.fate == "invalid"}
    assert "`chosen` and `rejected` do not answer the same prompt" in reasons
    assert "its answers are the same, so that neither is the better one" in reasons


def test_the_limit_holds_for_each_answer(tmp_path: Path, tiny_model: Path) -> None:
    rows = [
        {"prompt": "what is the fox?", "chosen": "the dog", "rejected": "the " * times} for times in (1, 60)
    ]
    extra = 'max_length = 40\ntoo_long = "drop"\n'
    (row,) = compiled(planned(tmp_path, tiny_model, rows, extra))
    assert row.id == "rows:1"
    assert max(row.lengths) <= 40 < sum(row.lengths)
