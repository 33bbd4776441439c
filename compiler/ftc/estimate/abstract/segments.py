"""Marks in a model where one segment of a step ends and the next begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ftc.estimate.abstract.tracker import Tracker


def first_tensor(output: Any) -> torch.Tensor:
    """The hidden states in what a layer or a model returns."""
    found: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return found


def base_of(model: Any) -> Any:
    """The language model under PEFT's or sentence-transformers', if that is around it."""
    if hasattr(model, "_first_module"):
        return model[0].auto_model
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def mark_loss(model: Any, tracker: Tracker, name: str) -> None:
    """From the last hidden state on, and until its gradient is made, all new storages are for the loss.

    A forward pass is cut there, and where it begins; its segments have `name` in theirs.
    """

    def enter(_module: Any, _inputs: Any) -> None:
        tracker.scope = None
        if tracker.segment.startswith("forward"):
            tracker.begin(f"forward/{name}")

    def leave(_module: Any, _inputs: Any, output: Any) -> None:
        tracker.scope = "logits"
        if tracker.segment.startswith("forward"):
            tracker.begin(f"forward/{name} loss")
        hidden = first_tensor(output)
        if hidden.requires_grad:
            hidden.register_hook(lambda _: setattr(tracker, "scope", None))  # type: ignore[no-untyped-call]

    inner = base_of(model).base_model
    inner.register_forward_pre_hook(enter)
    inner.register_forward_hook(leave)


def mark_layers(layers: torch.nn.ModuleList, tracker: Tracker) -> None:
    """The backward pass is cut where the gradient of a layer's output is there.

    Its segments are named by the layer's distance from the nearer end, so that they mean the same in a
    deeper model.
    """
    count = len(layers)
    for index, layer in enumerate(layers):
        place = f"last-{count - 1 - index}" if index >= count // 2 else f"first+{index}"
        _after(layer, partial(_on_gradient, tracker, place))


def _on_gradient(tracker: Tracker, place: str, output: Any) -> None:
    hidden = first_tensor(output)
    if hidden.requires_grad and tracker.segment.startswith("forward"):
        hidden.register_hook(lambda _: tracker.begin(f"backward/{place}"))  # type: ignore[no-untyped-call]


def _after(layer: torch.nn.Module, then: Callable[[Any], None]) -> None:
    """Call `then` with what the layer returns, outside of a checkpoint around it."""
    original: Any = type(layer)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = original.__call__(self, *args, **kwargs)
        then(output)
        return output

    layer.__class__ = type(original.__name__, (original,), {"__call__": call})
