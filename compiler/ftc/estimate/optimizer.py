"""What an optimizer keeps between steps, and what it needs for itself during one."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.estimate.ledger import rounded
from ftc.estimate.step import BYTES, Optimizer
from ftc.estimate.tape import Parameter

SMALLEST_8BIT = 4096
"""Elements below which bitsandbytes keeps 32-bit states (`min_8bit_size`)."""

SMALLEST_PAGED = 100_000
"""Elements below which bitsandbytes does not page a state (`get_state_buffer`)."""

BLOCK_8BIT = 256
"""Elements that share a scale in bitsandbytes' 8-bit states."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes for one trained parameter: states that stay, and scratch of the step."""

    states: int
    scratch: int


STATES = {"adamw": 2, "lion": 1, "sgd": 0}


def need(how: Optimizer, parameter: Parameter) -> Need:
    """What one parameter needs of the optimizer, in bytes."""
    if how.name == "adafactor":
        return _adafactor(parameter)
    count = STATES[how.name] + (how.name == "sgd" and how.momentum)
    if how.form == "bitsandbytes":
        return Need(_bitsandbytes(how, parameter, count), 0)
    width = BYTES[how.state]
    states = count * rounded(parameter.numel * width) + (rounded(4) if how.name == "adamw" else 0)
    if how.form == "fused" or how.name != "adamw":
        return Need(states, 0)
    terms = 2 if how.form == "loop" else 1  # the root of the squares, and its quotient beside it
    return Need(states, terms * rounded(parameter.numel * width))


def _bitsandbytes(how: Optimizer, parameter: Parameter, count: int) -> int:
    """Bytes of states of bitsandbytes: 32-bit, or 8-bit with a scale a block; paged ones are outside."""
    if how.paged and parameter.numel >= SMALLEST_PAGED:
        return 0
    if how.bits == 32 or parameter.numel < SMALLEST_8BIT:
        return count * rounded(parameter.numel * 4)
    scales = -(-parameter.numel // BLOCK_8BIT) * 4
    return count * (rounded(parameter.numel) + rounded(scales))


def _adafactor(parameter: Parameter) -> Need:
    """Transformers' Adafactor: states of a row and a column; the update and its square in float32."""
    side = int(parameter.numel**0.5)
    return Need(2 * rounded(side * 4), 3 * rounded(parameter.numel * 4))


def scratch(how: Optimizer, needs: list[tuple[Need, int]]) -> int:
    """Bytes of scratch, of (need, how many parameters have it): of all at once, or of the largest."""
    if how.form == "foreach" and how.name != "adafactor":
        return sum(each.scratch * count for each, count in needs)
    return max((each.scratch for each, _ in needs), default=0)
