"""What operations make of tensors without values, remembered by their shapes.

PyTorch finds the shape of a result by Python code that takes longer than the operation itself would, and a
model's layers ask for the same ones again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

Made = Any
"""What an operation returns, with `_Fresh` and `_Given` in place of its tensors."""

META = torch.device("meta")
PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
"""Operands that are no tensors, and that can be compared."""


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A tensor of its own storage."""

    dtype: torch.dtype
    shape: torch.Size
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Given:
    """One of the operands, changed in place."""

    place: int


_NOTHING = "nothing"
"""What stands for None in what is remembered."""

_KNOWN: dict[Any, Made] = {}
_OTHERS: set[Any] = set()
"""Operations and operands whose result shapes do not tell, such as one that shares an operand's storage."""


def remembered(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operation's result; of the same operation on the same shapes it is made without running it again.

    Without values are tensors of the meta device alone; operations on others run.
    """
    if func.is_view:
        return func(*args, **kwargs)
    operands: list[Any] = []
    try:
        key = (func, _key(args, operands), tuple(kwargs), _key(kwargs.values(), operands))
    except TypeError:  # an operand that has values, or cannot be compared
        return func(*args, **kwargs)
    made = _KNOWN.get(key)
    if made is not None:
        return _again(made, operands)
    return func(*args, **kwargs) if key in _OTHERS else _first(key, func, args, kwargs, operands)


def _key(values: Iterable[Any], operands: list[Any]) -> tuple[Any, ...]:
    """What decides the result's shape, of operands, which are listed too. Raises TypeError."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            operands.append(value)
            found.append(_described(value))
        elif isinstance(value, PLAIN):
            found.append((type(value), value))
        elif isinstance(value, (tuple, list)):
            found.append(_key(value, operands))
        else:
            raise TypeError(type(value))
    return tuple(found)


def _described(tensor: torch.Tensor) -> tuple[Any, ...]:
    if tensor.device != META:
        raise TypeError(tensor.device)
    return tensor.dtype, tensor.shape, tensor.stride()


def _again(made: Made, operands: list[Any]) -> Any:
    """The same result, with storages of its own."""
    if isinstance(made, tuple):
        return tuple(_again(part, operands) for part in made)
    if isinstance(made, list):
        return [_again(part, operands) for part in made]
    if isinstance(made, _Fresh):
        return torch.empty_strided(made.shape, made.stride, dtype=made.dtype, device=META)
    return operands[made.place] if isinstance(made, _Given) else None


def _first(key: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], operands: list[Any]) -> Any:
    """Run the operation, and remember what it makes if shapes tell that."""
    before = [_described(one) for one in operands]
    out = func(*args, **kwargs)
    try:
        made = _made(out, operands, {_storage(one) for one in operands})
        changed = [_described(one) for one in operands] != before
    except TypeError:
        changed = True
    if changed:
        _OTHERS.add(key)
    else:
        _KNOWN[key] = made
    return out


def _made(out: Any, operands: list[Any], taken: set[int]) -> Made:
    """The result with its tensors described; `taken` are storages that none of them may share.

    Raises TypeError for one that shares one, has values, or is no tensor.
    """
    if isinstance(out, (tuple, list)):
        return type(out)(_made(part, operands, taken) for part in out)
    if out is None:
        return _NOTHING
    if not isinstance(out, torch.Tensor):
        raise TypeError(type(out))
    place = next((number for number, one in enumerate(operands) if one is out), None)
    if place is not None:
        return _Given(place)
    if _storage(out) in taken:
        raise TypeError("a view")
    taken.add(_storage(out))
    return _Fresh(*_described(out))


def _storage(tensor: torch.Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata  # noqa: SLF001 - the address of the C++ object
    return address
