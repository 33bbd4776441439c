"""One plan has one byte form, from which it is read back."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from ftc.plan.canonical import canonical_bytes, digest
from ftc.plan.steps import Choice, Plan
from tiny_plan import write_tiny


@pytest.fixture(scope="module")
def plan(tmp_path_factory, tiny_model) -> Plan:
    return write_tiny(tmp_path_factory.mktemp("canonical"), tiny_model).plan()


def test_round_trip(plan: Plan):
    data = canonical_bytes(plan)
    assert Plan.model_validate_json(data) == plan
    assert canonical_bytes(Plan.model_validate_json(data)) == data


def test_form(plan: Plan):
    data = canonical_bytes(plan.model_copy(update={"name": "naïve"}))
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    assert "naïve".encode() in data
    value = json.loads(data)
    assert list(value) == sorted(value)
    assert (
        json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" == data
    )


def test_key_order_of_options_does_not_matter(plan: Plan):
    turned = dict(reversed(plan.train.arguments.items()))
    other = plan.model_copy(update={"train": plan.train.model_copy(update={"arguments": turned})})
    assert digest(other) == digest(plan)


def test_digest_is_that_of_the_bytes(plan: Plan):
    assert digest(plan) == sha256(canonical_bytes(plan)).hexdigest()
    more = plan.model_copy(update={"choices": (Choice(key="a", value=1, reason="b"),)})
    assert digest(more) != digest(plan)


def test_not_a_number_is_refused(plan: Plan):
    bad = plan.model_copy(update={"train": plan.train.model_copy(update={"epochs": float("nan")})})
    with pytest.raises(ValueError, match="JSON"):
        canonical_bytes(bad)
