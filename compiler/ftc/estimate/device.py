"""What a CUDA device will show of an estimate: allocated, reserved and used by the process, as ranges."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.estimate.allocator import plain_excess, quantised_excess
from ftc.estimate.architecture import ENCODERS, FAMILIES, InexpressibleError, architecture
from ftc.estimate.closed_form import Estimate
from ftc.estimate.ledger import rounded
from ftc.estimate.step import BYTES, TrainingStep
from ftc.estimate.weights import Builder, Stack, decoder_layer, encoder_ends, ends

MIB = 1 << 20
WORKSPACE = 8 * MIB + 128 * 1024
"""cuBLAS workspace of one handle: 2 buffers of 4 MiB and 8 of 16 KiB (CUDABlas.cpp, `:4096:2:16:8`)."""

HOPPER_WORKSPACE = 32 * MIB
"""The same on compute capability 9.0 (`:32768:1`)."""

HOPPER = ("H100", "H200", "H800", "GH200", "H20")
HANDLES = 2
"""The forward pass and autograd's thread each have a handle."""

LOADERS = 4
"""Weights on their way at a time while transformers 5 loads with threads; before, one by one."""

CONTEXT = (140 * MIB, 550 * MIB)
"""A process's CUDA context, from a T4's to an H100's with all kernels loaded."""

RESERVED = (1.04, 1.18, 1.49)
"""Reserved over allocated: least, median and most of 25 measurements in benchmarks/memory."""


@dataclass(frozen=True, slots=True)
class OnDevice:
    """Bytes as the device shows them: allocated (`max_memory_allocated`); low, likely and high the others."""

    allocated: int
    reserved: tuple[int, int, int]
    process: tuple[int, int, int]
    basis: str


def on_device(step: TrainingStep, estimate: Estimate) -> OnDevice:
    """The estimate with what CUDA's allocator and cuBLAS add."""
    allocated = estimate.peak + workspace(step.device) + excess(step)
    low, likely, high = (int(allocated * factor) for factor in RESERVED)
    process = (low + CONTEXT[0], likely + sum(CONTEXT) // 2, high + CONTEXT[1])
    basis = (
        "reserved: 1.04 to 1.49 times allocated, as measured; process: 0.14 to 0.54 GiB of CUDA context more"
    )
    return OnDevice(allocated, (low, likely, high), process, basis)


def workspace(device: str | None) -> int:
    """Bytes of cuBLAS workspaces, which PyTorch allocates and counts."""
    hopper = any(name in (device or "") for name in HOPPER)
    return HANDLES * (HOPPER_WORKSPACE if hopper else WORKSPACE)


def excess(step: TrainingStep) -> int:
    """Bytes that blocks of weights hold beyond what was asked for; none for an unlisted model type."""
    encodes = step.objective.texts is not None
    try:
        shapes = architecture(step.config, ENCODERS if encodes else FAMILIES)
    except InexpressibleError:  # the sizes of its weights are not listed
        return 0
    build = Builder(step, shapes)
    layer = decoder_layer(build, sparse=shapes.experts.count > 0)
    outer = _sizes(encoder_ends(build) if encodes else ends(build, embedding=False, head=False))
    if step.quantisation is None:
        return plain_excess(outer, _sizes(layer), shapes.layers)
    width = BYTES[step.weights]
    halves = 1 if step.quantisation.kind == "int8" else 2
    pairs = [(w.weight.numel * width, w.weight.numel // halves) for w in layer.linears.values()]
    recent = step.code.release("transformers") >= (5,)
    return quantised_excess(pairs, shapes.layers, workers=LOADERS if recent else 1)


def _sizes(stack: Stack) -> list[int]:
    """Bytes of each weight, in the order of the modules."""
    found = [p.bytes for p in stack.others.values()]
    found += [layer.weight.bytes for layer in stack.linears.values()]
    found += [norm.weight.bytes for norm in stack.norms.values()]
    return [rounded(size) for size in found]
