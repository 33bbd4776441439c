"""Ways in which every exported form of a run differs from how it was trained, where it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftc.export.work import difference

if TYPE_CHECKING:
    from ftc.diagnostics import Finding
    from ftc.jobs.opening import OpenRun


def of_the_template(run: OpenRun) -> Iterator[Finding]:
    """What a chat template needs to be told to render as in training, and is not by itself."""
    step = run.ready.render
    if not run.is_chat:
        return
    if step.date is not None:
        yield difference(
            f"the chat template prints the date: training had {step.date}, the export prints the present one",
            "answers may depend on it: compare, or write the date into the template",
        )
    if step.variables:
        said = json.dumps(step.variables)
        yield difference(
            f"the chat template was given variables in training, which it must be given again: {said}",
            f"tokenizer.apply_chat_template(…, **{said})",
        )


def of_few_bits(run: OpenRun) -> Iterator[Finding]:
    """What is different where an adapter was trained on a model in few bits."""
    if run.ready.tune.quantise is not None:
        yield difference(
            "the adapter was trained on its model in few bits, and is put on the model as it was before that",
            "its own evaluation was made in few bits: evaluate the export where it matters",
        )
