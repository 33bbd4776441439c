"""Differences of plans: none is missed, none is made up, and they are the same from the other side."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import ftc
from ftc.plan import compare as comparing
from ftc.plan.account import STAYING, Fate
from ftc.plan.canonical import canonical_bytes
from ftc.plan.compare import Comparison, compare, settings
from ftc.plan.figures import figures
from ftc.plan.side_by_side import side_by_side
from ftc.plan.steps import Plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Plan:
    """A whole plan with nearly every part: a mix, a held-out side by a query, packed rows."""
    directory = tmp_path_factory.mktemp("compared")
    rows = [{"n": n, "prompt": f"{n}?" + " the" * (n % 9), "completion": " fox"} for n in range(60)]
    (directory / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (directory / "r.toml").write_text(
        f"""[model]
base = "{tiny_model}"
[data]
sources.rows = "rows.jsonl"
mix.a = {{ query = "select prompt, completion, n from rows where n < $most", weight = 0.5 }}
mix.b = {{ query = "select prompt, completion, n from rows where n >= $most", weight = 0.5, repeat = 3 }}
parameters = {{ most = 40 }}
dedupe = "exact"
packing = true
max_length = 64
[data.split]
query = "select prompt, completion, n from rows where n % 5 = 0"
[render]
chat = false
""",
        encoding="utf-8",
    )
    result = ftc.plan(directory / "r.toml")
    assert result.plan is not None, result.findings
    return result.plan


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list) and value:
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(below, (*path, key))
    else:
        yield path


def others(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value / 2 + 0.125]
    if isinstance(value, str):
        digest = len(value) == 64 and set(value) <= set("0123456789abcdef")
        return ["0" * 64] if digest else [f"{value} "]
    return [1, "x", 0.5, True]


def changed(plan: Plan, path: tuple[str | int, ...]) -> Plan | None:
    """The plan with another value at one leaf; None where no other value of ours is valid there."""
    whole = plan.model_dump(mode="json")
    value = whole
    for key in path:
        value = value[key]
    for other in others(value):
        tree = copy.deepcopy(whole)
        inside = tree
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = other
        try:
            return Plan.model_validate_json(json.dumps(tree))
        except ValueError:
            continue
    return None


def parts(found: Comparison) -> list[Any]:
    """All that a comparison tells, the digests and equal figures aside."""
    differing = [figure for figure in found.figures if figure.differs]
    return [*differing, *found.sources, *found.queries, *found.settings, *found.choices, *found.data]


def test_a_plan_does_not_differ_from_itself(plan: Plan) -> None:
    found = compare(plan, Plan.model_validate_json(canonical_bytes(plan)))
    assert found.same
    assert (parts(found), found.redone) == ([], ())
    assert found.figures


def test_no_leaf_of_a_plan_changes_unseen(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "redone", lambda *_: ())  # it has tests of its own, and takes time
    seen = 0
    for path in leaves(plan.model_dump(mode="json")):
        other = changed(plan, path)
        if other is None or path[0] == "format":
            continue
        seen += 1
        found = compare(plan, other)
        assert not found.same, path
        assert parts(found), path
    assert seen > 200


def mirror(found: Comparison) -> list[Any]:
    """The differences as if the sides had changed places, in an order of their own."""
    other = {"old": "new", "new": "old", None: None}
    turned: list[Any] = [(figure.name, figure.values[::-1]) for figure in found.figures]
    turned += [(one.name, one.new, one.old, one.rows[::-1]) for one in found.sources]
    turned += [(one.name, one.new, one.old) for one in found.queries]
    turned += [(one.path, one.new, one.old, other[one.only]) for one in (*found.settings, *found.data)]
    turned += [(one.key, one.new, one.old) for one in found.choices]
    return sorted(map(repr, turned))


def plain(found: Comparison) -> list[Any]:
    listed: list[Any] = [(figure.name, figure.values) for figure in found.figures]
    listed += [(one.name, one.old, one.new, one.rows) for one in found.sources]
    listed += [(one.name, one.old, one.new) for one in found.queries]
    listed += [(one.path, one.old, one.new, one.only) for one in (*found.settings, *found.data)]
    listed += [(one.key, one.old, one.new) for one in found.choices]
    return sorted(map(repr, listed))


def test_differences_are_the_same_from_the_other_side(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "redone", lambda *_: ())
    for path in list(leaves(plan.model_dump(mode="json")))[::5]:
        other = changed(plan, path)
        if other is not None:
            there, back = compare(plan, other), compare(other, plan)
            assert plain(back) == mirror(there), path
            assert back.digests == there.digests[::-1]


def without(plan: Plan, **steps: Any) -> Plan:
    return plan.model_copy(update=steps)


def test_what_one_plan_alone_has_is_told_as_such(plan: Plan) -> None:
    arguments = {key: value for key, value in plan.train.arguments.items() if key != "optim"}
    fewer = without(plan, train=plan.train.model_copy(update={"arguments": arguments}))
    (change,) = settings(plan, fewer)
    assert (change.path, change.new, change.only) == ("train.arguments.optim", None, "old")
    (change,) = settings(fewer, plan)
    assert (change.path, change.old, change.only) == ("train.arguments.optim", None, "new")


def test_a_query_that_is_gone_and_a_source_that_is_new_are_told(plan: Plan) -> None:
    more = plan.sources[0].model_copy(update={"name": "more"})
    other = without(plan, queries=plan.queries[:1], sources=(*plan.sources, more))
    found = compare(plan, other)
    assert [(one.name, one.new) for one in found.queries] == [("b", None)]
    assert [(one.name, one.old) for one in found.sources] == [("more", None)]
    assert found.settings == ()


def test_the_order_of_sources_is_a_difference(plan: Plan) -> None:
    more = plan.sources[0].model_copy(update={"name": "more"})
    first, second = ((more, *plan.sources), (*plan.sources, more))
    found = compare(without(plan, sources=first), without(plan, sources=second))
    assert not found.same
    assert [(one.path, one.old, one.new) for one in found.settings] == [
        ("sources", ["more", "rows"], ["rows", "more"])
    ]


def test_one_is_not_one_point_nought(plan: Plan) -> None:
    arguments = {**plan.train.arguments, "weight_decay": 0}
    other = without(plan, train=plan.train.model_copy(update={"arguments": arguments}))
    assert [(one.path, one.old, one.new) for one in compare(plan, other).settings] == [
        ("train.arguments.weight_decay", 0.0, 0)
    ]


def test_figures_are_those_of_the_plan(plan: Plan) -> None:
    found = figures(plan)
    assert found["rows.read"] == plan.data.ledger.read
    assert found["tokens.train.loss"] == plan.data.train.trained_tokens
    assert found["train.steps"] == plan.train.steps
    assert found["train.tokens"] == round(plan.train.epochs * plan.data.sequences.tokens)
    gone = sum(found.get(f"rows.{fate}", 0) for fate in set(get_args(Fate)) - set(STAYING))
    assert gone == plan.data.ledger.lost > 0
    assert found["rows.read"] == found["rows.kept"] + gone


def test_several_plans_stand_side_by_side(plan: Plan) -> None:
    slower = without(
        plan, train=plan.train.model_copy(update={"batch": 1, "accumulation": 1, "micro_batch": 1})
    )
    queries = (plan.queries[0].model_copy(update={"sql": "from rows"}), plan.queries[1])
    found = side_by_side([plan, slower, without(plan, queries=queries)])
    values = {figure.name: figure.values for figure in found.figures}
    assert values["train.batch"] == (plan.train.batch, 1, plan.train.batch)
    assert {one.path: one.values for one in found.settings} == {
        "sql.a": (plan.queries[0].sql, plan.queries[0].sql, "from rows"),
        **{
            f"train.{name}": (value, 1, value)
            for name, value in plan.train.model_dump().items()
            if name in ("batch", "accumulation", "micro_batch") and value != 1
        },
    }
