"""The tables whose keys depend on what one of them names: what each form does, and its defaults."""

from __future__ import annotations

from ftc import objectives, tuning
from ftc.recipe.base import descriptions
from ftc.recipe.forms import FORMS
from ftc.reference.types import cell

FORM_KEYS = {".".join(path): forms.key for path, forms in FORMS.items()}
"""The key that names the form, by the path of its table."""


def form_intro(path: str) -> str:
    """What a table with several forms is, and a line for each form."""
    return _methods() if path == "tune" else _objectives()


def _methods() -> str:
    lines = ["| `method` | what it does | learning rate unless given |", "| --- | --- | --- |"]
    for name in tuning.METHODS:
        method = tuning.load(name)
        said = descriptions(method.options)["method"]
        why = cell(method.learning_rate_reason)
        lines.append(f"| `{name}` | {cell(said)} | {method.learning_rate:g}: {why} |")
    told = "Which weights train ([tuning](../tuning.md)). `method` says how; it is `lora` unless given."
    return told + "\n\n" + "\n".join(lines)


def _objectives() -> str:
    head = "| `name` | columns | what it does | epochs unless given | part of the method's learning rate |"
    lines = [head, "| --- | --- | --- | --- | --- |"]
    for name in objectives.OBJECTIVES:
        objective = objectives.load(name)
        columns = "; or ".join(", ".join(f"`{c}`" for c in shape.columns) for shape in objective.shapes)
        said = cell(descriptions(objective.options)["name"])
        epochs = f"{objective.epochs:g}: {cell(objective.epochs_reason)}"
        rate = f"{objective.rate:g}" + (f": {cell(objective.rate_reason)}" if objective.rate_reason else "")
        lines.append(f"| `{name}` | {columns} | {said} | {epochs} | {rate} |")
    told = "What is learned ([objectives](../objectives.md)): a name, or a table with `name` and options."
    return told + "\n\n" + "\n".join(lines)
