"""The error on published measurements, held to the figures that were reached."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLACE = Path(__file__).parents[2] / "benchmarks" / "memory"
RECORDS: list[dict[str, Any]] = json.loads((PLACE / "calibration.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def score() -> ModuleType:
    sys.path.insert(0, str(PLACE))
    spec = importlib.util.spec_from_file_location("memory_score", PLACE / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["memory_score"] = module
    spec.loader.exec_module(module)
    sys.path.remove(str(PLACE))
    return module


def test_the_error_on_published_measurements(score: ModuleType) -> None:
    scored = [each for each in map(score.score, RECORDS) if each.predicted is not None]
    by_use = score.grouped(scored, "use")
    median, high, worst = score.summary(by_use["score"])
    assert (median <= 0.2, high <= 1.2, worst <= 1.6) == (True, True, True), (median, high, worst)
    median, high, worst = score.summary(by_use["score-multi-gpu"])
    assert (median <= 0.5, worst <= 1.8) == (True, True), (median, worst)
    assert (len(by_use["score"]), len(by_use["score-multi-gpu"])) == (59, 22)


def test_what_is_not_expressible_is_named(score: ModuleType) -> None:
    refused = [each for each in map(score.score, RECORDS) if each.predicted is None]
    assert {each.note.split()[0] for each in refused} == {"torch.compile"}
    assert len(refused) == 8


def test_no_prediction_looks_at_what_was_measured_or_at_names(score: ModuleType) -> None:
    for record in RECORDS[::7]:
        plain = score.score(record)
        hidden = json.loads(json.dumps(record))
        hidden["measured"] = {"peak_gib": 1.0}
        hidden["model"]["name"] = "a model"
        hidden |= {"id": "a", "group": "b", "source": {}, "caveats": []}
        assert score.score(hidden).predicted == plain.predicted


def test_other_records_of_the_schema_are_scored_or_refused(score: ModuleType) -> None:
    record = json.loads(json.dumps(RECORDS[-1] | {"framework": "TRL, transformers 5.1"}))
    record["memory"] |= {"compile": False, "offload": None, "attn": "sdpa/flash", "ce": "HF eager CE"}
    record["method"] = {"type": "lora", "rank": 8, "targets": ["q", "gate"], "quant": None}
    record["model"] |= {"layers": 60, "experts": 8, "experts_per_token": 2}
    assert score.score(record).predicted > 0
    record["method"]["type"] = "adapter"
    assert "not modelled" in score.score(record).note
    del record["model"]["heads"]
    assert "lacks" in score.score(record | {"method": RECORDS[0]["method"]}).note
