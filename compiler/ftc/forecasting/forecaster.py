"""Forecast a planned build: on the device that the plan is for, and on other GPUs of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ftc.diagnostics import Severity
from ftc.estimate.catalogue import Device, devices, find
from ftc.estimate.fit import Target
from ftc.estimate.forecast import Forecast, Forecasts, by_cost
from ftc.estimate.lowering import training_step
from ftc.estimate.requested import requested_gpu
from ftc.estimate.step import TrainingStep
from ftc.facts.cache import Cache
from ftc.forecasting.builds import Builds, Compiled
from ftc.forecasting.remembered import forecast_key, remembered
from ftc.plan.context import Context
from ftc.plan.fitting import target_of
from ftc.plan.steps import Plan
from ftc.plan.variants import Variants

SHOWN = 6
"""GPUs that are shown beside the plan's own device unless others are asked for: the cheapest."""

ALL = "all"


@dataclass
class Forecaster:
    """Forecasts of one whole plan; what several devices have in common is read and counted once."""

    plan: Plan
    context: Context
    compiler: Compiled
    cache: Cache
    _builds: Builds = field(init=False)

    def __post_init__(self) -> None:
        facts, recipe = self.context.facts, self.context.recipe
        self._builds = Builds(
            dict(facts.model.config), recipe.hardware.prices, self.compiler, others=facts.others
        )
        self._builds.note(self.plan)

    def own(self) -> Forecast:
        """The build on the device that the plan is for."""
        return remembered(self.cache, self._key("own"), lambda: (self._own(),))[0]

    def on(self, gpus: Sequence[Device]) -> tuple[Forecast, ...]:
        """The build on GPUs of the catalogue, each as it would be planned there."""
        key = self._key(",".join(gpu.name for gpu in gpus))
        return remembered(self.cache, key, lambda: self._on(gpus))

    def _key(self, asked: str) -> str:
        return forecast_key(self.plan, self.context, asked)

    def _own(self) -> Forecast:
        named, mine = requested_gpu(self.context.recipe), self.context.facts.gpu
        return self._builds.where_it_runs(self.plan, target_of(self.plan, self.context), named, mine)

    def forecasts(self, gpus: Sequence[str] | None) -> Forecasts:
        """The build where the plan is for, and on GPUs by name, or on `all`.

        Some of the cheapest are taken where none is named, and no others where `gpus` is None.
        """
        own = self.own()
        if gpus is None:
            return Forecasts(own)
        if gpus and ALL not in gpus:
            return Forecasts(own, self.on([named for name in gpus if (named := find(name)) is not None]))
        others = tuple(one for one in self.on(list(devices().values())) if one.device != own.device)
        if gpus:
            return Forecasts(own, others)
        shown = tuple(by_cost(others)[:SHOWN])
        return Forecasts(own, shown, tuple(one for one in others if one not in shown))

    def own_step(self) -> TrainingStep:
        """The plan's training step on the device that it is for. Raises InexpressibleError."""
        config, target = self.context.facts.model.config, target_of(self.plan, self.context)
        return training_step(self.plan, config, device=target, others=self.context.facts.others)

    def _on(self, gpus: Sequence[Device]) -> tuple[Forecast, ...]:
        variants = Variants(self.plan, self.context)
        found = []
        for gpu in gpus:
            plan, findings = variants.on(gpu.name)
            self._builds.note(plan)
            target = Target(gpu.name, gpu.memory, gpu.capability, stated=True)
            forecast = self._builds.forecast(plan, target, gpu, here=False)
            wrong = tuple(one.message for one in findings if one.severity == Severity.ERROR)
            found.append(replace(forecast, unknown=(*forecast.unknown, *wrong)))
        return tuple(found)
