"""How long the rows are that a plan's step puts to the model, as far as its memory hangs on that."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.plan.steps import DataStep, Part, Plan

ENDS = 2
"""Tokens that may carry loss behind an answer: its end token, and a line break."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Lengths in tokens of what is put to the model: `count` rows, or sequences of packed rows.

    `trained` is the most tokens of a row that carry loss, where that is known. Rows with several members are
    as long as their longest; `alike` says that the others are as long.
    """

    count: int
    longest: int
    shortest: int
    packed: bool = False
    trained: int | None = None
    alike: bool = False

    @classmethod
    def to_train(cls, plan: Plan) -> Rows:
        """What the plan trains on; its rows are compiled."""
        data = compiled(plan)
        laid_out, answer = data.sequences, _answer(plan, data)
        if laid_out is None or laid_out.capacity is None:
            return cls._of(plan, data.train, answer)
        return cls(laid_out.count, laid_out.longest, data.train.shortest, packed=True)

    @classmethod
    def held_out(cls, plan: Plan) -> Rows | None:
        """What the plan evaluates on; None where it holds no row out."""
        data = compiled(plan)
        part: Part | None = data.eval
        if part is None or not part.rows:
            return None
        return cls._of(plan, part, _answer(plan, data))

    @classmethod
    def _of(cls, plan: Plan, part: Part, trained: int | None) -> Rows:
        members = len(plan.render.members) if plan.render is not None else 0
        alike = part.tokens == members * part.rows * part.longest
        shortest = part.shortest if alike or not members else min(part.shortest, part.longest - 1)
        return cls(part.rows, part.longest, shortest, trained=trained, alike=alike)


def compiled(plan: Plan) -> DataStep:
    """The plan's compiled rows. Raises ValueError where there are none yet."""
    if plan.data is None:
        raise ValueError("the plan's rows are not compiled")
    return plan.data


def _answer(plan: Plan, data: DataStep) -> int | None:
    """The most tokens of a row with loss, where rows have one answer each that alone carries it."""
    render = plan.render
    if render is None or render.train_on == "all" or not data.longest_target:
        return None
    alone = "messages" not in render.fields or render.train_on == "last_assistant"
    return data.longest_target + ENDS if alone else None
