"""Whether a model keeps rows in one sequence apart, read from the installed transformers' source as text.

Rows in one sequence are told apart by their tokens' positions, which begin at 0 with each row. The attention
masks of transformers' `masking_utils` heed them where the modelling code hands them over; flash attention
takes them too. What carries state from token to token (convolutions, recurrences) is not reset by them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_MAKERS = re.compile(r"create_\w*causal_mask|mask_function")
"""What makes a causal mask: a function of `masking_utils`, or the name modelling code chooses one by."""

_STATE = re.compile(
    r"Conv1d|LSTM|GRU|(?i:causal_conv1d|mamba|rwkv|recurrent|selective_scan|delta_rule|lightning)"
)
"""Names of what carries state from token to token. (GPT-2's `Conv1D` is a linear layer.)"""


@dataclass(frozen=True, slots=True)
class Isolation:
    """Whether a packed row sees itself alone, and why, as the rest of a sentence about the model."""

    apart: bool
    why: str


@cache
def isolation(architecture: str, model_type: str) -> Isolation:
    """Whether an architecture keeps packed rows apart; imports and runs nothing of transformers."""
    source = _source(architecture, model_type)
    if source is None:
        return Isolation(False, f"the installed transformers has no {architecture} to be looked at")
    used = tuple(_used(ast.parse(source), architecture))
    for name in _names(used):
        if _STATE.search(name):
            return Isolation(False, f"it carries state from token to token (`{name}`), across rows too")
    made = [_heeds(call, function) for function, call in _mask_calls(used)]
    if not made or not all(made):
        return Isolation(False, "its code makes the attention mask without the tokens' positions")
    return Isolation(True, "its attention mask is made of the tokens' positions, which each row begins anew")


def _source(architecture: str, model_type: str) -> str | None:
    """The text of the file that defines an architecture."""
    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        return None
    models = Path(next(iter(spec.submodule_search_locations))) / "models"
    folder = model_type.replace("-", "_").removesuffix("_text")
    likely = models / folder / f"modeling_{folder}.py"
    declared = re.compile(rf"^class {re.escape(architecture)}\b", re.MULTILINE)
    for path in (likely, *sorted(models.glob("*/modeling_*.py"))):
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        if declared.search(text):
            return text
    return None


def _used(tree: ast.Module, name: str) -> Iterator[ast.stmt]:
    """The top-level definitions that a class is made of, its own first.

    The base class of all a file's models is left out: it names parts of models that this one has not.
    """
    defined = dict(_definitions(tree))
    waiting, seen = [name], {name}
    while waiting:
        definition = defined[waiting.pop()]
        yield definition
        parts = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
        new = {part for part in parts & defined.keys() if not part.endswith("PreTrainedModel")} - seen
        waiting += sorted(new)
        seen |= new


def _definitions(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))


def _names(definitions: tuple[ast.stmt, ...]) -> Iterator[str]:
    """Every name that the definitions use, in order."""
    for definition in definitions:
        for node in ast.walk(definition):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Attribute):
                yield node.attr


def _mask_calls(definitions: tuple[ast.stmt, ...]) -> Iterator[tuple[ast.FunctionDef, ast.Call]]:
    """Every call that makes a causal mask, with the function in which it stands."""
    for definition in definitions:
        for function in ast.walk(definition):
            if isinstance(function, ast.FunctionDef):
                calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
                yield from ((function, call) for call in calls if _MAKERS.fullmatch(_called(call)))


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _heeds(call: ast.Call, function: ast.FunctionDef) -> bool:
    """Whether positions are among a call's arguments, by name or in a dictionary made in the function."""
    by_name = {argument.arg for argument in call.keywords}
    return "position_ids" in by_name or (None in by_name and "position_ids" in _keys(function))


def _keys(function: ast.FunctionDef) -> Mapping[str, None]:
    """The texts that are keys of dictionaries written in a function."""
    written = (node.keys for node in ast.walk(function) if isinstance(node, ast.Dict))
    return {
        key.value: None
        for keys in written
        for key in keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
