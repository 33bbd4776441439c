"""Whole weights: the adapter merged in float32, or all as they were trained, in the precision asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding
from ftc.export.known import of_few_bits, of_the_template
from ftc.export.torch_work import done, logits_check, logits_job, prompts_check, prompts_job
from ftc.export.work import Choice, Made, Work, difference, impossible
from ftc.jobs.opening import INSTEAD

WHAT = "load them: AutoModelForCausalLM.from_pretrained(DIRECTORY)"


def export(work: Work) -> Made | Finding:
    """Write the weights into the directory, and compare logits and prompts with the run's."""
    return weights(work, work.directory)


def weights(work: Work, target: Path) -> Made | Finding:
    """The same into a directory of a larger export."""
    run = work.run
    if run.ready.objective.head == "embedding":
        return impossible(work, INSTEAD["embedding"], "its directory is read as it is: --to adapter or hub")
    work.say("merging" if run.is_adapter else "copying")
    source = run.whole()
    base = run.base() if run.is_adapter else None
    if isinstance(source, Finding):
        return source
    if isinstance(base, Finding):
        return base
    dtype, choices = chosen_dtype(work)
    work.say("comparing it with the run")
    asked: dict[str, Any] = {
        "cast": {"source": str(source), "target": str(target), "dtype": dtype},
        "prompts": prompts_job(run, target),
        "logits": logits_job(work, base, {"exported": str(target)}),
    }
    found = done(work, asked)
    if isinstance(found, Finding):
        return found
    checks = (prompts_check(run, found["prompts"]), logits_check(found["logits"], dtype))
    lost = _lost(source, dtype)
    return Made(checks, choices, (*of_the_template(run), *of_few_bits(run), *lost))


def chosen_dtype(work: Work) -> tuple[str, tuple[Choice, ...]]:
    """The precision of the weights, and why where nobody said."""
    if work.options.dtype is not None:
        return work.options.dtype, ()
    dtype = work.run.ready.model.dtype
    return dtype, (Choice("dtype", dtype, "what the model was trained in; --dtype states another"),)


def _lost(source: Path, dtype: str) -> tuple[Finding, ...]:
    """What rounding to the precision undoes of the adapter's work, as it was measured when it was merged."""
    report = source / "merge.json"
    if dtype == "float32" or not report.is_file():
        return ()
    lost = json.loads(report.read_bytes())["lost"][dtype]
    message = f"in {dtype} the weights differ from the exact sum by {100 * lost:.2g} % of what was learned"
    return (difference(message, "the exact sum: --dtype float32"),)
