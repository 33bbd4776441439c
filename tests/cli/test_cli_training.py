"""What a terminal shows of the options of training, and of the held-out loss meanwhile."""

from __future__ import annotations

import pytest

from ftc.cli.progress import event_line
from ftc.cli.training_view import option_lines, watch_lines
from ftc.plan.steps import WatchStep
from ftc.runtime.events import HeldOut

EVERY_5 = "the held-out loss every 5 steps"


@pytest.mark.parametrize(
    ("watch", "lines"),
    [
        (None, []),
        (WatchStep(every=1, batch=2), ["the held-out loss every step"]),
        (
            WatchStep(every=5, batch=2, patience=3, min_delta=0.01, keep="best"),
            [
                f"{EVERY_5}; ends after 3 evaluations of which none is better by more than 0.01",
                "saves the weights of the lowest held-out loss",
            ],
        ),
    ],
)
def test_a_plan_says_what_is_watched(watch: WatchStep | None, lines: list[str]) -> None:
    assert watch_lines(watch) == lines


def test_a_plan_says_which_options_are_on() -> None:
    assert option_lines({"optim": "adamw_torch", "bf16": True, "torch_compile": False}) == []
    on = {"label_smoothing_factor": 0.1, "neftune_noise_alpha": 5.0, "torch_compile": True}
    assert option_lines(on) == ["label smoothing 0.1, NEFTune 5, compiled by torch.compile"]


def test_the_held_out_loss_is_a_line_of_the_log() -> None:
    assert event_line(HeldOut(4, 1.5, 1.5, 4)) == "  held-out loss 1.500 at step 4, the best so far"
    assert event_line(HeldOut(8, 1.75, 1.5, 4)) == "  held-out loss 1.750 at step 8, best 1.500 at step 4"
