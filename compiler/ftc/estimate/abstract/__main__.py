"""`python -m ftc.estimate.abstract STEP.json`: run the training step of a file abstractly."""

from __future__ import annotations

import json
import sys
import warnings
from typing import IO, Any

import click

from ftc.estimate.abstract.counted import counted
from ftc.estimate.abstract.depth import predict
from ftc.estimate.abstract.run import Backend
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.step import TrainingStep

FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the installed model code raises where it does not run on tensors without values."""


@click.command()
@click.argument("step", type=click.File("rb"), default="-")
@click.option("--backend", type=click.Choice(["cuda", "cpu"]), default="cuda", help="Whose kernels run.")
@click.option("--whole", is_flag=True, help="Trace every layer instead of extrapolating from few.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--serve", is_flag=True, help="Answer each line of JSON that STEP has by a line of JSON.")
def main(step: IO[bytes], backend: Backend, whole: bool, as_json: bool, serve: bool) -> None:
    """Print the peaks of the training step that STEP, a file of JSON or - for standard input, describes."""
    warnings.simplefilter("ignore", FutureWarning)
    if serve:
        _serve(step)
        return
    try:
        result = predict(TrainingStep.model_validate_json(step.read()), backend, whole=whole)
    except InexpressibleError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        sys.stdout.write(json.dumps(result.to_json(), indent=2) + "\n")
        return
    for phase, peak in result.phases.items():
        mark = "*" if phase == result.phase else " "
        sys.stdout.write(f"{mark} {phase:<12} {peak.size / 2**30:9.3f} GiB\n")


def _serve(lines: IO[bytes]) -> None:
    """Answer questions until there are none; libraries' own lines go elsewhere."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in iter(lines.readline, b""):
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    step = TrainingStep.model_validate(question["step"])
    try:
        if question["asked"] == "counts":
            return counted(step, step.backend).model_dump(mode="json")
        return predict(step, step.backend).to_json()
    except InexpressibleError as error:
        return {"unknown": str(error)}
    except FAILURES as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return {"unknown": f"the model's own code does not run without values ({said})"}


if __name__ == "__main__":
    main()
