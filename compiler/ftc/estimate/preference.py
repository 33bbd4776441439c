"""Losses over all logits in bytes: two answers against each other, a student against its teacher.

After `concatenated_forward` of TRL's ORPO and CPO trainers and `generalized_jsd_loss` of its GKD trainer.
"""

from __future__ import annotations

from ftc.estimate.linear import Linear
from ftc.estimate.loss import cross_entropy, logits_of, scalar
from ftc.estimate.ops import FULL, cast, times
from ftc.estimate.step import Loss
from ftc.estimate.tape import SAME, Tape, Tensor


def preference(tape: Tape, hidden: Tensor, head: Linear, how: Loss, _: int | None) -> Tensor:
    """The chosen answers' own loss, by a copy of half of the logits, then each answer's log-probability."""
    logits = _made(tape, hidden, head)
    own = _own(tape, logits) if how.learned else None
    aligned = _shifted(tape, logits)
    each = (_by_kernel if not tape.cpu else _by_rows)(tape, aligned, logits)
    found = scalar(tape, each, each.bytes)
    return tape.op(1, FULL, ((found, FULL), (own, FULL))) if own else found


def _made(tape: Tape, hidden: Tensor, head: Linear) -> Tensor:
    """All logits, which what starts autocast converts to float32."""
    raw = logits_of(tape, hidden, head)
    return cast(tape, raw, FULL) if tape.autocast else raw


def _shifted(tape: Tape, logits: Tensor) -> Tensor:
    """A view without each row's last position; its gradient is filled up again."""
    length = _length(tape, logits)
    short = logits.numel // length * (length - 1)
    return Tensor(logits.block, short, logits.width, tape.through((logits, logits.bytes)))


def _length(tape: Tape, logits: Tensor) -> int:
    return max(2, logits.numel // tape.words // tape.rows)


def _own(tape: Tape, logits: Tensor) -> Tensor:
    """The cross-entropy of the first half of the rows, made contiguous without their last positions."""
    first = Tensor(logits.block, logits.numel // 2, logits.width, tape.through((logits, logits.bytes)))
    length = _length(tape, logits)
    short = first.numel // length * (length - 1)
    copy = tape.op(short, first.width, ((first, first.bytes),))
    return cross_entropy(tape, copy)


def _by_kernel(tape: Tape, aligned: Tensor, logits: Tensor) -> Tensor:
    """TRL's kernel: the logits are kept, and four numbers a position are made."""
    count = aligned.numel // tape.words
    others = [tape.op(count, FULL) for _ in range(3)]
    saved = (logits.block, *(each.block for each in others[1:]))
    return tape.op(count, FULL, ((aligned, aligned.bytes),), saved)


def _by_rows(tape: Tape, aligned: Tensor, logits: Tensor) -> Tensor:
    """PyTorch's operations, a row at a time: in float32 logits less their logsumexp, else a log-softmax."""
    count, whole = aligned.numel // tape.words, aligned.bytes
    row, positions = aligned.numel // tape.rows, aligned.numel // tape.words // tape.rows
    full = aligned.width == FULL
    chosen = tape.op(count, FULL, ((aligned, whole),), (logits.block,)) if full else None
    node = tape.through((aligned, whole), joint=True)
    parts = []
    for _ in range(tape.rows):
        one = Tensor(aligned.block, row, aligned.width, node)
        if full:
            apart = tape.op(row, FULL)
            del apart
            found = tape.op(positions, FULL, ((one, one.bytes),), (logits.block,), temporary=2 * one.bytes)
        else:
            chances = tape.op(row, one.width, ((one, one.bytes),), keeps_result=True)
            found = tape.op(positions, one.width, ((chances, chances.bytes),))
        parts.append((found, found.bytes))
    both = tape.op(count, FULL, parts)
    return tape.op(count, FULL, ((chosen, SAME), (both, both.bytes))) if chosen else both


def divergence(tape: Tape, hidden: Tensor, head: Linear, how: Loss, trained: int | None) -> Tensor:
    """Log-softmaxes of student and teacher, their mixture, and the divergence of both from that."""
    logits = _made(tape, hidden, head)
    assert tape.between is not None  # noqa: S101 - the step has a teacher
    theirs, cache = tape.between()
    student = _log_probabilities(tape, logits)
    teacher = _log_probabilities(tape, theirs)
    apart = _mixed(tape, student[1], teacher[1]) if how.mixture else _from(tape, student[1], teacher[1])
    tokens = logits.numel // tape.words
    count = min(trained or tokens, tokens - tape.rows)
    chosen = tape.op(count * tape.words, apart.width, ((apart, apart.bytes),))
    del apart
    out = scalar(tape, chosen, 0)
    del student, teacher, theirs, cache
    return out


def _log_probabilities(tape: Tape, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The logits less each row's last over the temperature, and their log-softmax."""
    aligned = _shifted(tape, logits)
    cooled = tape.op(aligned.numel, aligned.width, ((aligned, aligned.bytes),))
    return cooled, tape.op(cooled.numel, cooled.width, ((cooled, cooled.bytes),), keeps_result=True)


def _minus(tape: Tape, a: Tensor, b: Tensor) -> Tensor:
    return tape.op(a.numel, a.width, ((a, SAME), (b, b.bytes)))


def _exp(tape: Tape, x: Tensor) -> Tensor:
    return tape.op(x.numel, x.width, ((x, x.bytes),), keeps_result=True)


def _from(tape: Tape, x: Tensor, target: Tensor) -> Tensor:
    """`F.kl_div` of a logarithmic target: exp(target) * (target - x)."""
    return times(tape, _exp(tape, target), _minus(tape, target, x))


def _mixed(tape: Tape, student: Tensor, teacher: Tensor) -> Tensor:
    mixture = _mixture(tape, student, teacher)
    kept = (_from(tape, mixture, teacher), _from(tape, mixture, student))
    parts = [tape.op(each.numel, each.width, ((each, each.bytes),)) for each in kept]
    return tape.op(student.numel, student.width, [(part, SAME) for part in parts])


def _mixture(tape: Tape, student: Tensor, teacher: Tensor) -> Tensor:
    """The logsumexp of both, stacked."""
    moved = [tape.op(each.numel, each.width, ((each, SAME),)) for each in (student, teacher)]
    both = tape.op(2 * student.numel, student.width, [(each, 0) for each in moved])
    del moved
    highest, apart = tape.op(student.numel, student.width), tape.op(both.numel, both.width)
    del highest, apart
    saved = (both.block,)
    size = both.bytes
    return tape.op(
        student.numel, student.width, ((both, size),), saved, temporary=2 * size, keeps_result=True
    )
