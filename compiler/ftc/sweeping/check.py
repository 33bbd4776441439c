"""What is wrong with a sweep beyond its text: packages, its metric, and variants that come to one plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ftc.diagnostics import Finding, Severity
from ftc.recipe.suggest import did_you_mean
from ftc.recipe.sweep import Sweep
from ftc.sweeping.search import missing_packages

if TYPE_CHECKING:
    from ftc.jobs.planning import Planned
    from ftc.plan.steps import Plan
    from ftc.recipe.load import Origins

EXAMPLE = 'type:\n  [sweep]\n  keys."train.learning_rate" = [1e-4, 3e-4]'
HELD_OUT = "held_out"


def no_sweep(origins: Origins) -> Finding:
    """The finding for a recipe that says nothing to vary."""
    return Finding(
        "FTC742", "the recipe has no [sweep], so there is nothing to vary", origins.end(), help=(EXAMPLE,)
    )


def lacking(sweep: Sweep, origins: Origins) -> tuple[Finding, ...]:
    """The finding for packages that are not installed."""
    missing = missing_packages(sweep)
    if not missing:
        return ()
    key = (
        "method" if "method" in sweep.model_fields_set and sweep.method not in ("grid", "random") else "prune"
    )
    names = " and ".join(f"`{name}`" for name in missing)
    message = f"`sweep.{key}` needs {names}, which {'is' if len(missing) == 1 else 'are'} not installed"
    return (
        Finding(
            "FTC743", message, origins.value("sweep", key), help=("install it: pip install 'ftc[sweep]'",)
        ),
    )


def measured(plan: Plan) -> tuple[str, ...]:
    """The names of what a plan measures after training, as `sweep.metric` may give them."""
    names: list[str] = []
    if plan.eval is not None:
        own = [*plan.eval.metrics, *(one.name for one in plan.eval.functions)]
        names += [*own, *(f"{HELD_OUT}.{name}" for name in own)]
    for suite in plan.suites or ():
        own = [*suite.metrics, *(one.name for one in suite.functions)]
        names += [f"{suite.name}.{name}" for name in own]
    return tuple(dict.fromkeys(names))


def unmeasured(sweep: Sweep, plan: Plan, origins: Origins) -> tuple[Finding, ...]:
    """What a plan does not measure that variants are to be compared or broken off by."""
    names, found = measured(plan), []
    if sweep.metric not in names:
        known = ", ".join(names)
        message = (
            f"`{sweep.metric}` is not measured" if names else "no rows are held out, so nothing is measured"
        )
        helps = did_you_mean(sweep.metric, names) if names else ("add split = { eval = 0.1 } to [data]",)
        notes = (f"measured are {known}",) if names else ()
        span = origins.value("sweep", "metric")
        found.append(Finding("FTC744", message, span, help=helps, notes=notes))
    if sweep.prune and (plan.train is None or plan.train.watch is None):
        message = "`sweep.prune` needs the held-out loss while training goes on"
        help_line = "say after how many steps it is taken: eval_every = 50 in [train]"
        found.append(Finding("FTC745", message, origins.value("sweep", "prune"), help=(help_line,)))
    return tuple(found)


def better_of(sweep: Sweep, plan: Plan) -> Literal["higher", "lower"]:
    """Which way of the sweep's metric is better."""
    from ftc.evaluation import METRICS, load

    name = sweep.metric.rpartition(".")[2]
    if sweep.better is not None:
        return sweep.better
    own = [one for suite in (plan.eval, *(plan.suites or ())) if suite for one in suite.functions]
    stated = next((one.better for one in own if one.name == name), None)
    if stated is not None:
        return stated
    return load(name).better if name in METRICS else "higher"


def repeated(plans: Sequence[tuple[Mapping[str, Any], Planned]], origins: Origins) -> Iterator[Finding]:
    """Keys which some variants differ in alone, and whose plans are the same all the same."""
    seen: dict[str, Mapping[str, Any]] = {}
    said: set[str] = set()
    for variant, made in plans:
        digest = made.result.digest
        other = seen.setdefault(digest, variant) if digest is not None else variant
        differing = [key for key in variant if variant[key] != other[key]]
        if len(differing) != 1 or differing[0] in said:
            continue
        key = differing[0]
        said.add(key)
        shown = " and ".join(str(one[key]) for one in (other, variant))
        message = f"`{key}` makes no difference between {shown}: both are the same plan, which is built once"
        span = origins.key("sweep", "keys", key)
        yield Finding("FTC746", message, span, severity=Severity.WARNING)
