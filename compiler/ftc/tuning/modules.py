"""A model's modules that hold weights: layer names are checked against them, and what trains is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

Kind = Literal["linear", "head", "norm", "embedding", "other"]
ALL_LINEAR = "all-linear"
TOKENS = "trainable_token_indices"
"""PEFT's option for rows of an embedding that train, by the module's name."""

SCORE = "score"
"""What transformers calls the layer of a head of scores."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module with weights of its own, by its full name in the model's code.

    `numel` counts all its weights, biases too; `inputs` and `outputs` are a linear layer's features.
    `role` is what a linear layer does (`q`, `down`, …), and `layer` the number of its decoder layer.
    """

    name: str
    kind: Kind
    numel: int
    inputs: int = 0
    outputs: int = 0
    role: str = ""
    layer: int | None = None


@dataclass(frozen=True)
class Modules:
    """All modules of a model that hold weights; a tied head is listed, though it has the embedding's weight.

    `hidden` and `key_values` are the features of a hidden state and of all key heads. Where the experts are
    `stacked`, PEFT's LoRA takes `all-linear` for them too; `transposed` linear layers are GPT-2's Conv1D.
    """

    all: tuple[Module, ...]
    layers: int
    hidden: int
    key_values: int
    tied: bool
    stacked: bool = False
    transposed: bool = False

    @property
    def numel(self) -> int:
        """Weights of the whole model; what is tied counts once."""
        return numel(self.all, self)

    def names(self) -> frozenset[str]:
        """The parts of which module names are made, numbers aside."""
        return frozenset(part for module in self.all for part in module.name.split(".") if not part.isdigit())

    def ends(self) -> frozenset[str]:
        """The last parts of the modules' names."""
        return frozenset(module.name.rpartition(".")[2] for module in self.all)

    def targeted(self, targets: object) -> tuple[Module, ...]:
        """The modules that PEFT takes for `targets`: `all-linear`, or ends of names."""
        if targets == ALL_LINEAR:
            return tuple(module for module in self.all if module.kind == "linear")
        names = tuple(targets) if isinstance(targets, (list, tuple)) else ()
        return tuple(module for module in self.all if any(ends_with(module.name, str(n)) for n in names))

    def by_role(self, *roles: str) -> tuple[str, ...]:
        """The ends of the names of the linear layers with these roles, in the order of the roles."""
        found = {m.role: m.name.rpartition(".")[2] for m in self.all if m.kind == "linear"}
        return tuple(dict.fromkeys(found[role] for role in roles if role in found))


def with_scores(model: Modules, scores: int = 1) -> Modules:
    """The model with a layer of scores in place of the vocabulary's head, as transformers makes it."""
    size = model.hidden * scores
    score = Module(name=SCORE, kind="head", numel=size, inputs=model.hidden, outputs=scores)
    kept = tuple(module for module in model.all if module.kind != "head")
    return replace(model, all=(*kept, score), tied=False)


def headless(model: Modules) -> Modules:
    """The model without the vocabulary's head, by the names that its modules then have: those of its body."""
    kept = (module for module in model.all if module.kind != "head")
    body = tuple(replace(module, name=module.name.partition(".")[2]) for module in kept)
    return replace(model, all=body, tied=False)


def numel(modules: Iterable[Module], model: Modules) -> int:
    """Weights of some modules of a model; a tied head beside its embedding counts once."""
    some = tuple(modules)
    embedded = any(_table(module) for module in some)
    return sum(m.numel for m in some if not (model.tied and m.kind == "head" and embedded))


def _table(module: Module) -> bool:
    return module.kind == "embedding" and module.role == "tokens"


def ends_with(name: str, end: str) -> bool:
    """Whether a module's name is `end`, or ends in it after a dot."""
    return name == end or name.endswith(f".{end}")


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern names a module or a block it stands in; `*` stands for anything.

    It need not begin at the model's root: `mlp`, `layers.3` and `layers.*.self_attn` all name blocks.
    """
    parts = name.split(".")
    blocks = (".".join(parts[: end + 1]) for end in range(len(parts)))
    return any(fnmatchcase(block, pattern) or fnmatchcase(block, f"*.{pattern}") for block in blocks)
