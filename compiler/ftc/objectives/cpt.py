"""Continued pretraining: plain documents, every token trained."""

from __future__ import annotations

from typing import Literal

from ftc.objectives.base import Objective, Options, Shape
from ftc.objectives.sft import OWNED, arguments


class CptOptions(Options):
    """`train.objective` with `name = "cpt"`."""

    name: Literal["cpt"]
    """Learn whole documents."""


OBJECTIVE = Objective(
    name="cpt",
    title="continued pretraining",
    shapes=(Shape(columns=("text",), identity=("text",), chat=False),),
    trainer="trl:SFTTrainer",
    config="trl:SFTConfig",
    options=CptOptions,
    arguments=arguments,
    owned=OWNED,
    epochs=1.0,
    epochs_reason="one pass is usual for pretraining",
)
