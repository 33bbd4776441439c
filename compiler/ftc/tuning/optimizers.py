"""The optimizers by the recipe's names: transformers' names of them, and what they need."""

from __future__ import annotations

from dataclasses import dataclass

ANYWHERE = ("cpu", "cuda", "mps")
BITSANDBYTES = ("cpu", "cuda")
GALORE = "galore_torch.galore_projector:GaLoreProjector"


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A row of the optimizers' table.

    `optim` is the name that transformers' Trainer knows; `package` what must be installed for it, and
    `devices` where it runs. A `projected` one works on whole matrices of the base, not on adapters, and
    `states` says what it keeps for each trained number.
    """

    optim: str
    states: str
    package: str | None = None
    devices: tuple[str, ...] = ANYWHERE
    projected: bool = False
    projection: str | None = None
    """The class of the objects that it keeps among its states, as `module:Class`."""


OPTIMIZERS: dict[str, Optimizer] = {
    "adamw": Optimizer("adamw_torch", "two moments in the weights' precision"),
    "adamw_fused": Optimizer(
        "adamw_torch_fused", "two moments; one kernel for all weights", None, BITSANDBYTES
    ),
    "adamw_8bit": Optimizer("adamw_8bit", "two moments in 8 bits", "bitsandbytes", BITSANDBYTES),
    "paged_adamw": Optimizer(
        "paged_adamw_32bit", "two moments, moved to the host where the GPU is full", "bitsandbytes", ("cuda",)
    ),
    "paged_adamw_8bit": Optimizer(
        "paged_adamw_8bit",
        "two moments in 8 bits, moved to the host where it is full",
        "bitsandbytes",
        ("cuda",),
    ),
    "lion": Optimizer("lion_32bit", "one moment", "bitsandbytes", BITSANDBYTES),
    "lion_8bit": Optimizer("lion_8bit", "one moment in 8 bits", "bitsandbytes", BITSANDBYTES),
    "ademamix": Optimizer("ademamix", "three moments", "bitsandbytes", BITSANDBYTES),
    "ademamix_8bit": Optimizer("ademamix_8bit", "three moments in 8 bits", "bitsandbytes", BITSANDBYTES),
    "adafactor": Optimizer("adafactor", "sums of rows and columns alone"),
    "rmsprop": Optimizer("rmsprop", "one moment"),
    "adagrad": Optimizer("adagrad", "one moment"),
    "sgd": Optimizer("sgd", "none"),
    "galore_adamw": Optimizer(
        "galore_adamw",
        "two moments of projected gradients",
        "galore-torch",
        BITSANDBYTES,
        projected=True,
        projection=GALORE,
    ),
    "galore_adafactor": Optimizer(
        "galore_adafactor",
        "sums of projected gradients",
        "galore-torch",
        BITSANDBYTES,
        projected=True,
        projection=GALORE,
    ),
    "apollo_adamw": Optimizer(
        "apollo_adamw",
        "two moments of projected gradients",
        "apollo-torch",
        BITSANDBYTES,
        projected=True,
        projection="apollo_torch.random_projector:GradientProjector",
    ),
    "schedule_free_adamw": Optimizer(
        "schedule_free_adamw", "two averages; the learning rate stays", "schedulefree"
    ),
    "stable_adamw": Optimizer("stable_adamw", "two moments, clipped by itself", "torch-optimi"),
}

DEFAULT = "adamw"


def projections(optim: str) -> tuple[str, ...]:
    """Classes that the checkpoints of an optimizer hold beside numbers, by transformers' name of it."""
    return tuple(how.projection for how in OPTIMIZERS.values() if how.optim == optim and how.projection)


PACKAGES = tuple(sorted({one.package for one in OPTIMIZERS.values() if one.package}))
