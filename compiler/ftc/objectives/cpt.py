"""Continued pretraining: plain documents, every token trained."""

from __future__ import annotations

from ftc.objectives.base import Objective, Shape
from ftc.objectives.sft import OWNED, arguments

OBJECTIVE = Objective(
    name="cpt",
    title="continued pretraining",
    shapes=(Shape(columns=("text",), identity=("text",), chat=False),),
    trainer="trl:SFTTrainer",
    config="trl:SFTConfig",
    arguments=arguments,
    owned=OWNED,
)
