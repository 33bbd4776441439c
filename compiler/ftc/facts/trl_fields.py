"""The fields of the installed TRL's configs, read from its source: nothing of TRL is imported or run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftc import objectives
from ftc.diagnostics import Finding, Severity
from ftc.recipe import wording
from ftc.recipe.layers import Origins
from ftc.recipe.model import Recipe
from ftc.recipe.suggest import closest
from ftc.recipe.training import Train

OWNED: dict[str, str] = {
    "activation_checkpointing": "train.gradient_checkpointing",
    "auto_find_batch_size": "train.micro_batch",
    "bf16": "model.dtype",
    "bf16_full_eval": "model.dtype",
    "data_seed": "seed",
    "dataloader_pin_memory": "",
    "deepspeed": "",
    "disable_tqdm": "",
    "do_eval": "",
    "do_predict": "",
    "do_train": "",
    "eval_delay": "",
    "eval_on_start": "",
    "eval_steps": "train.eval_every",
    "eval_strategy": "",
    "fp16": "model.dtype",
    "fp16_full_eval": "model.dtype",
    "fsdp": "",
    "fsdp_config": "",
    "full_determinism": "train.deterministic",
    "gradient_accumulation_steps": "train.batch",
    "gradient_checkpointing": "train.gradient_checkpointing",
    "greater_is_better": "",
    "hub_token": "",
    "ignore_data_skip": "",
    "label_smoothing_factor": "train.label_smoothing",
    "learning_rate": "train.learning_rate",
    "load_best_model_at_end": "train.keep",
    "local_rank": "",
    "logging_first_step": "",
    "logging_steps": "",
    "logging_strategy": "",
    "lr_scheduler_kwargs": "train.schedule",
    "lr_scheduler_type": "train.schedule",
    "max_grad_norm": "train.max_grad_norm",
    "max_steps": "train.steps",
    "metric_for_best_model": "train.keep",
    "neftune_noise_alpha": "train.neftune",
    "num_train_epochs": "train.epochs",
    "optim": "train.optimizer",
    "output_dir": "name",
    "per_device_eval_batch_size": "eval.batch",
    "per_device_train_batch_size": "train.micro_batch",
    "project": "name",
    "push_to_hub": "",
    "report_to": "train.trackers",
    "resume_from_checkpoint": "",
    "run_name": "name",
    "save_only_model": "",
    "save_steps": "train.save_every",
    "save_strategy": "train.save_every",
    "save_total_limit": "",
    "seed": "seed",
    "torch_compile": "train.compile",
    "use_cpu": "train.device",
    "use_liger_kernel": "train.kernels",
    "warmup_steps": "train.warmup",
    "weight_decay": "train.weight_decay",
}
"""Fields of every trainer's config that ftc sets, with the recipe's key for each, empty where it has none."""

OF_TRL: dict[str, str] = {"model_init_kwargs": "model.dtype"}
"""The same of fields that TRL's configs have beside transformers'."""

RETIRED: dict[str, str] = {
    "logging_dir": "",
    "no_cuda": "train.device",
    "overwrite_output_dir": "",
    "use_mps_device": "train.device",
    "warmup_ratio": "train.warmup",
}
"""The same of fields that earlier releases of transformers had."""


class TrlNotFoundError(LookupError):
    """TRL, or the config asked for, is not among the installed packages."""


@cache
def config_fields(config: str) -> dict[str, str]:
    """Name and annotation of each field of a config such as `trl:SFTConfig`, inherited ones included.

    Raises `TrlNotFoundError` where the package or the class is not installed.
    """
    package, _, name = config.partition(":")
    return _fields_of(package, name)


def _fields_of(package: str, name: str) -> dict[str, str]:
    module = _module_of(package, name)
    tree = ast.parse(module.read_text("utf-8"))
    definition = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    fields: dict[str, str] = {}
    for base in reversed(definition.bases):
        home = _home(tree, ast.unparse(base).rpartition(".")[2], package)
        if home:
            fields |= _fields_of(*home)
    return fields | dict(_own_fields(definition))


def _own_fields(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            annotation = ast.unparse(node.annotation)
            if "ClassVar" not in annotation:
                yield node.target.id, annotation


def _home(tree: ast.Module, name: str, package: str) -> tuple[str, str] | None:
    """The package and the name there of a base class: imported, or defined in the same file."""
    for node, alias in _imports(tree):
        if (alias.asname or alias.name) == name:
            return (package if node.level else (node.module or "").partition(".")[0]), alias.name
    defined = any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body)
    return (package, name) if defined else None


def _imports(tree: ast.Module) -> Iterator[tuple[ast.ImportFrom, ast.alias]]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from ((node, alias) for alias in node.names)


def _module_of(package: str, name: str) -> Path:
    """The file in which a package defines a class: the likely ones first."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise TrlNotFoundError(f"{package} is not installed")
    root = Path(next(iter(spec.submodule_search_locations)))
    declaration = re.compile(rf"^class {re.escape(name)}\b", re.MULTILINE)
    for path in _likely(root, name):
        if declaration.search(path.read_text("utf-8", "replace")):
            return path
    raise TrlNotFoundError(f"{package} has no {name}")


def _likely(root: Path, name: str) -> Iterator[Path]:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip("_")).lower()
    guesses = [root / f"{words}.py", root / "training_args.py", root / "trainer" / f"{words}.py"]
    yield from (path for path in guesses if path.is_file())
    yield from sorted((root / "trainer").glob("*_config.py"))
    yield from sorted((root / "experimental").glob("*/*_config.py"))
    yield from sorted(root.glob("*.py"))
    yield from sorted(root.glob("*/training_args.py"))


def check_trl_options(recipe: Recipe, origins: Origins, objective: str | None = None) -> tuple[Finding, ...]:
    """What is wrong with [train.trl], against the fields of the objective's config in the installed TRL.

    `objective` names it where the columns have decided; else the recipe's own statement, or SFT, counts.
    """
    if not recipe.train.trl:
        return ()
    chosen = objectives.load(objective or recipe.train.objective_name or "sft")
    try:
        fields = config_fields(chosen.config)
    except TrlNotFoundError as error:
        message = f"the options of [train.trl] cannot be checked: {error}"
        return (Finding("FTC503", message, origins.key("train", "trl"), severity=Severity.WARNING),)
    owned = {**RETIRED, **OF_TRL, **OWNED, **chosen.owned}
    found = (_check(name, value, fields, owned, origins) for name, value in recipe.train.trl.items())
    return tuple(finding for finding in found if finding)


def _check(
    name: str, value: Any, fields: Mapping[str, str], owned: Mapping[str, str], origins: Origins
) -> Finding | None:
    if name in owned:
        return _owned(name, owned[name], origins)
    if name not in fields:
        return _unknown(name, fields, origins)
    return _mistyped(name, value, fields[name], origins)


def _owned(name: str, key: str, origins: Origins) -> Finding:
    message = f"`{name}` belongs to ftc and cannot be passed through"
    if name in ("hub_token", "push_to_hub"):
        help_line = "publish the run directory's model/ when the build is done; no secret belongs in a recipe"
    elif key:
        help_line = (
            f"write `{key}` instead" if "." in key else f"write `{key}` at the top of the recipe instead"
        )
    else:
        help_line = "remove it: ftc decides this itself"
    return Finding("FTC504", message, origins.key("train", "trl", name), help=(help_line,))


def _unknown(name: str, fields: Mapping[str, str], origins: Origins) -> Finding:
    from importlib.metadata import version

    message = f"the installed TRL has no option `{name}`"
    if name in Train.model_fields:
        helps: tuple[str, ...] = (f"`{name}` is a key of [train]: move it there",)
    else:
        helps = tuple(f"did you mean `{near}`?" for near in closest(name, set(fields) - set(OWNED)))
    notes = (f"checked against TRL {version('trl')} and transformers {version('transformers')}",)
    return Finding("FTC503", message, origins.key("train", "trl", name), help=helps, notes=notes)


_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
}
_KINDS = {
    "bool": "bool_type",
    "int": "int_type",
    "float": "float_type",
    "str": "string_type",
    "list": "tuple_type",
    "dict": "dict_type",
}


def _mistyped(name: str, value: Any, annotation: str, origins: Origins) -> Finding | None:
    """A finding where the annotation names plain types and the value has none of them."""
    parts = [part for part in _alternatives(annotation) if part != "None"]
    if not parts or any(part not in _TYPES for part in parts):
        return None
    if any(_has_type(value, part) for part in parts):
        return None
    expected = " or ".join(wording.EXPECTED[_KINDS[part]] for part in parts)
    path = ("train", "trl", name)
    message = f"`{wording.name(path)}` must be {expected}, not {wording.found(value)}"
    helps = wording.type_help(_KINDS[parts[0]], wording.Given(path, value))
    return Finding("FTC103", message, origins.value(*path), f"expected {expected}", help=helps)


def _has_type(value: Any, part: str) -> bool:
    return isinstance(value, _TYPES[part]) and (part == "bool" or not isinstance(value, bool))


def _alternatives(annotation: str) -> list[str]:
    """The types an annotation allows, without their parameters: `list[str] | None` gives list and None."""
    plain = annotation
    while re.search(r"\[[^\[\]]*\]", plain):
        optional = re.sub(r"(?:typing\.)?(?:Optional|Union)\[([^\[\]]*)\]", r"\1|None", plain)
        plain = optional.replace(",", "|") if optional != plain else re.sub(r"\[[^\[\]]*\]", "", plain)
    return [part.strip() for part in plain.strip("'\"").split("|")]
