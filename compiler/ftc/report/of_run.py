"""The page of a run, of the plan and of the run's own files alone: it is a part of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftc.artifact.beside import read_config, read_lints
from ftc.artifact.chain import read_chain
from ftc.artifact.documents import Finished
from ftc.artifact.files import sha256
from ftc.artifact.run_directory import DATA, evaluation
from ftc.artifact.trained import findings, trained
from ftc.data.kept.shown import Viewer
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.catalogue import Device, devices, find
from ftc.estimate.fit import Target
from ftc.estimate.forecast import Forecast, Forecasts, by_cost
from ftc.forecasting.builds import Builds
from ftc.forecasting.forecaster import SHOWN
from ftc.forecasting.stored import Rows
from ftc.jobs.comparing import later
from ftc.plan.steps import Plan
from ftc.recipe.hardware import Hardware
from ftc.report.material import Material, Run
from ftc.report.page import page_bytes

NO_CONFIG = "this run does not keep its base model's configuration, by which memory is told"
NO_TOKENIZER = "the tokenizer is not among the files of this run"


def document(finished: Finished) -> bytes:
    """The bytes of report.html for a run whose training has ended. Raises OSError and ValueError."""
    return page_bytes(material(finished.directory, finished.recipe_text))


def run_page(run: Path) -> bytes:
    """The bytes of the page of a whole run, with what was measured since. Raises OSError and ValueError."""
    return page_bytes(material(run, (run / "recipe.toml").read_text(encoding="utf-8"), later(run)))


def material(directory: Path, recipe_text: str, since: Sequence[Path] = ()) -> Material:
    """What the page of a run shows; `since` has evaluations beside it. Raises OSError and ValueError."""
    plan = Plan.model_validate_json((directory / "plan.json").read_bytes())
    about, lints = trained(directory), read_lints(directory)
    viewer = _viewer(plan, directory)
    forecasts, unforecast = _forecasts(plan, directory, recipe_text)
    return Material(
        kind="run",
        plan=plan,
        digest=sha256(directory / "plan.json"),
        recipe_name="recipe.toml",
        recipe_text=recipe_text,
        directory=directory / DATA if plan.data is not None else None,
        viewer=viewer,
        unseen="" if viewer is not None else NO_TOKENIZER,
        lints=lints,
        forecasts=forecasts,
        unforecast=unforecast,
        findings=findings(about, plan, Path()),
        chain=read_chain(directory),
        run=Run(directory, evaluation(directory), about, tuple((one, evaluation(one)) for one in since)),
    )


def _viewer(plan: Plan, directory: Path) -> Viewer | None:
    tokenizer = directory / "model" / "tokenizer.json"
    if plan.data is None or not tokenizer.is_file():
        return None
    members = plan.render.members if plan.render is not None else ()
    return Viewer(plan.data, directory / DATA, tokenizer, None, members)


def _hardware(recipe_text: str) -> Hardware:
    """The GPU and the prices that the recipe of a run states."""
    import tomllib

    told: Mapping[str, Any] = tomllib.loads(recipe_text)
    return Hardware.model_validate(told.get("hardware", {}))


def _forecasts(plan: Plan, directory: Path, recipe_text: str) -> tuple[Forecasts | None, str]:
    """What the plan takes as it is: on its own device and, where that is a GPU, on others.

    Nothing of it hangs on the machine that asks: its memory, what was measured on it, prices of its user.
    """
    config = read_config(directory)
    if config is None or plan.environment is None:
        return None, NO_CONFIG
    hardware, data = _hardware(recipe_text), directory / DATA
    builds = Builds(config, hardware.prices, Rows(data, data), shared={})
    builds.note(plan)
    named = find(hardware.gpu) if hardware.gpu is not None else None
    try:
        if plan.environment.device != "cuda":
            own = builds.forecast(plan, Target(_device(plan), None), None, here=False)
            return Forecasts(_timeless(own)), ""
        found = [_on(builds, plan, gpu) for gpu in devices().values()]
    except InexpressibleError as error:
        return None, str(error)
    others = by_cost(one for one in found if named is None or one.device != named.name)[:SHOWN]
    own = _on(builds, plan, named) if named is not None else builds.forecast(plan, GPU, None, here=False)
    return Forecasts(_timeless(own) if named is None else own, tuple(others)), ""


GPU = Target("the GPU", None)


def _device(plan: Plan) -> str:
    return "the CPU" if plan.environment is not None and plan.environment.device == "cpu" else "the GPU"


def _timeless(own: Forecast) -> Forecast:
    """Without what is said of a time that was not measured: a run has taken its time."""
    from dataclasses import replace

    return replace(own, unknown=())


def _on(builds: Builds, plan: Plan, gpu: Device) -> Forecast:
    return builds.forecast(plan, Target(gpu.name, gpu.memory, gpu.capability, stated=True), gpu, here=False)
