"""A step of an encoder that makes embeddings, in bytes: its layers, pooling, and the loss of the vectors.

After `modeling_bert.py` and `modeling_xlm_roberta.py` of transformers and sentence-transformers' losses, by
which the first text of each row goes through the model by itself and the others side by side.
"""

from __future__ import annotations

from ftc.estimate.attention import Heads, attend
from ftc.estimate.forward import FEW_TOKENS, INDEX, surroundings, tape_of
from ftc.estimate.layer import Surroundings, norm, split
from ftc.estimate.ledger import LOGITS, TEMPORARIES, Block
from ftc.estimate.linear import linear
from ftc.estimate.ops import FULL, activation, added, cast, copied, dropout, scaled
from ftc.estimate.play import Play, Segment
from ftc.estimate.step import TrainingStep
from ftc.estimate.tape import SAME, Tape, Tensor
from ftc.estimate.weights import Stack


def passes(step: TrainingStep) -> tuple[int, ...]:
    """Rows of each forward pass of a micro-batch, in order."""
    rows, texts = step.batch.rows, step.objective.texts or 2
    return (rows,) * texts if step.loss.kernel == "contrastive" else (rows, (texts - 1) * rows)


def train(play: Play) -> None:
    """Note the peaks of a micro-batch, forward and back."""
    step, length = play.step, play.step.batch.length
    tape, rows = tape_of(play), passes(step)
    _shared(play, tape, len(rows))
    inputs = Block(play.ledger, 2 * sum(rows) * length * INDEX, TEMPORARIES)
    vectors, states = [], []
    for count in rows:
        hidden = encoded(play, tape, rows=count, length=length)
        vectors.append(_pooled(tape, hidden, count * play.shapes.hidden))
        if count == step.batch.rows:  # a text's own features keep them
            states.append(hidden.block)
        del hidden
        play.note("forward")
    tape.kind = LOGITS
    out = _loss(tape, vectors, step)
    tape.kind = TEMPORARIES
    del vectors
    play.note("loss forward")
    del states
    tape.cast_weights.clear()
    play.ledger.restart()
    tape.begin(out)
    del out
    tape.play()
    play.note("backward")
    del inputs


def read(play: Play, name: str) -> None:
    """Note the peak of a batch of texts that are read without gradient."""
    tape, noted = tape_of(play), len(play.segments)
    tape.recording = tape.training = False
    rows = play.step.batch.rows
    length = play.step.batch.length
    before = encoded(play, tape, rows=rows, length=length)  # what the batch before left
    hidden = encoded(play, tape, rows=rows, length=length)
    vectors = _pooled(tape, hidden, rows * play.shapes.hidden)
    del before, hidden, vectors
    play.note(name)
    play.segments[noted:] = [Segment(name, part.peak, part.held) for part in play.segments[noted:]]


def _shared(play: Play, tape: Tape, uses: int) -> None:
    """Each pass reads all weights; those that autocast converts are converted once."""
    for stack, _ in play.stacks():
        converted = {id(layer.weight) for layer in stack.linears.values() if tape.autocast}
        for parameter in stack.trained:
            once = id(parameter) in converted and parameter.width > tape.autocast
            parameter.uses = 1 if once else uses


def encoded(play: Play, tape: Tape, *, rows: int, length: int) -> Tensor:
    """The last hidden states of a batch of texts."""
    around = surroundings(play, rows=rows, length=length)
    x = embedded = _embedded(play, tape, around, rows, length)  # a variable of the model's forward
    mask = Block(play.ledger, rows * length**2 * around.heads.biased, TEMPORARIES)
    for group in play.groups:
        x = _layer(tape, x, group.stack, around)
    del mask, embedded
    recording, tape.recording = tape.recording, False  # the pooler's output is read by nobody
    first = Tensor(x.block, rows * play.shapes.hidden, x.width)
    pooled = linear(tape, first, play.ends.linears["pooler"])
    del pooled
    tape.recording = recording
    return x


def _embedded(play: Play, tape: Tape, around: Surroundings, rows: int, length: int) -> Tensor:
    """Words, types of texts and positions, which are looked up once for all rows or in each."""
    shapes, tokens, own = play.shapes, rows * length, play.shapes.family.row_positions
    words, types = (_looked_up(play, tape, name, tokens) for name in ("embedding", "types"))
    x = tape.op(words.numel, words.width, ((words, SAME), (types, SAME)))
    places = _looked_up(play, tape, "positions", tokens if own else length)
    x = tape.op(x.numel, x.width, ((x, SAME), (places, SAME if own else places.bytes)))
    del words, types, places
    return dropout(tape, norm(tape, x, play.ends.norms["embedding"], around), shapes.dropout)


def _looked_up(play: Play, tape: Tape, name: str, count: int) -> Tensor:
    """Rows of a table, with what CUDA sorts and sums in the backward pass (EmbeddingBackwardKernel.cu)."""
    weight, hidden = play.ends.others[name], play.shapes.hidden
    scratch = 0
    if not tape.cpu and count > FEW_TOKENS:
        sums = -(-count // 10) + min(count, weight.numel // hidden)
        scratch = 4 * count * INDEX + sums * hidden * FULL
    return tape.op(count * hidden, weight.width, ((tape.leaf(weight), weight.bytes),), temporary=scratch)


def _layer(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    """Attention and MLP, each added to what came in and normed then."""
    return _fed(tape, _looked_around(tape, x, stack, around), stack, around)


def _looked_around(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    shapes, linears = around.shapes, stack.linears
    q, k, v = (linear(tape, x, linears[role]) for role in "qkv")
    if around.kernel == "math":
        inner = _attended(tape, q, k, v, around.heads)
    else:
        inner = attend(tape, q, k, v, around.heads, around.kernel)
    del q, k, v
    inner = dropout(tape, linear(tape, inner, linears["o"]), shapes.dropout)
    return norm(tape, added(tape, inner, x), stack.norms["after_attention"], around)


def _fed(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    shapes, linears = around.shapes, stack.linears
    inner = activation(tape, linear(tape, x, linears["up"]), shapes.activation)
    inner = dropout(tape, linear(tape, inner, linears["down"]), shapes.dropout)
    return norm(tape, added(tape, inner, x), stack.norms["after_mlp"], around)


def _attended(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """PyTorch's formula, which it takes where weights are dropped on the CPU: scores are kept thrice."""
    bias = tape.op(heads.rows * heads.length**2, FULL) if heads.biased else None
    sides = [scaled(tape, side) for side in (q, k)]
    a, b, c = (copied(tape, side) if heads.rows > 1 else side for side in (*sides, v))
    size = heads.scores * FULL
    scores = tape.op(heads.scores, FULL, ((a, a.bytes), (b, b.bytes)), (a.block, b.block))
    if bias is not None:
        scores = tape.op(heads.scores, FULL, ((scores, SAME),))
    weights = tape.op(heads.scores, FULL, ((scores, size),), keeps_result=True)
    del scores
    weights = dropout(tape, weights, heads.dropout)
    out = tape.op(q.numel, FULL, ((weights, size), (c, c.bytes)), (weights.block, c.block))
    del weights, sides, bias
    return copied(tape, out)


def _unit(tape: Tape, x: Tensor) -> Tensor:
    """Unit vectors; backward has three terms beside the gradient."""
    return tape.op(x.numel, x.width, ((x, x.bytes),), (x.block,), temporary=3 * x.bytes)


def _pooled(tape: Tape, hidden: Tensor, size: int) -> Tensor:
    """The mean of each text's hidden states that are no padding, as a unit vector: `size` numbers."""
    kept = tape.op(hidden.numel, hidden.width, ((hidden, hidden.bytes),))
    total = tape.op(size, FULL, ((kept, SAME),))
    del kept
    return _unit(tape, tape.op(size, FULL, ((total, size * FULL),)))


def _loss(tape: Tape, vectors: list[Tensor], step: TrainingStep) -> Tensor:
    """The loss of the vectors of all passes."""
    rows = step.batch.rows
    if step.loss.kernel == "in_batch":
        return _in_batch(tape, vectors[0], vectors[1], rows)
    if step.loss.kernel == "triplet":
        vectors = [vectors[0], *split(tape, vectors[1], (1, 1))]
        pairs = [(vectors[0], vectors[1]), (vectors[0], vectors[2])]
    else:
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
    found = [_similar(tape, *pair, rows) for pair in pairs]
    return tape.op(1, FULL, [(each, each.bytes) for each in found])


def _similar(tape: Tape, a: Tensor, b: Tensor, rows: int) -> Tensor:
    """The cosines of two texts of each row."""
    a, b = _unit(tape, a), _unit(tape, b)
    both = tape.op(a.numel, FULL, ((a, a.bytes), (b, b.bytes)), (a.block, b.block))
    return tape.op(rows, FULL, ((both, SAME),))


def _in_batch(tape: Tape, anchors: Tensor, others: Tensor, rows: int) -> Tensor:
    """The cosines of each anchor with all other texts, and their logsumexp."""
    a, b = (copied(tape, each) for each in (anchors, others))
    a, b = _unit(tape, a), _unit(tape, b)
    if tape.autocast:
        a, b = (cast(tape, each, tape.autocast) for each in (a, b))
    count = rows * rows * (others.numel // anchors.numel)
    scores = tape.op(count, a.width, ((a, a.bytes), (b, b.bytes)), (a.block, b.block))
    scores = scaled(tape, scores)
    right = tape.op(rows, FULL, ((scores, scores.bytes),))
    joint = copied(tape, scores)
    total = tape.op(rows, FULL, ((joint, joint.bytes),), (joint.block,), temporary=2 * joint.bytes)
    return tape.op(1, FULL, ((right, right.bytes), (total, total.bytes)))
