"""Whether a step fits a device, and the largest micro-batch, or the longest row, that does.

Compared with a device's memory is what the process must have: the bytes that PyTorch hands out at most, and
the CUDA context's. What the allocator keeps beside that (`OnDevice.reserved`) it gives back before it fails,
so it decides nothing. Of 12 published steps near the boundary those up to 0.87 of the memory ran, those up to
0.95 ran barely, as fragments cannot be used, and those above failed. So 0.95 of it counts as usable, of which
the recipe's headroom is left free: 0.855 is filled by default.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ftc.estimate.closed_form import Estimate, estimate
from ftc.estimate.device import CONTEXT, on_device
from ftc.estimate.fallback import Runs, told
from ftc.estimate.step import TrainingStep

Verdict = Literal["fits", "tight", "no"]
Need = Callable[[int, bool], int]
"""Bytes that a micro-batch of so many rows needs, with checkpointing or without."""

USABLE = 0.95
"""Part of a device's memory that a step may need and still run; the rest are fragments."""

HEADROOM = 0.1
"""Part of the usable memory that is left free where nothing else is said."""

PROCESS = 500 << 20
"""Bytes of a process on the CPU that has loaded PyTorch, transformers, PEFT and TRL, and nothing else."""

HALF_SPEED = 304
"""Tokens of a micro-batch at which a device is half as busy as it can be.

From 16 % of an A100's FLOP/s at 256 tokens and 27 % at 1,024 of the same model: t / (t + h) has that ratio.
"""

RECOMPUTED = {"full": 4 / 3, "lora": 3 / 2}
"""How much longer a step takes with checkpointing: one forward pass beside backward's two, or its one."""

GRAIN = 64
"""Limits of length are multiples of so many tokens."""

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Target:
    """The device that a plan is for: memory in bytes, None where nothing says it.

    `stated` says whether the recipe names it; if not it is this machine's own.
    """

    name: str
    memory: int | None
    capability: str = ""
    stated: bool = False


def room(memory: int, headroom: float = HEADROOM) -> int:
    """Bytes of a memory that may be filled: what can be used, less the part to be left free."""
    return int(memory * USABLE * (1 - headroom))


@dataclass(frozen=True, slots=True)
class Needed:
    """What a step needs of a device, in bytes: `allocated` by PyTorch, `bytes` with what the process has."""

    bytes: int
    allocated: int
    estimate: Estimate


class _Alike:
    """A step by what the closed form reads of it, so that what one device needs is known of the next."""

    __slots__ = ("step", "text")

    def __init__(self, step: TrainingStep) -> None:
        self.step, self.text = step, step.model_dump_json(exclude={"device"})

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and self.text == other.text


@lru_cache(maxsize=1024)
def _estimated(step: _Alike) -> Estimate:
    return told(estimate, _by_abstract_run, step.step)


def _by_abstract_run(runs: Runs, step: TrainingStep) -> Estimate:
    found = runs.peaks(step)
    peaks = {name: phase.bytes for name, phase in found.phases.items()}
    return Estimate(found.bytes, found.phase, dict(found.phases[found.phase].categories), peaks)


def needed(step: TrainingStep) -> Needed:
    """What a step needs, by the closed form or by an abstract run. Raises InexpressibleError."""
    found = _estimated(_Alike(step))
    if step.backend == "cpu":
        return Needed(found.peak + PROCESS, found.peak, found)
    allocated = on_device(step, found).allocated
    return Needed(allocated + sum(CONTEXT) // 2, allocated, found)


def verdict(needs: int, memory: int, headroom: float = HEADROOM) -> Verdict:
    """Whether so many bytes fit a memory; tightly where less than the headroom is left."""
    if needs <= room(memory, headroom):
        return "fits"
    return "tight" if needs <= room(memory, 0) else "no"


def speed(tokens: float) -> float:
    """How busy a micro-batch of so many tokens keeps a device: 1 at most."""
    return tokens / (tokens + HALF_SPEED)


def largest(need: Callable[[int], int], batch: int, limit: int, least: int = 1) -> int | None:
    """The largest divisor of the batch, of `least` rows or more, within the limit; None where there is none.

    `need` never falls with the rows.
    """
    divisors = [rows for rows in range(least, batch + 1) if batch % rows == 0]
    found = bisect_right(divisors, limit, key=need)
    return divisors[found - 1] if found else None


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be decided: rows of a batch, the bytes that may be filled, tokens of a usual row.

    `recomputed` is how much longer a step takes with checkpointing, `least` the rows that a loss needs.
    """

    batch: int
    limit: int
    tokens: float
    recomputed: float = RECOMPUTED["full"]
    least: int = 1


@dataclass(frozen=True, slots=True)
class Fit:
    """A micro-batch that fits, and whether with checkpointing."""

    micro_batch: int
    checkpointing: bool


def fit(need: Need, asked: Question, checkpointing: bool | None) -> Fit | None:
    """The micro-batch to take; None where not one row fits. `checkpointing` None leaves that open too.

    With checkpointing settled it is the largest that fits and divides the batch. Left open, there is none if
    the whole batch fits without; else the faster of the two counts, as more rows keep a device busier and
    recomputed activations take a third (full) or half (adapters) of the time again.
    """
    if checkpointing is not None:
        rows = largest(lambda count: need(count, checkpointing), asked.batch, asked.limit, asked.least)
        return Fit(rows, checkpointing) if rows else None
    plain = largest(lambda count: need(count, False), asked.batch, asked.limit, asked.least)
    if plain == asked.batch or (plain and speed(plain * asked.tokens) >= 1 / asked.recomputed):
        return Fit(plain, False)
    spare = largest(lambda count: need(count, True), asked.batch, asked.limit, asked.least)
    options = [Fit(rows, again) for rows, again in ((plain, False), (spare, True)) if rows]
    return max(options, key=lambda option: rate(option, asked), default=None)


def rate(option: Fit, asked: Question) -> float:
    """How fast a choice trains, of the fastest that could be."""
    busy = speed(option.micro_batch * asked.tokens)
    return busy / asked.recomputed if option.checkpointing else busy


def longest(need: Callable[[int], int], most: int, limit: int) -> int | None:
    """The longest row that fits, up to `most` tokens, in steps of 64; None where not even 64 tokens do."""
    if need(most) <= limit:
        return most
    lengths = range(GRAIN, most, GRAIN)
    found = bisect_right(lengths, limit, key=need)
    return lengths[found - 1] if found else None


def gib(size: float) -> str:
    """Bytes in words."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / (1 << 20):.0f} MiB"
