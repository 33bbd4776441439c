"""The recipe's types seen as a language: its tables, their keys, and what each key takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ftc.recipe.base import Table
from ftc.recipe.forms import FORMS, all_forms
from ftc.recipe.layers import Key, lookup
from ftc.recipe.model import Recipe

ANY = "*"
"""Stands in a table's path for a name that the recipe chooses, such as that of a source."""

FOREIGN: dict[str, str] = {
    "base_model": "model.base",
    "batch_size": "train.batch",
    "card.data.license": "card.data.licence",
    "cutoff_len": "data.max_length",
    "data.file": "data.sources",
    "data.files": "data.sources",
    "data.path": "data.sources",
    "data.source": "data.sources",
    "dataset": "data.sources",
    "datasets": "data.sources",
    "early_stopping_patience": "train.early_stopping.patience",
    "eval_steps": "train.eval_every",
    "gradient_accumulation_steps": "train.batch",
    "gradient_clipping": "train.max_grad_norm",
    "label_smoothing_factor": "train.label_smoothing",
    "languages": "card.language",
    "learn_rate": "train.learning_rate",
    "license": "card.licence",
    "license_link": "card.licence_link",
    "license_name": "card.licence_name",
    "load_best_model_at_end": "train.keep",
    "lora_alpha": "tune.alpha",
    "lora_dropout": "tune.dropout",
    "lora_r": "tune.rank",
    "lora_rank": "tune.rank",
    "lr": "train.learning_rate",
    "lr_scheduler": "train.schedule",
    "lr_scheduler_type": "train.schedule",
    "max_seq_len": "data.max_length",
    "max_seq_length": "data.max_length",
    "max_steps": "train.steps",
    "micro_batch_size": "train.micro_batch",
    "model.id": "model.base",
    "model.name": "model.base",
    "model.path": "model.base",
    "model_name": "model.base",
    "model_name_or_path": "model.base",
    "neftune_noise_alpha": "train.neftune",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "optim": "train.optimizer",
    "per_device_train_batch_size": "train.micro_batch",
    "r": "tune.rank",
    "random_seed": "seed",
    "report_to": "train.trackers",
    "save_steps": "train.save_every",
    "sequence_len": "data.max_length",
    "sql": "data.query",
    "system_prompt": "render.system",
    "target_modules": "tune.targets",
    "test_size": "data.split.eval",
    "torch_compile": "train.compile",
    "train_on_inputs": "render.train_on",
    "use_liger_kernel": "train.kernels",
    "val_set_size": "data.split.eval",
    "val_size": "data.split.eval",
    "warmup_ratio": "train.warmup",
    "warmup_steps": "train.warmup",
}
"""Names that other tools have for settings of a recipe; with a table in front, in that table alone."""


def translated(key: str, around: Key) -> str:
    """The setting of a recipe that another tool's key in this table means; empty if none is known."""
    here = ".".join(map(str, around))
    return FOREIGN.get(f"{here}.{key}") or FOREIGN.get(key.casefold(), "")


@dataclass(frozen=True)
class TableType:
    """A table of the language: where it stands, and the type that says what may stand in it."""

    path: tuple[str, ...]
    type: type[Table]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the table, in their order in the language."""
        return tuple(self.type.model_fields)

    @property
    def title(self) -> str:
        """How the table is called in a message."""
        return f"[{'.'.join(self.path).replace(ANY, 'NAME')}]" if self.path else "the top level"


@cache
def tables() -> tuple[TableType, ...]:
    """Every table of the language; one with several forms, such as [tune], has an entry for each."""
    return tuple(dict.fromkeys(_walk(Recipe, ())))


def _walk(table: type[Table], path: tuple[str, ...]) -> Iterator[TableType]:
    yield TableType(path, table)
    for name, field in table.model_fields.items():
        for options in all_forms((*path, name)):
            yield from _walk(options, (*path, name))
        for inner, below in _inside(field.annotation, ()):
            yield from _walk(inner, (*path, name, *below))


def _inside(annotation: Any, below: tuple[str, ...]) -> Iterator[tuple[type[Table], tuple[str, ...]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, below  # type: ignore[misc]
    elif get_origin(annotation) is dict:
        yield from _inside(get_args(annotation)[1], (*below, ANY))
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _inside(part, below)


def table_at(path: Key, values: Mapping[str, Any]) -> TableType | None:
    """The table of the language at a path of a recipe; of one with several forms, such as [tune], its own."""
    found = [table for table in tables() if _fits(table.path, path)]
    forms = FORMS.get(tuple(map(str, path)))
    if forms is not None:
        name = lookup(values, (*path, forms.key))
        known = isinstance(name, str) and name in forms.names
        options = forms.options(str(name) if known else forms.default or forms.names[0])
        found = [table for table in found if table.type is options]
    return found[0] if found else None


def _fits(pattern: tuple[str, ...], path: Key) -> bool:
    return len(pattern) == len(path) and all(p in (ANY, q) for p, q in zip(pattern, path, strict=True))


def homes_of(key: str) -> tuple[str, ...]:
    """The tables in which a key is at home, as titles; the first is the likeliest."""
    return tuple(dict.fromkeys(table.title for table in tables() if key in table.keys and table.path))


def field_at(path: Key, values: Mapping[str, Any]) -> FieldInfo | None:
    """What the language says of the setting at a path; under free names, what it says of all of them."""
    table = table_at(path[:-1], values)
    if table is None:
        return field_at(path[:-1], values) if len(path) > 1 else None
    return table.type.model_fields.get(str(path[-1]))


def allowed_values(annotation: Any) -> tuple[str, ...]:
    """The words among which a setting chooses, in their order."""
    if get_origin(annotation) is Literal:
        return tuple(value for value in get_args(annotation) if isinstance(value, str))
    return tuple(word for part in get_args(annotation) for word in allowed_values(part))


@dataclass(frozen=True)
class Bounds:
    """The range of a number; None where a side is open."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __str__(self) -> str:
        """The range in words."""
        sides = (("at least", self.ge), ("more than", self.gt), ("at most", self.le), ("less than", self.lt))
        return " and ".join(f"{words} {limit:.10g}" for words, limit in sides if limit is not None)


def bounds_of(field: FieldInfo) -> Bounds:
    """The range of a setting, gathered from its type."""
    found: dict[str, float] = {}
    for part in _metadata(field):
        for side in ("ge", "gt", "le", "lt"):
            limit = getattr(part, side, None)
            if isinstance(limit, (int, float)):
                found[side] = limit
    return Bounds(**found)


def _metadata(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    yield from _nested_metadata(field.annotation)


def _nested_metadata(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        if isinstance(part, FieldInfo):
            yield from part.metadata
        elif get_origin(annotation) is not Literal:
            yield part
            yield from _nested_metadata(part)
