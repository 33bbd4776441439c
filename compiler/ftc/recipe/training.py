"""The part of the recipe language that says how long, how fast and on what a model is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Strict, Tag

from ftc import objectives
from ftc.recipe.base import Table, auto_or_flag, auto_or_number
from ftc.recipe.forms import Objective

ScheduleName = Literal[
    "linear",
    "cosine",
    "constant",
    "polynomial",
    "cosine_with_restarts",
    "inverse_sqrt",
    "warmup_stable_decay",
]


class Schedule(Table):
    """`schedule = { name = "cosine", floor = 0.1 }`: the learning rate after warm-up, with its options."""

    name: ScheduleName
    """The shape."""

    floor: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Part of the peak at which the rate ends; 0 unless given."""

    power: Annotated[float, Field(gt=0)] | None = None
    """Power of a polynomial; 2 unless given."""

    restarts: Annotated[int, Field(ge=1)] | None = None
    """How often a cosine begins at the peak again; once unless given."""

    timescale: Annotated[int, Field(ge=1)] | None = None
    """Time scale of an inverse square root, in steps; those of the warm-up unless given."""

    decay: Annotated[float, Field(gt=0)] | None = None
    """Part of the steps (below 1) or number of steps (whole) over which the rate falls at the end."""

    shape: Literal["linear", "cosine", "1-sqrt"] | None = None
    """How it falls there; linearly unless given."""


def _schedule_kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, Schedule)) else "name"


class EarlyStopping(Table):
    """`early_stopping = { patience = 3 }`: training ends once the held-out rows no longer get better."""

    metric: Literal["loss"] = "loss"
    """What must get better on the held-out rows."""

    patience: Annotated[int, Field(ge=1)] = 3
    """Evaluations in a row without a better one after which training ends."""

    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """How much better an evaluation must be to count."""


Tracker = Literal["trackio", "wandb", "mlflow", "tensorboard"]


class Train(Table):
    """`[train]`: how long, how fast, on what."""

    objective: Objective | None = None
    """The objective, as a name or with options of its own; it follows from the columns unless given."""

    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the training rows; by the objective unless `steps` are given."""

    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps, instead of epochs."""

    batch: Annotated[int, Field(ge=1)] = 16
    """Rows per optimizer step; sequences of rows where they are packed."""

    micro_batch: (
        Annotated[
            Annotated[Literal["auto"], Tag("auto")] | Annotated[Annotated[int, Field(ge=1)], Tag("number")],
            Discriminator(auto_or_number),
        ]
        | None
    ) = None
    """Rows or packed sequences at a time, `auto` for the most that fit; a moderate number unless given."""

    learning_rate: Annotated[float, Field(gt=0, lt=10)] | None = None
    """Peak learning rate; by the tuning method and the objective unless given."""

    schedule: Annotated[
        Annotated[ScheduleName, Tag("name")] | Annotated[Schedule, Tag("table")],
        Discriminator(_schedule_kind),
    ] = "linear"
    """Shape of the learning rate after warm-up: a name, or a table with options."""

    warmup: Annotated[float, Field(ge=0)] = 0.0
    """Part of the steps (below 1) or number of steps (whole) over which the learning rate rises."""

    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decoupled weight decay (AdamW)."""

    optimizer: Literal[
        "adamw",
        "adamw_fused",
        "adamw_8bit",
        "paged_adamw",
        "paged_adamw_8bit",
        "lion",
        "lion_8bit",
        "ademamix",
        "ademamix_8bit",
        "adafactor",
        "rmsprop",
        "adagrad",
        "sgd",
        "galore_adamw",
        "galore_adafactor",
        "apollo_adamw",
        "schedule_free_adamw",
        "stable_adamw",
    ] = "adamw"
    """What turns gradients into steps (docs/tuning.md lists what each needs)."""

    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this norm."""

    gradient_checkpointing: Annotated[
        Annotated[Literal["auto"], Tag("auto")] | Annotated[bool, Tag("flag")], Discriminator(auto_or_flag)
    ] = False
    """Recompute activations in the backward pass: less memory, more time; `auto` where that pays."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that is taken from each target token and given to all others alike."""

    neftune: Annotated[float, Field(gt=0)] | None = None
    """NEFTune: uniform noise on the embeddings in training, of this strength (alpha)."""

    save_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints; four over the run unless given."""

    eval_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between evaluations of the held-out loss while training; none unless given or needed."""

    early_stopping: EarlyStopping | None = None
    """End training once the held-out loss no longer falls."""

    keep: Literal["last", "best"] = "last"
    """Which weights are saved: those of the last step, or those with the lowest held-out loss."""

    divergence: Literal["stop", "warn"] = "stop"
    """What becomes of training whose loss goes up for good; one that is no number stops it in any case."""

    compile: bool = False
    """Let `torch.compile` make kernels for the model: slow to start, then faster."""

    kernels: Literal["auto", "liger", "none"] | None = None
    """Kernels that replace parts of the model on GPUs; chosen by device and packages if unset."""

    deterministic: bool | None = None
    """Whether sums are taken in a fixed order where there is a kernel that does; yes if unset."""

    trackers: Annotated[tuple[Tracker, ...], Strict(strict=False), Field(min_length=1)] | None = None
    """Where each step is also reported; credentials come from the environment alone."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""

    trl: dict[str, JsonValue] = Field(default_factory=dict)
    """Options passed to TRL's config as they are, checked against its fields."""

    @property
    def objective_name(self) -> str | None:
        """The name of the stated objective."""
        stated = self.objective
        return stated.name if isinstance(stated, objectives.Options) else stated
