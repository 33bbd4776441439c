"""The weights of a run against its base: names and shapes of an adapter, or of a whole model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.artifact.beside import read_config
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.inventory import modules
from ftc.facts.cache import Cache
from ftc.plan.steps import Plan
from ftc.tuning.modules import Module, Modules, with_scores

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
LOW_RANK = re.compile(r"(.+)\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)(?:\.weight)?")
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
KINDS = {"PromptEncoder": "ptuning"}
"""Configurations of PEFT that are not called as the type in their files."""

MOST_HEADER = 100_000_000
SHOWN = 5
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Weights:
    """What is known of a run's weights: what holds, what does not, and what could not be told."""

    said: str = ""
    problems: tuple[str, ...] = ()
    open: str = ""


def shapes_of(path: Path) -> Shapes:
    """Names and shapes of the tensors of a safetensors file, whose header is held to its size.

    Raises ValueError for a header that does not describe the file, and OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MOST_HEADER, size):
            raise ValueError(f"{path.name} has no header of safetensors")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        first, last = entry["data_offsets"]
        if first != end or last - first != math.prod(entry["shape"]) * BYTES.get(entry["dtype"], 1):
            raise ValueError(f"the tensor {name} of {path.name} does not fill its place")
        end = last
    if 8 + length + end != size:
        raise ValueError(f"{path.name} is longer or shorter than its header says")
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def look_at_weights(run: Path, plan: Plan) -> Weights:
    """Hold a run's weights to the plan, and to the modules of its base. Raises ValueError and OSError."""
    files = sorted((run / "model").rglob("*.safetensors"))
    if not files:
        return Weights(problems=("the run has no weights",))
    shapes: Shapes = {}
    for file in files:
        shapes |= shapes_of(file)
    adapted = plan.tune is not None and plan.tune.peft is not None
    if adapted:
        return _adapter(run, plan, shapes)
    return _whole(run, plan, shapes)


def _inventory(plan: Plan, config: Mapping[str, Any] | None) -> Modules | str:
    """The modules of the model by its configuration, or why they are not known."""
    if config is None:
        return "the configuration of the base is not at hand"
    try:
        found = modules(config)
    except InexpressibleError as error:
        return f"the modules of this model are not listed: {error}"
    head = plan.objective.head if plan.objective is not None else "vocabulary"
    if head in ("scores", "classes"):
        classes = len(plan.data.classes) if plan.data is not None else 0
        return with_scores(found, classes or 1)
    return found if head == "vocabulary" else "the model has no head"


def _base_config(run: Path, plan: Plan) -> dict[str, Any] | None:
    """The config.json of the base: as the run keeps it, or as the cache does by its digest."""
    own = read_config(run)
    if own is not None or plan.model is None:
        return own
    kept = Cache().recall("config", plan.model.config_sha256)
    return None if kept is None else dict(json.loads(kept))


def _adapter(run: Path, plan: Plan, shapes: Shapes) -> Weights:
    config = json.loads((run / "model" / ADAPTER_CONFIG).read_bytes())
    problems = list(_of_config(config, plan))
    found = _inventory(plan, _base_config(run, plan))
    count = f"{len(shapes)} tensors of the adapter"
    if isinstance(found, str):
        return Weights(count, tuple(problems), found)
    if found.stacked:
        return Weights(count, tuple(problems), "stacked experts are not looked at")
    problems += _fitting(shapes, config, found)
    return Weights(f"{count} fit the modules of {_base(plan)}", tuple(_first(problems)))


def _base(plan: Plan) -> str:
    return plan.model.location if plan.model is not None else "the base"


def _of_config(config: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    """Whether the adapter is one of the plan's kind, on the plan's base."""
    peft = (plan.tune.peft if plan.tune is not None else None) or {}
    kind = str(peft.get("type", "")).removesuffix("Config")
    said = str(config.get("peft_type", ""))
    if said.replace("_", "").lower() != KINDS.get(kind, kind).lower():
        yield f"{ADAPTER_CONFIG} is of {said}, and the plan tunes by {kind}"
    if config.get("base_model_name_or_path") != _base(plan):
        named = config.get("base_model_name_or_path")
        yield f"the adapter names the base {named}, and the plan {_base(plan)}"


def _fitting(shapes: Shapes, config: Mapping[str, Any], base: Modules) -> list[str]:
    """What of an adapter's tensors does not fit the base's modules."""
    known = {module.name: module for module in base.all}
    problems, seen = [], set()
    for name, shape in sorted(shapes.items()):
        plain = name.removeprefix(PREFIX)
        module = _module(plain, known)
        if module is None and name.startswith(PREFIX):
            problems.append(f"the tensor {name} is of no module of the base")
            continue
        low = LOW_RANK.fullmatch(plain)
        if module is not None and low is not None:
            seen.add(module.name)
            wanted = _low_rank(low[2], module, int(config.get("r", 0)), base)
            if wanted is not None and shape != wanted:
                needed = f"and the base needs {list(wanted)}"
                problems.append(f"the tensor {name} has the shape {list(shape)}, {needed}")
    if config.get("peft_type") == "LORA" and seen:
        targets = {module.name for module in base.targeted(config.get("target_modules"))}
        problems += [f"the adapter has no weights for {name}" for name in sorted(targets - seen)]
        unnamed = sorted(seen - targets)
        problems += [f"the adapter has weights for {name}, which it does not name" for name in unnamed]
    return problems


def _module(name: str, known: Mapping[str, Module]) -> Module | None:
    """The module that a tensor belongs to: the longest name that the tensor's begins with."""
    parts = name.split(".")
    beginnings = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((known[beginning] for beginning in beginnings if beginning in known), None)


def _low_rank(part: str, module: Module, rank: int, base: Modules) -> tuple[int, ...] | None:
    """The shape of a factor of LoRA beside a linear layer; None where the rank is not the same for all."""
    if module.kind not in ("linear", "head") or not rank or base.transposed:
        return None
    return {"A": (rank, module.inputs), "B": (module.outputs, rank)}.get(part)


def _whole(run: Path, plan: Plan, shapes: Shapes) -> Weights:
    file = run / "model" / "config.json"
    if not file.is_file():
        return Weights(problems=("the run's model has no config.json",))
    found = _inventory(plan, json.loads(file.read_bytes()))
    tensors = f"{len(shapes)} tensors of the whole model"
    if isinstance(found, str):
        return Weights(tensors, open=found)
    known = {module.name: module for module in found.all}
    sums: dict[str, int] = {}
    problems = []
    for name, shape in shapes.items():
        module = _module(name, known)
        if module is None:
            problems.append(f"the tensor {name} is of no module of the model")
        else:
            sums[module.name] = sums.get(module.name, 0) + math.prod(shape)
    for module in found.all:
        absent = module.name not in sums and found.tied and module.kind == "head"
        if not absent and sums.get(module.name, 0) != module.numel:
            problems.append(
                f"{module.name} has {sums.get(module.name, 0):,} weights, and the model {module.numel:,}"
            )
    return Weights(f"{tensors} fit its config.json", tuple(_first(problems)))


def _first(problems: list[str]) -> list[str]:
    rest = len(problems) - SHOWN
    return problems[:SHOWN] + ([f"and {rest} more of this kind"] if rest > 0 else [])
