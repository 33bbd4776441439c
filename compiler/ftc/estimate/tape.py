"""Eager PyTorch in bytes: operations that take blocks, keep what backward needs, and play it back.

A `Tensor` here is a size. The functions of the modelling code, written over these operations, hold and
drop tensors as theirs do, and so does the ledger. Backward is that of PyTorch's derivatives.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ftc.estimate.ledger import ACTIVATIONS, GRADIENTS, TEMPORARIES, Block, Ledger

SAME = -1
"""Size of a gradient that is the incoming one itself, viewed."""


class Parameter:
    """A leaf: `numel` elements of `width` bytes; what its gradient is kept in, where it trains."""

    __slots__ = ("grad", "keeps", "kind", "numel", "seen", "sum", "trains", "uses", "width")

    def __init__(self, numel: int, width: int, *, trains: bool, keeps: bool = True) -> None:
        self.numel, self.width, self.trains, self.keeps = numel, width, trains, keeps
        self.grad: Block | None = None
        self.uses, self.seen = 1, 0
        self.sum: Block | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the weight, and of its gradient."""
        return self.numel * self.width

    def accept(self, grad: Block) -> None:
        """Keep a gradient. One of another use of the weight in the same backward makes a sum beside both.

        Where so many `uses` are known, those of the later ones are added in place to the first.
        """
        if self.uses > 1:
            self.sum, self.seen = self.sum or grad, self.seen + 1
            if self.seen < self.uses:
                return
            grad, self.sum, self.seen = self.sum, None, 0
        if self.grad is not None:
            Block(grad.ledger, self.bytes, TEMPORARIES)
        elif self.keeps:
            grad.become(GRADIENTS)
            self.grad = grad


class Node:
    """What backward does for one operation: from its gradient, `sizes` of those of its inputs."""

    __slots__ = ("grad", "saved", "sizes", "targets", "temporary")

    def __init__(self, targets: list[Target], sizes: list[int], saved: list[Block], temporary: int) -> None:
        self.targets, self.sizes, self.saved, self.temporary = targets, sizes, saved, temporary
        self.grad: Block | None = None

    def accept(self, grad: Block) -> None:
        """Take a gradient; further ones are added in place."""
        if self.grad is None:
            self.grad = grad

    def run(self, tape: Tape) -> None:
        """Make the inputs' gradients, then give back what was saved."""
        ledger, grad, self.grad = tape.ledger, self.grad, None
        scratch = Block(ledger, self.temporary, TEMPORARIES) if self.temporary else None
        made = [grad if size == SAME and grad else Block(ledger, size, TEMPORARIES) for size in self.sizes]
        del scratch
        self.saved = []
        for target, block in zip(self.targets, made, strict=True):
            target.accept(block)


class Joint(Node):
    """The gradients of views of parts of a tensor, kept until they are concatenated."""

    __slots__ = ("parts",)

    def accept(self, grad: Block) -> None:
        """Take the gradient of a part."""
        if self.grad is None:
            self.grad, self.parts = grad, []
        else:
            self.parts.append(grad)

    def run(self, tape: Tape) -> None:
        """Concatenate."""
        super().run(tape)
        self.parts = []


class Overwritten(Node):
    """A kernel that writes the gradient of its input over the input."""

    __slots__ = ()

    def run(self, tape: Tape) -> None:
        """Hand on what was saved as the gradient."""
        self.grad = self.saved[0]
        super().run(tape)


class Alike(Node):
    """Stands for further parts like one that was recorded, whose `size` bytes are held until backward."""

    __slots__ = ("size",)

    def __init__(self, targets: list[Target], size: int) -> None:
        super().__init__(targets, [SAME], [], 0)
        self.size = size

    def run(self, tape: Tape) -> None:
        """Give the bytes back and pass the gradient on."""
        super().run(tape)
        tape.ledger.hold(-self.size, ACTIVATIONS)


class Checkpoint(Node):
    """A part of the model whose activations are computed anew in backward.

    Without reentry that happens when the first saved tensor is asked for: gradients of what comes after it
    are there then, and the computation stops with the last tensor that is saved (`_StopRecomputationError`).
    """

    __slots__ = ("again", "keeps_output", "size", "width")

    def __init__(self, source: Tensor, again: Callable[[Tensor], Tensor], *, keeps_output: bool) -> None:
        block = source.block
        super().__init__([source.node] if source.node else [], [], [block] if block else [], 0)
        self.again, self.size, self.width = again, source.numel, source.width
        self.keeps_output = keeps_output

    def run(self, tape: Tape) -> None:
        """Run the part again, then back through what that saved."""
        outer, tape.nodes = tape.nodes, []
        sink = Node([], [], [], 0)
        ledger, before = tape.ledger, (tape.ledger.peak, tape.ledger.at_peak)
        if not self.keeps_output:
            ledger.restart()
            tape.packed = None
        out = self.again(Tensor(self.saved[0], self.size, self.width, sink if self.targets else None))
        node = out.node
        held = out.block if self.keeps_output else None
        del out
        tape.cast_weights.clear()
        if node is not None and self.grad is not None:
            node.accept(self.grad)
        self.grad = None
        if not self.keeps_output:
            self._until_saved(tape, before)
        tape.play()
        del held
        tape.nodes, self.saved = outer, []
        tape.cached.clear()
        if sink.grad is not None:
            for target in self.targets:
                target.accept(sink.grad)

    @staticmethod
    def _until_saved(tape: Tape, before: tuple[int, list[int]]) -> None:
        """Go back to the first saved tensor, and count what is held there as held while computing again."""
        ledger, now = tape.ledger, tape.ledger.now
        again = tape.packed or (now, ledger.held.copy())
        ledger.peak, ledger.at_peak = before
        while tape.nodes and not tape.nodes[-1].saved:
            tape.step()
        more, at_peak = ledger.now - now, again[1].copy()
        at_peak[TEMPORARIES] += more
        if again[0] + more > ledger.peak:
            ledger.peak, ledger.at_peak = again[0] + more, at_peak


Target = Node | Parameter


class Tensor:
    """A tensor as memory sees it: storage, elements, their width in bytes, and where its gradient goes."""

    __slots__ = ("block", "node", "numel", "width")

    def __init__(self, block: Block | None, numel: int, width: int, node: Target | None = None) -> None:
        self.block, self.numel, self.width, self.node = block, numel, width, node

    @property
    def bytes(self) -> int:
        """Bytes of the elements."""
        return self.numel * self.width

    def viewed(self) -> Tensor:
        """Another tensor over the same storage."""
        return Tensor(self.block, self.numel, self.width, self.node)

    def detached(self) -> Tensor:
        """The tensor outside the graph."""
        return Tensor(self.block, self.numel, self.width)


Kept = tuple[Tensor, Block]
"""Logits of another model, and the keys and values that it returns with them."""


class Tape:
    """The operations so far that backward will go through, and the ledger they draw on.

    `autocast` is the width in bytes that matrix products run in under torch.autocast, or 0. `half` is that
    which flash attention casts float32 to. `rows` are those of the batch and `words` those of the
    vocabulary, where a loss tells them apart, and `between` plays what comes between the logits and the loss,
    and says what it leaves. `unhooked` is what functions keep in their context by themselves:
    checkpointing without reentry does not see it, and so keeps it.
    """

    def __init__(self, ledger: Ledger, *, autocast: int = 0, half: int = 2) -> None:
        self.ledger, self.autocast, self.half = ledger, autocast, half
        self.nodes: list[Node] = []
        self.recording = self.training = self.adapters = True
        self.softcap = self.float16 = self.cpu = False
        self.rows = self.words = 1
        self.between: Callable[[], Kept] | None = None
        self.kind = TEMPORARIES
        self.cast_weights: dict[int, Tensor] = {}
        self.cached: list[Block] = []
        self.outputs: list[Block | None] = []
        self.unhooked: list[Block] | None = None
        self.packed: tuple[int, list[int]] | None = None

    def op(
        self,
        numel: int,
        width: int,
        inputs: Iterable[tuple[Tensor, int]] = (),
        saved: Iterable[Block | None] = (),
        *,
        temporary: int = 0,
        keeps_result: bool = False,
    ) -> Tensor:
        """A new tensor of `numel` elements; `inputs` come with the bytes of the gradients they would get.

        `saved` are kept for backward, which needs `temporary` bytes for itself.
        """
        so_far = (self.ledger.peak, self.ledger.at_peak)
        result = Tensor(Block(self.ledger, numel * width, self.kind), numel, width)
        if self.recording:
            targets, sizes = [], []
            for tensor, size in inputs:
                if tensor.node is not None:
                    targets.append(tensor.node)
                    sizes.append(size)
            if targets:
                result.node = self._record(targets, sizes, saved, temporary)
                if keeps_result and result.block:
                    self._save(result.node, result.block)
                    so_far = (self.ledger.peak, self.ledger.at_peak)
                if result.node.saved:
                    self.packed = so_far
        return result

    def _record(
        self, targets: list[Target], sizes: list[int], saved: Iterable[Block | None], temporary: int
    ) -> Node:
        node = Node(targets, sizes, [], temporary)
        for block in saved:
            if block is not None:
                self._save(node, block)
        self.nodes.append(node)
        return node

    @staticmethod
    def _save(node: Node, block: Block) -> None:
        if block.kind == TEMPORARIES:
            block.become(ACTIVATIONS)
        node.saved.append(block)

    def through(self, *inputs: tuple[Tensor, int], joint: bool = False) -> Node | None:
        """A node without storage of its own, such as a view's; `joint` gathers the gradients of parts."""
        found = [(tensor.node, size) for tensor, size in inputs if tensor.node is not None]
        if not self.recording or not found:
            return None
        kind = Joint if joint else Node
        node = kind([target for target, _ in found], [size for _, size in found], [], 0)
        self.nodes.append(node)
        return node

    def overwritten(self, x: Tensor) -> Tensor:
        """A number for each of the last losses, by a kernel that keeps `x` for its gradient."""
        result = self.op(1, 4)
        if self.recording and x.node is not None and x.block is not None:
            node = Overwritten([x.node], [SAME], [x.block], 0)
            self.nodes.append(node)
            result.node = node
        return result

    def alike(self, x: Tensor, size: int) -> Tensor:
        """Hold `size` more bytes for parts that are not recorded one by one."""
        if not self.recording or x.node is None or size <= 0:
            return x
        node = Alike([x.node], size)
        self.ledger.hold(size, ACTIVATIONS)
        self.nodes.append(node)
        return Tensor(x.block, x.numel, x.width, node)

    def leaf(self, parameter: Parameter) -> Tensor:
        """A weight as an operand: its own bytes are counted elsewhere."""
        node = parameter if parameter.trains and self.recording else None
        return Tensor(None, parameter.numel, parameter.width, node)

    def checkpoint(
        self, part: Callable[[Tensor], Tensor], source: Tensor, *, reentrant: bool, trains: bool
    ) -> Tensor:
        """`part(source)` without what its backward needs; `trains` says whether weights of the part do."""
        if not self.recording or not (source.node or (trains and not reentrant)):
            return part(source)
        self.recording = False
        self.unhooked = None if reentrant else []
        result = part(source)
        self.recording = True
        node = Checkpoint(source, part, keeps_output=reentrant)
        node.saved += self.unhooked or []
        self.unhooked = None
        for block in node.saved:
            if block.kind == TEMPORARIES:
                block.become(ACTIVATIONS)
        self.nodes.append(node)
        return Tensor(result.block, result.numel, result.width, node)

    def play(self, until: int = 0) -> None:
        """Go back through all that is recorded after the first `until` nodes."""
        while len(self.nodes) > until:
            self.step()

    def step(self) -> None:
        """Go back through the last node."""
        node = self.nodes.pop()
        if node.grad is not None:
            node.run(self)

    def begin(self, loss: Tensor) -> None:
        """Give a loss its gradient; `play` goes back from there."""
        if loss.node is not None:
            loss.node.accept(Block(self.ledger, loss.bytes, TEMPORARIES))
