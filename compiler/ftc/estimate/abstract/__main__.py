"""`python -m ftc.estimate.abstract STEP.json`: run the training step of a file abstractly."""

from __future__ import annotations

import json
import sys
import warnings
from typing import IO

import click

from ftc.estimate.abstract.depth import predict
from ftc.estimate.abstract.run import Backend
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.step import TrainingStep


@click.command()
@click.argument("step", type=click.File("rb"))
@click.option("--backend", type=click.Choice(["cuda", "cpu"]), default="cuda", help="Whose kernels run.")
@click.option("--whole", is_flag=True, help="Trace every layer instead of extrapolating from few.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def main(step: IO[bytes], backend: Backend, whole: bool, as_json: bool) -> None:
    """Print the peaks of the training step that STEP, a file of JSON or - for standard input, describes."""
    warnings.simplefilter("ignore", FutureWarning)
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


if __name__ == "__main__":
    main()
