"""Events survive the way over the wire."""

from __future__ import annotations

import pytest

from ftc.runtime.events import (
    TYPES,
    Checkpoint,
    Done,
    Evaluation,
    Failed,
    HeldOut,
    Phase,
    Progress,
    Saved,
    Step,
    Stopped,
    Warned,
    decode,
    encode,
)

EVENTS = [
    Phase("train", "from step 3"),
    Progress("loss", 3, 10),
    Step(1, 8, 2.5, 1e-3, 0.5, 120, 55.5, 12.25),
    Evaluation("before", {"loss": 1.5, "loss_tokens": 3}),
    HeldOut(4, 1.5, 1.25, 2),
    Checkpoint(4),
    Warned("naïve\nline"),
    Saved(("a", "b")),
    Stopped(3),
    Failed("FTC705", "diverged", ("lower it",), ("Traceback", "x")),
    Done({"before": {"loss": 1.0}, "after": {}}),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_round_trip(event):
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event


def test_every_type_is_covered():
    assert {type(event) for event in EVENTS} == set(TYPES.values())


@pytest.mark.parametrize(
    "line", ["", "[]", "3", '{"event":"nope"}', '{"event":"stopped"}', "Loading weights: 1"]
)
def test_other_lines_are_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011 - json's own message is as good
        decode(line)
