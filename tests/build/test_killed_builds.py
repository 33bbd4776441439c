"""Builds killed at any of their acts and started again end with the same bytes as one never killed.

`crashes.py` does it, in forked processes. The ordinary suite kills three builds; all others are `slow`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CRASHES = Path(__file__).with_name("crashes.py")
WORDS = ["fox", "dog", "country", "capital"]
PAIR = {"chosen": " fox", "rejected": " dog"}
CHATS = """name = "chats"
[model]
base = "{model}"
[data]
sources.rows = "rows.jsonl"
split = {{ eval = 6 }}
packing = true
max_length = 64
[lints]
small_eval = "allow"
[train]
steps = 5
batch = 4
save_every = 2
eval_every = 2
keep = "best"
learning_rate = 1e-2
[[eval]]
metrics = ["loss", "exact_match"]
max_new_tokens = 4
"""
PLAIN = """name = "plain"
[model]
base = "{model}"
[data]
sources.rows = "rows.jsonl"
split = {{ eval = 6 }}
[lints]
small_eval = "allow"
[render]
chat = false
[train]
steps = 4
batch = 4
save_every = 1
learning_rate = 1e-2
"""
EVAL = '[[eval]]\nmetrics = ["loss"]\n'
SAMPLED = """[train.objective]
name = "grpo"
generations = 4
max_new_tokens = 6
rewards = [{{ metric = "length", unit = "characters", at_least = 9 }}]
"""
OTHERS: dict[str, tuple[str, str]] = {
    "dpo": ('objective = "dpo"\n[tune]\nmethod = "full"\n', "DPOTrainer"),
    "kto": ('objective = "kto"\n', "KTOTrainer"),
    "orpo": ('objective = "orpo"\n', "experimental.orpo.ORPOTrainer"),
    "grpo": (SAMPLED, "GRPOTrainer"),
    "qlora": ('[tune]\nmethod = "qlora"\n' + EVAL, "SFTTrainer"),
    "pissa": ('[tune]\nmethod = "lora"\ninit = "pissa"\n' + EVAL, "SFTTrainer"),
    "stopping": ("eval_every = 1\nearly_stopping = {{ patience = 1, min_delta = 9 }}\n" + EVAL, "SFTTrainer"),
    "full": ('optimizer = "adafactor"\n[tune]\nmethod = "full"\n' + EVAL, "SFTTrainer"),
}


def rows(kind: str) -> list[dict[str, Any]]:
    """Rows of the form that an objective takes."""
    if kind == "chats":
        asked = [{"role": "user", "content": f"the {WORDS[i % 4]} number {i}?"} for i in range(40)]
        told = [{"role": "assistant", "content": WORDS[i % 4]} for i in range(40)]
        return [{"messages": list(pair)} for pair in zip(asked, told, strict=True)]
    more = {
        "dpo": PAIR,
        "orpo": PAIR,
        "kto": {"completion": " fox", "label": True},
        "grpo": {},
    }.get(kind, {"completion": " fox"})
    found = [{"prompt": f"the {WORDS[i % 4]} number {i}", **more} for i in range(24)]
    if kind == "kto":
        for i, row in enumerate(found):
            row["label"] = i % 2 == 0
    return found


def project(directory: Path, model: Path, kind: str = "chats") -> Path:
    """A directory with a recipe and its rows."""
    directory.mkdir(parents=True)
    text = CHATS if kind == "chats" else PLAIN
    more = "" if kind == "chats" else OTHERS[kind][0]
    lines = "".join(json.dumps(row) + "\n" for row in rows(kind))
    (directory / "rows.jsonl").write_text(lines, encoding="utf-8")
    (directory / "recipe.toml").write_text((text + more).format(model=model), encoding="utf-8")
    return directory


def killed(
    place: Path, recipe: Path, *arguments: object, trainers: str = "SFTTrainer"
) -> list[dict[str, Any]]:
    """What came of builds that were killed; the first entry is about the one that was not."""
    command = [sys.executable, str(CRASHES), str(recipe), str(place), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CRASH_TRAINERS": trainers}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=1500)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [json.loads(line) for line in ran.stdout.splitlines()]


def assert_same(told: list[dict[str, Any]], count: int) -> None:
    whole, *deaths = told
    assert whole["acts"] > 200
    assert len(deaths) == count
    assert [death for death in deaths if not death["same"]] == []
    assert sum(death["killed"] for death in deaths) > count * 0.6, "a late death may come too late"


def test_a_build_killed_anywhere_ends_with_the_same_bytes(tmp_path: Path, tiny_model: Path) -> None:
    told = killed(tmp_path / "k", project(tmp_path / "p", tiny_model), 3, 20, "train|finish|compiling")
    assert_same(told, 3)


@pytest.mark.slow
def test_builds_killed_at_forty_acts(tmp_path: Path, tiny_model: Path) -> None:
    """In every stage: sources, query, rendering, packing, evaluations, steps, checkpoints, save, end."""
    told = killed(tmp_path / "k", project(tmp_path / "p", tiny_model), 40, 1)
    assert_same(told, 40)
    assert {death["act"].partition(":")[0] for death in told[1:]} >= {
        "reading sources",
        "running the query",
        "selecting rows",
        "compiling rows",
        "looking for odd rows",
        "prepare",
        "load",
        "evaluate before",
        "train",
        "evaluate after",
        "save",
        "finish",
    }
    after = [death for death in told[1:] if death["act"].startswith(("save", "finish", "evaluate after"))]
    assert all(death["steps"] == 0 for death in after), "what was trained is kept"


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_builds_of_other_objectives_killed_while_they_train(
    tmp_path: Path, tiny_model: Path, kind: str
) -> None:
    place = project(tmp_path / "p", tiny_model, kind)
    assert_same(killed(tmp_path / "k", place, 4, 3, "train", trainers=OTHERS[kind][1]), 4)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_loses_nothing(tmp_path: Path, tiny_model: Path) -> None:
    told = killed(tmp_path / "k", project(tmp_path / "p", tiny_model), "full")
    assert [one for one in told[1:] if one["codes"] != ["FTC702"] or not one["same"]] == []
