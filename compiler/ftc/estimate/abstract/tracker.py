"""Every allocation of the operations that run under it: how large, what for, and when it is freed."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ftc.estimate.abstract.answers import Answer, answers
from ftc.estimate.abstract.operations import FORMULAS, part
from ftc.estimate.abstract.remembered import remembered

Category = Literal[
    "weights",
    "quantisation",
    "adapters",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "temporaries",
]
Scratch = Callable[[tuple[Any, ...], Any], int]


def _tensors(out: Any) -> Iterator[torch.Tensor]:
    """The tensors of an operation's result."""
    if isinstance(out, torch.Tensor):
        yield out
    elif isinstance(out, (tuple, list)):
        for part in out:
            yield from _tensors(part)


ENGINE = "_engine_run_backward"
WRAPPERS = ("_compile.py", "eval_frame.py")
OWNED = 2
"""Users of a storage that one tensor alone has, and whoever asks."""


IN_PLACE = ("aten.add.Tensor", "aten.scatter_add.default", "aten.index_put.default")
"""Operations by which autograd adds to a gradient that it has made, in place where it can."""


def _accumulates(args: tuple[Any, ...]) -> bool:
    """Whether autograd adds a gradient to another that nobody else has.

    It does so in place (`accumulate` of input_buffer.cpp, `gather_backward` and `index_backward` of
    FunctionsManual.cpp), but not while a mode such as the tracker looks on.
    """
    if torch.is_grad_enabled() or not isinstance(args[0], torch.Tensor):
        return False
    frame = sys._getframe(2)  # noqa: SLF001 - who called the operation
    while frame.f_code.co_filename.endswith(WRAPPERS) and frame.f_back is not None:
        frame = frame.f_back
    if frame.f_code.co_name != ENGINE:
        return False
    other = args[1]
    alike = not isinstance(other, torch.Tensor) or args[0].dtype == other.dtype or len(args) > 2
    users: int = torch._C._storage_Use_Count(args[0].untyped_storage()._cdata)  # noqa: SLF001
    return alike and users == OWNED


@dataclass(slots=True)
class Block:
    """One storage: its size in bytes as the allocator hands it out, and what it is for."""

    size: int
    category: Category


@dataclass(slots=True)
class Moment:
    """The highest point of a segment: the bytes then allocated, and how many events had gone before."""

    size: int = 0
    event: int = 0


class Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages of `device` by weak references.

    Sizes are rounded up to multiples of `rounding` bytes. `scratch` gives, by the operation's name, the
    bytes that its kernel takes and frees again while it runs. `chosen` is the part of a batch's tokens that a
    boolean mask chooses. Time is cut into segments, each with a highest point.

    `products` are the operations of matrix products by part of the step, `trained` the numbers that train.
    """

    def __init__(
        self,
        *,
        device: str = "meta",
        rounding: int = 1,
        scratch: dict[str, Scratch] | None = None,
        chosen: float = 1.0,
    ):
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.rounding = rounding
        self.scratch = scratch or {}
        self.answers = answers(chosen)
        self._by_operation: dict[Any, Answer | None] = {}
        self.segment = "load"
        self.scope: Category | None = None
        self.allocated = 0
        self.moments: dict[str, Moment] = {}
        self.products: dict[str, float] = {}
        self.trained = 0
        self._events: list[tuple[Block, int]] = []
        self._live: dict[int, tuple[Block, weakref.ref[Any]]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if str(func) in IN_PLACE and _accumulates(args):
            return args[0]
        answer = self._answer(func)
        out = (answer or remembered)(func, args, kwargs or {})
        for value in _tensors(out):
            if value.device.type == self.device:
                self.add(value.untyped_storage())
        name = func.overloadpacket.__name__
        if name in FORMULAS:
            where = part(self.segment, head=self.scope == "logits")
            size = FORMULAS[name](args, kwargs or {}, out)
            self.products[where] = self.products.get(where, 0.0) + size
        scratch = self.scratch.get(name)
        if scratch is not None:
            self._pass_through(scratch(args, out))
        return out

    def _answer(self, func: Any) -> Answer | None:
        """What answers in an operation's place, found by its name once."""
        if func not in self._by_operation:
            self._by_operation[func] = self.answers.get(str(func))
        return self._by_operation[func]

    def rounded(self, size: int) -> int:
        """The bytes that the allocator hands out for `size`."""
        return -(-size // self.rounding) * self.rounding

    def add(self, storage: Any) -> Block:
        """Begin to follow a storage, or go on."""
        key = storage._cdata  # noqa: SLF001 - the address of the C++ object
        if key in self._live:
            return self._live[key][0]
        block = Block(self.rounded(storage.nbytes()), self._category())
        self._live[key] = (block, weakref.ref(storage, lambda _: self._freed(key)))
        self._record(block, 1)
        return block

    def follows(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor's bytes are counted."""
        return tensor.untyped_storage()._cdata in self._live  # noqa: SLF001

    def label(self, tensor: torch.Tensor, category: Category) -> None:
        """Say what a tensor is for, and count its bytes from now on."""
        if tensor.device.type == self.device:
            self.add(tensor.untyped_storage()).category = category

    def settle(self, found: Category, becomes: Category) -> None:
        """Whatever is alive and was for one thing turns out to be for another."""
        for block, _ in self._live.values():
            if block.category == found:
                block.category = becomes

    @contextmanager
    def scoped(self, category: Category | None) -> Iterator[None]:
        """Within, new storages are for `category`."""
        before, self.scope = self.scope, category
        try:
            yield
        finally:
            self.scope = before

    def at(self, segment: str) -> dict[str, int]:
        """Bytes by category at the highest point of a segment."""
        sums: dict[str, int] = {}
        for block, sign in self._events[: self.moments[segment].event]:
            sums[block.category] = sums.get(block.category, 0) + sign * block.size
        return {category: size for category, size in sums.items() if size}

    def begin(self, segment: str) -> None:
        """What follows belongs to `segment`, and so does what is there already."""
        self.segment = segment
        self._note()

    def _category(self) -> Category:
        if self.scope is not None:
            return self.scope
        recomputed = self.segment.startswith("backward") and torch.is_grad_enabled()
        return "activations" if recomputed else "temporaries"

    def _pass_through(self, size: int) -> None:
        block = Block(self.rounded(size), self._category())
        self._record(block, 1)
        self._record(block, -1)

    def _freed(self, key: int) -> None:
        self._record(self._live.pop(key)[0], -1)

    def _record(self, block: Block, sign: int) -> None:
        self._events.append((block, sign))
        self.allocated += sign * block.size
        if sign > 0:
            self._note()

    def _note(self) -> None:
        moment = self.moments.setdefault(self.segment, Moment())
        if self.allocated > moment.size:
            moment.size, moment.event = self.allocated, len(self._events)
