"""The YAML block at the head of a model card, from which the hub reads what a model is and what it scored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from ftc.artifact.chain import ChainedRun, bases
from ftc.plan.steps import Plan, SourceStep
from ftc.recipe.card import Card
from ftc.recipe.licences import OTHER, hub_name, spdx

PIPELINES = {
    "vocabulary": "text-generation",
    "scores": "text-classification",
    "classes": "text-classification",
    "embedding": "sentence-similarity",
}
"""What the hub calls a model's use, by what stands on its layers."""

METRICS = {"label_accuracy": "accuracy", "choice_accuracy": "accuracy", "rouge_l": "rouge"}
"""What the hub calls a metric, where it has another name for it."""

HELD_OUT = "held_out"
DIGITS = 6
"""Significant digits of a metric's value."""

_HUB_DATASET = re.compile(r"^hf://datasets/(?P<name>[^@]+)@(?P<commit>[0-9a-f]{40})$")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")

Fields = dict[str, Any]


def hub_dataset(source: SourceStep) -> tuple[str, str] | None:
    """Name and commit of a source that is a data set of the hub."""
    found = _HUB_DATASET.match(source.location)
    return (found["name"], found["commit"]) if found else None


def licence_fields(card: Card) -> Fields:
    """The licence as the hub wants it: a name of its list, or `other` with a name and a link."""
    if card.licence is None:
        return {}
    name = hub_name(card.licence)
    if name is not None and name != OTHER:
        return {"license": name}
    own = card.licence_name or (spdx(card.licence) if name is None else None)
    more = {"license_name": own.lower() if own else None, "license_link": card.licence_link}
    return {"license": OTHER, **{key: value for key, value in more.items() if value}}


def fields(plan: Plan, measured: Mapping[str, Any], chain: Sequence[ChainedRun], card: Card) -> Fields:
    """What the hub's metadata says of a run, in the order in which it is written."""
    adapter = plan.tune is not None and plan.tune.peft is not None
    found: Fields = {"library_name": "peft" if adapter else "transformers", "pipeline_tag": pipeline(plan)}
    if plan.objective is not None and plan.objective.head == "embedding":
        found["library_name"] = "sentence-transformers"
    below = bases(chain)
    base = below[0].model if below else plan.model
    if base is not None and base.kind == "hub":
        found["base_model"] = base.location
        found["base_model_relation"] = "adapter" if adapter and not below else "finetune"
    found |= licence_fields(card)
    if card.language:
        found["language"] = list(card.language)
    datasets = [known[0] for source in plan.sources or () if (known := hub_dataset(source))]
    if datasets:
        found["datasets"] = sorted(set(datasets))
    found["tags"] = _tags(plan, card)
    results = list(_results(plan, measured))
    if results:
        found["metrics"] = sorted({one["type"] for result in results for one in result["metrics"]})
        found["model-index"] = [{"name": card.title or plan.name, "results": results}]
    return found


def pipeline(plan: Plan) -> str:
    """The hub's word for what the model is for."""
    return PIPELINES[plan.objective.head if plan.objective else "vocabulary"]


def _tags(plan: Plan, card: Card) -> list[str]:
    own = ["ftc", "trl", *([plan.objective.name] if plan.objective else [])]
    own += [plan.tune.method] if plan.tune else []
    return list(dict.fromkeys([*own, *(card.tags or ())]))


def _results(plan: Plan, measured: Mapping[str, Any]) -> Iterator[Fields]:
    """An entry of the model index for each suite that has values after training."""
    for suite in measured.get("suites", ()):
        metrics = [one for metric in suite["metrics"] if (one := _metric(metric))]
        if metrics:
            yield {"task": {"type": pipeline(plan)}, "dataset": _dataset(plan, suite), "metrics": metrics}


def _metric(metric: Mapping[str, Any]) -> Fields | None:
    after = metric["after"]
    value = after["value"] if after else None
    if value is None or not isfinite(value):
        return None
    name = metric["metric"]
    rounded = float(f"{value:.{DIGITS}g}")
    return {"type": METRICS.get(name, name), "name": metric["title"], "value": rounded}


def _dataset(plan: Plan, suite: Mapping[str, Any]) -> Fields:
    """What a suite's rows are: the data set of the hub that they come from alone, or the suite's name."""
    name = suite["suite"]
    step = next((one for one in plan.all_suites if one.name == name), None)
    sources = step.rows.sources if step is not None and step.rows is not None else plan.sources or ()
    title = f"held-out rows of {plan.name}" if name == HELD_OUT else name
    found: Fields = {"type": name, "name": title}
    only = hub_dataset(sources[0]) if len(sources) == 1 else None
    if only is not None:
        found = {"type": only[0], "name": title, "revision": only[1]}
    if name == HELD_OUT:
        found["split"] = "eval"
    return found


def yaml_block(value: Mapping[str, Any]) -> str:
    """The block with its marks; texts are in double quotes unless they are plain words."""
    return "---\n" + "".join(_lines(value, 0)) + "---\n"


def _lines(value: Any, depth: int) -> Iterator[str]:
    space = "  " * depth
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _entry(f"{space}{key}:", inner, depth)
        return
    for item in value:
        if isinstance(item, Mapping):
            first, *rest = _lines(item, depth + 1)
            yield f"{space}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{space}- {_scalar(item)}\n"


def _entry(head: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, (Mapping, list)):
        yield f"{head}\n"
        yield from _lines(value, depth + isinstance(value, Mapping))
    else:
        yield f"{head} {_scalar(value)}\n"


_PLAIN = re.compile(r"^[a-z][a-z0-9_.+-]*$")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")  # without a dot it would be a text
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.match(value) and value not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda one: f"\\u{ord(one[0]):04x}", quoted)
