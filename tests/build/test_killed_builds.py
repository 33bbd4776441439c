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

from ftc.objectives import OBJECTIVES, load
from models import write_tiny_encoder

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
STUDENT = """[train.objective]
name = "gkd"
teacher = "{model}"
on_policy = 0.5
max_new_tokens = 6
"""
FULL = '[tune]\nmethod = "full"\n'
OTHERS: dict[str, str] = {
    "dpo": 'objective = "dpo"\n' + FULL,
    "kto": 'objective = "kto"\n',
    "orpo": 'objective = "orpo"\n',
    "cpo": 'objective = "cpo"\n',
    "simpo": 'objective = "simpo"\n' + FULL,
    "reward": 'objective = "reward"\n',
    "gkd": STUDENT,
    "grpo": SAMPLED,
    "rloo": SAMPLED.replace("grpo", "rloo") + FULL,
    "classification": 'objective = "classification"\n' + EVAL,
    "embedding": FULL,
    "chain": EVAL,
    "qlora": '[tune]\nmethod = "qlora"\n' + EVAL,
    "pissa": '[tune]\nmethod = "lora"\ninit = "pissa"\n' + EVAL,
    "stopping": "eval_every = 1\nearly_stopping = {{ patience = 1, min_delta = 9 }}\n" + EVAL,
    "full": 'optimizer = "adafactor"\n' + FULL + EVAL,
}
POINTS = {"chain": (8, "load|train|save|finish|recipe"), "embedding": (3, "train")}
"""How many builds are killed, and in which stages, where it is not four in training."""


def trainer(kind: str) -> str:
    """The class that trains, which is imported once for all builds."""
    name = kind if kind in OBJECTIVES else "sft"
    return load(name).trainer


def rows(kind: str) -> list[dict[str, Any]]:
    """Rows of the form that an objective takes."""
    if kind == "chats":
        asked = [{"role": "user", "content": f"the {WORDS[i % 4]} number {i}?"} for i in range(40)]
        told = [{"role": "assistant", "content": WORDS[i % 4]} for i in range(40)]
        return [{"messages": list(pair)} for pair in zip(asked, told, strict=True)]
    if kind == "classification":
        return [{"text": f"the {WORDS[i % 4]} number {i}", "label": WORDS[i % 2]} for i in range(24)]
    if kind == "embedding":
        return [{"anchor": f"what is w{i}", "positive": f"w{i} fox"} for i in range(24)]
    if kind == "kto":
        more = [{"completion": " fox", "label": i % 2 == 0} for i in range(24)]
    else:
        more = [MORE.get(kind, {"completion": " fox"})] * 24
    return [{"prompt": f"the {WORDS[i % 4]} number {i}", **more[i]} for i in range(24)]


MORE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("dpo", "orpo", "cpo", "simpo", "reward"), PAIR),
    "grpo": {},
    "rloo": {},
}


def project(directory: Path, model: Path, kind: str = "chats") -> Path:
    """A directory with a recipe and its rows; of a chain also with the recipe that it builds on."""
    directory.mkdir(parents=True)
    text = CHATS if kind == "chats" else PLAIN + OTHERS[kind]
    if kind == "embedding":
        text = text.replace("[render]\nchat = false\n", "")
    lines = "".join(json.dumps(row) + "\n" for row in rows(kind))
    (directory / "rows.jsonl").write_text(lines, encoding="utf-8")
    recipe = text.format(model=model)
    if kind == "chain":
        (directory / "first.toml").write_text(recipe.replace("plain", "first"), encoding="utf-8")
        recipe = recipe.replace(f'"{model}"', '{ recipe = "first.toml" }')
    (directory / "recipe.toml").write_text(recipe, encoding="utf-8")
    return directory


def killed(
    place: Path, recipe: Path, *arguments: object, trainers: str = "trl:SFTTrainer"
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
    model = tiny_model
    if kind == "embedding":
        pytest.importorskip("sentence_transformers")
        model = tmp_path / "encoder"
        write_tiny_encoder(model)
    count, stages = POINTS.get(kind, (4, "train"))
    place = project(tmp_path / "p", model, kind)
    assert_same(killed(tmp_path / "k", place, count, 3, stages, trainers=trainer(kind)), count)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_loses_nothing(tmp_path: Path, tiny_model: Path) -> None:
    told = killed(tmp_path / "k", project(tmp_path / "p", tiny_model), "full")
    assert [one for one in told[1:] if one["codes"] != ["FTC702"] or not one["same"]] == []
