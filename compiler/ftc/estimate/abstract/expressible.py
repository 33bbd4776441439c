"""What an abstract run cannot run, said before it begins."""

from __future__ import annotations

from collections.abc import Callable

from ftc.estimate.abstract.attention import KERNELS
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.step import TrainingStep

OPTIMIZERS = {"bitsandbytes": ("adamw", "sgd", "lion")}
UNKNOWN: tuple[tuple[Callable[[TrainingStep], bool], str], ...] = (
    (lambda step: step.sharding.kind != "none", "several devices"),
    (lambda step: step.code.library != "transformers", "modelling code other than transformers'"),
    (lambda step: bool(step.code.fused), "fused kernels in the model's layers"),
    (lambda step: step.code.keeps_cache, "releases of transformers before 4.50"),
    (lambda step: step.loss.kernel in ("chunked", "fused", "triton"), "a loss kernel of another library"),
    (lambda step: step.optimizer.in_backward, "an optimizer in the backward pass"),
    (
        lambda step: step.optimizer.name not in OPTIMIZERS.get(step.optimizer.form, ("adamw", "sgd")),
        "the optimizer",
    ),
    (
        lambda step: (
            step.quantisation is not None
            and (step.quantisation.keeps_input or step.quantisation.through_half)
        ),
        "releases of bitsandbytes before 0.43.2",
    ),
)


def refuse(step: TrainingStep, backend: str) -> None:
    """Raise InexpressibleError if the step has something that an abstract run here does not have."""
    if step.attention != "eager" and (step.attention, backend) not in KERNELS:
        raise InexpressibleError(f"the attention kernel {step.attention} on {backend}")
    for holds, what in UNKNOWN:
        if holds(step):
            raise InexpressibleError(what)
