"""In which order variants are tried: as they are listed, or as a sampler of Optuna picks them.

Both are deterministic: asked again after the same answers, they give the same variants. So a sweep that was
stopped goes on by asking from the start, and finds the runs that are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol
from warnings import catch_warnings, simplefilter

from ftc.recipe.sweep import Sweep, SweepRange
from ftc.sweeping.space import TRIALS, Variant, rounded

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

STARTUP = 4
"""Whole variants before one is broken off: a median of fewer says little."""
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tpe": ("optuna",),
        "cmaes": ("optuna", "cmaes"),
        "gp": ("optuna", "scipy"),
        "qmc": ("optuna", "scipy"),
    }
)


def missing_packages(sweep: Sweep) -> tuple[str, ...]:
    """Packages that the sweep's method, or its pruning, needs and that are not installed."""
    wanted = PACKAGES.get(sweep.method, ("optuna",) if sweep.prune else ())
    return tuple(name for name in wanted if find_spec(name) is None)


class Trying(Protocol):
    """One variant while it is tried."""

    @property
    def variant(self) -> Variant:
        """The values that it gives."""

    def report(self, step: int, loss: float) -> bool:
        """Whether to break it off, given its held-out loss after a step."""

    def tell(self, value: float | None, *, pruned: bool = False) -> None:
        """What came of it; None where it failed."""


class Search(Protocol):
    """Variants, one after the other."""

    def ask(self) -> Trying | None:
        """The next variant; None behind the last."""


class _Plain:
    """A variant that is tried to its end."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def report(self, step: int, loss: float) -> bool:  # noqa: ARG002 - nothing is broken off
        """Never."""
        return False

    def tell(self, value: float | None, *, pruned: bool = False) -> None:
        """Nothing hangs on it."""


class Listed:
    """Variants in the order of a list."""

    def __init__(self, variants: Sequence[Variant]) -> None:
        self._left = list(variants)

    def ask(self) -> _Plain | None:
        """The next one of the list."""
        return _Plain(self._left.pop(0)) if self._left else None


class _OptunaTrial:
    """A trial of an Optuna study, which may break it off by the median of the others."""

    def __init__(self, study: Study, trial: Trial, variant: Variant, *, prune: bool, higher: bool) -> None:
        self._study, self._trial, self._prune, self._higher = study, trial, prune, higher
        self.variant = variant
        self._reported: set[int] = set()

    def report(self, step: int, loss: float) -> bool:
        """Whether its loss is above the median of the others at that step; said once of each step."""
        if step in self._reported:
            return False
        self._reported.add(step)
        self._trial.report(-loss if self._higher else loss, step)
        return self._prune and bool(self._trial.should_prune())

    def tell(self, value: float | None, *, pruned: bool = False) -> None:
        """Hand the result to the sampler."""
        from optuna.trial import TrialState

        if pruned:
            self._study.tell(self._trial, state=TrialState.PRUNED)
        elif value is None:
            self._study.tell(self._trial, state=TrialState.FAIL)
        else:
            self._study.tell(self._trial, value)


class OptunaSearch:
    """Variants as a sampler of Optuna picks them, or from a list where only its pruner is wanted."""

    def __init__(self, sweep: Sweep, listed: Sequence[Variant] | None, *, higher: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._sweep, self._higher = sweep, higher
        self._listed = None if listed is None else list(listed)
        self._left = len(listed) if listed is not None else sweep.trials or TRIALS
        self._study = optuna.create_study(
            direction="maximize" if higher else "minimize",
            sampler=_sampler(sweep),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
        )

    def ask(self) -> _OptunaTrial | None:
        """The next one that the sampler picks, or the next of the list."""
        if self._left == 0:
            return None
        self._left -= 1
        if self._listed is not None:
            return self._made(self._study.ask(), self._listed.pop(0))
        trial = self._study.ask({key: _distribution(tried) for key, tried in self._sweep.keys.items()})
        values = {key: _value(tried, trial.params[key]) for key, tried in self._sweep.keys.items()}
        return self._made(trial, MappingProxyType(values))

    def _made(self, trial: Trial, variant: Variant) -> _OptunaTrial:
        return _OptunaTrial(self._study, trial, variant, prune=self._sweep.prune, higher=self._higher)


def search_of(sweep: Sweep, listed: Sequence[Variant] | None, *, higher: bool) -> Search:
    """How the variants of a sweep are picked; `listed` are those known beforehand."""
    if listed is not None and not sweep.prune:
        return Listed(listed)
    return OptunaSearch(sweep, listed, higher=higher)


def _sampler(sweep: Sweep) -> BaseSampler:
    """The sampler of a method, without Optuna's word that some of them are young."""
    from optuna.exceptions import ExperimentalWarning

    with catch_warnings():
        simplefilter("ignore", ExperimentalWarning)
        return _made_sampler(sweep)


def _made_sampler(sweep: Sweep) -> BaseSampler:
    from optuna import samplers

    match sweep.method:
        case "cmaes":
            return samplers.CmaEsSampler(seed=sweep.seed, warn_independent_sampling=False)
        case "gp":
            return samplers.GPSampler(seed=sweep.seed, warn_independent_sampling=False)
        case "qmc":
            return samplers.QMCSampler(seed=sweep.seed, scramble=True, warn_independent_sampling=False)
        case "tpe":
            return samplers.TPESampler(seed=sweep.seed)
        case _:
            return samplers.RandomSampler(seed=sweep.seed)


def _distribution(tried: Any) -> BaseDistribution:
    """What a sampler knows of a key: a range, or the places of its values in their list."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(tried, SweepRange):
        return CategoricalDistribution(tuple(range(len(tried))))
    if tried.whole:
        return IntDistribution(int(tried.low), int(tried.high), log=tried.log)
    return FloatDistribution(tried.low, tried.high, log=tried.log)


def _value(tried: Any, picked: Any) -> Any:
    return rounded(picked, tried) if isinstance(tried, SweepRange) else tried[picked]
