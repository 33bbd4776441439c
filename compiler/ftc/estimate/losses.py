"""The loss of the last hidden states in bytes, by the kernel that a step names."""

from __future__ import annotations

from ftc.estimate.ledger import LOGITS, TEMPORARIES
from ftc.estimate.linear import Linear
from ftc.estimate.loss import chunked, from_logits, fused, scored, triton, trl
from ftc.estimate.preference import divergence, preference
from ftc.estimate.step import Loss
from ftc.estimate.tape import Tape, Tensor

KERNELS = {
    "logits": from_logits,
    "triton": triton,
    "trl": trl,
    "fused": fused,
    "chunked": chunked,
    "scores": scored,
    "preference": preference,
    "divergence": divergence,
}


def loss(tape: Tape, hidden: Tensor, head: Linear, how: Loss, trained: int | None) -> Tensor:
    """The loss of the last hidden states."""
    tape.kind = LOGITS
    out = KERNELS[how.kernel](tape, hidden, head, how, trained)
    tape.kind = TEMPORARIES
    return out
