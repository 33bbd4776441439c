"""The optimizer of a training step, as PyTorch or bitsandbytes run it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch

from ftc.estimate.abstract.tracker import Tracker
from ftc.estimate.step import Optimizer


def make(how: Optimizer, trained: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer over the parameters that train."""
    if how.form == "bitsandbytes":
        return _bitsandbytes(how, trained)
    foreach = how.form == "foreach"
    if how.name == "sgd":
        return torch.optim.SGD(trained, lr=1e-4, momentum=0.9 * how.momentum, foreach=foreach)
    optimizer = torch.optim.AdamW(trained, lr=1e-4, foreach=foreach)
    if how.form == "fused":
        for group in optimizer.param_groups:
            group["fused"] = True
    return optimizer


def widen(model: torch.nn.Module) -> None:
    """Keep states of embeddings in 32 bits, as transformers' Trainer asks of bitsandbytes."""
    import bitsandbytes

    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})


def _bitsandbytes(how: Optimizer, trained: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    import bitsandbytes

    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    manager.pid2config.clear()  # of a step before, by the number of a parameter
    manager.index2config.clear()
    kind = {"adamw": "AdamW", "lion": "Lion", "sgd": "SGD"}[how.name]
    options = {"momentum": 0.9} if how.name == "sgd" else {}
    made: torch.optim.Optimizer = getattr(bitsandbytes.optim, kind)(
        trained, lr=1e-4, optim_bits=how.bits, is_paged=how.paged, **options
    )
    return made


@contextmanager
def _kernel(how: Optimizer) -> Iterator[None]:
    """The fused kernel updates in place; it does not take tensors without values."""
    if how.form == "fused":
        with ExitStack() as stack:
            adam = import_module("torch.optim.adam")
            for name in ("adam", "_device_dtype_check_for_fused"):
                stack.enter_context(patch.object(adam, name, lambda *_, **__: None))
            yield
    else:
        yield


def advance(optimizer: torch.optim.Optimizer, how: Optimizer) -> None:
    """One step, after which the gradients are gone."""
    with _kernel(how):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def clip(trained: list[torch.nn.Parameter]) -> None:
    """Scale the gradients to a norm of at most one."""
    torch.nn.utils.clip_grad_norm_(trained, 1.0)


def name_states(optimizer: Any, tracker: Tracker) -> None:
    """Say which of the tracked bytes are the optimizer's states."""
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor) and tracker.follows(value):
                tracker.label(value, "optimizer")
