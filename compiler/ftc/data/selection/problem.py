"""Why rows cannot be selected as the recipe says."""

from __future__ import annotations

from ftc.data.problems import RowProblem


class SelectionProblem(Exception):  # noqa: N818 - it carries a finding
    """The rows cannot be selected as the recipe says."""

    def __init__(self, problem: RowProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem
