"""Recordings of one rendering, found by the answers that a row gives to the template's questions.

A template is a function of what it learns: its first question is the same for every row of a shape,
and after the same answers the next one is the same. So the recordings make a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ftc.data.template.specialise.expression import Evaluation, Expression, Row, plain
from ftc.data.template.specialise.recording import Answer

T = TypeVar("T")


class InconsistentError(Exception):
    """A template that asks otherwise after the same answers, and so depends on something else."""


@dataclass(slots=True)
class _Ask(Generic[T]):
    question: Expression
    evaluate: Evaluation
    answers: dict[Any, _Ask[T] | T] = field(default_factory=dict)


class Tree(Generic[T]):
    """Recordings by the answers that lead to them."""

    def __init__(self) -> None:
        self._root: dict[Any, _Ask[T] | T] = {}
        self.size = 0

    @property
    def branches(self) -> bool:
        """Whether it depends on the row which recording holds."""
        return type(self._root.get(None)) is _Ask

    def find(self, row: Row) -> T | None:
        """The recording that holds for a row; None where there is none yet."""
        node: Any = self._root.get(None)
        while type(node) is _Ask:
            node = node.answers.get(node.evaluate(row))
        return node  # type: ignore[no-any-return]

    def add(self, asked: Sequence[tuple[Expression, Answer]], recording: T) -> None:
        """Keep a recording under its questions and answers; raises InconsistentError."""
        branches, answer = self._root, None
        for question, given in asked:
            node = branches.setdefault(answer, _Ask(question, plain(question)))
            if not isinstance(node, _Ask) or node.question != question:
                raise InconsistentError
            branches, answer = node.answers, given
        if answer in branches:
            raise InconsistentError
        branches[answer] = recording
        self.size += 1
