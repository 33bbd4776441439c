"""What is said of a whole run's training, from its training.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc.artifact.trained import TRAINING, findings, trained
from ftc.diagnostics import Severity
from ftc.plan.steps import Plan, TrainStep
from ftc.runtime.history import History
from ftc.runtime.overfitting import by_ends, overfitting

PLAN = Plan(
    name="x",
    seed=0,
    train=TrainStep(
        steps=60, epochs=6.0, batch=2, micro_batch=2, accumulation=1, save_every=10, arguments={}
    ),
)
PLAIN: dict[str, Any] = {
    "steps": 60,
    "last_step": 60,
    "ended_early": False,
    "kept_step": 60,
    "best": None,
    "held_out": [],
    "overfitting": None,
}
SEEN = {"best_step": 20, "message": "the model overfits: …"}
WATCHED = {"best": {"step": 20, "loss": 1.25}, "held_out": [{"step": 20, "loss": 1.25}]}


def said(**about: Any) -> list[tuple[str, Severity]]:
    return [(found.code, found.severity) for found in findings({**PLAIN, **about}, PLAN, Path("run"))]


def test_nothing_is_said_of_ordinary_training() -> None:
    assert said() == []
    assert findings({}, PLAN, Path("run")) == ()


def test_overfitting_is_a_warning_that_says_when_to_end() -> None:
    assert said(overfitting=SEEN) == [("FTC720", Severity.WARNING)]
    helps = findings({**PLAIN, "overfitting": SEEN}, PLAN, Path("run"))[0].help
    assert "epochs = 2 ends at step 20" in helps[0]
    assert 'keep = "best"' in helps[1]


def test_it_is_a_note_where_the_best_weights_are_saved() -> None:
    found = said(**WATCHED, overfitting=SEEN, kept_step=20)
    assert found == [("FTC720", Severity.NOTE), ("FTC722", Severity.NOTE)]


def test_an_early_end_is_a_note() -> None:
    assert said(**WATCHED, ended_early=True, last_step=40, kept_step=40) == [("FTC721", Severity.NOTE)]


def test_a_run_is_asked_for_its_own_file(tmp_path: Path) -> None:
    assert trained(tmp_path) == {}
    (tmp_path / TRAINING).write_text(json.dumps(PLAIN))
    assert trained(tmp_path) == PLAIN


def curve(held_out: list[float], every: int = 10, fall: float = 0.02) -> History:
    """A training loss that falls step by step, and the held-out loss at every tenth of them."""
    steps = every * len(held_out)
    losses = [(step, 2.0 - fall * step) for step in range(1, steps + 1)]
    return History(losses, [(every * (place + 1), loss) for place, loss in enumerate(held_out)])


@pytest.mark.parametrize(
    ("held_out", "seen"),
    [
        ([1.5, 1.2, 1.3, 1.4], (20, 40)),
        ([1.5, 1.2, 1.25], None),
        ([1.5, 1.2, 1.205, 1.209], None),
        ([1.5, 1.2, 1.3, 1.15], None),
        ([1.5, 1.2, 1.3, 1.205], None),
        ([1.5, 1.4, 1.3, 1.2], None),
        ([], None),
    ],
)
def test_both_losses_are_read_together(held_out: list[float], seen: tuple[int, int] | None) -> None:
    found = overfitting(curve(held_out))
    assert (None if found is None else (found.best_step, found.step)) == seen
    rising = curve(held_out, fall=-0.02)
    assert overfitting(rising) is None, "a training loss that rises too is another trouble"


def test_the_ends_alone_say_it_too() -> None:
    history = curve([1.0] * 4)
    assert by_ends(history, 1.0, 1.3) is not None
    assert by_ends(history, 1.0, 1.005) is None
    assert by_ends(history, 1.3, 1.0) is None
    assert by_ends(history, None, 1.3) is None
    assert by_ends(curve([1.0] * 4, fall=-0.01), 1.0, 1.3) is None


def test_the_readme_has_a_section_on_training_where_it_was_watched() -> None:
    from ftc.artifact.cards.model_card import readme_text

    measured = {"before": {}, "after": {}, "suites": []}
    assert "The saved weights" not in readme_text(PLAN, measured, (), PLAIN)
    text = readme_text(PLAN, measured, (), {**PLAIN, **WATCHED, "kept_step": 20, "overfitting": SEEN})
    assert "The saved weights are those of step 20. The model overfits" in text
    assert "| 20 | 1.2500 |" in text
