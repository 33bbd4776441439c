"""How variants are picked one after the other; the oracle is Optuna's own study."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from ftc.recipe.sweep import Sweep
from ftc.sweeping.search import STARTUP, missing_packages, search_of
from ftc.sweeping.space import known_variants

KEYS = {"train.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}, "tune.rank": [4, 8, 16]}
NUMBERS = {
    "train.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "train.warmup": {"low": 0.0, "high": 0.5},
}


def sweep(keys: dict[str, Any] = KEYS, **more: Any) -> Sweep:
    return Sweep.model_validate({"keys": keys, **more})


def score(variant: Any) -> float:
    import math

    return (math.log10(variant["train.learning_rate"]) + 3) ** 2 + variant.get("tune.rank", 8) / 100


def tried(settings: Sweep, stop: int = 99) -> list[tuple[dict[str, Any], float]]:
    search, found = search_of(settings, known_variants(settings), higher=False), []
    while (trying := search.ask()) is not None and len(found) < stop:
        value = score(trying.variant)
        trying.tell(value)
        found.append((dict(trying.variant), value))
    return found


@pytest.mark.parametrize("method", ["tpe", "cmaes", "gp", "qmc"])
def test_samplers_are_repeatable_and_go_on_where_they_were(method: str):
    settings = sweep(NUMBERS if method == "cmaes" else KEYS, method=method, trials=8, seed=5)
    whole = tried(settings)
    assert len(whole) == 8
    assert tried(settings) == whole
    assert tried(settings, stop=3) == whole[:3]
    assert all(1e-5 <= variant["train.learning_rate"] <= 1e-1 for variant, _ in whole)


def test_a_sampler_finds_more_than_chance():
    by_sampler = sorted(value for _, value in tried(sweep(method="tpe", trials=40)))
    by_chance = sorted(value for _, value in tried(sweep(method="random", trials=40)))
    assert sum(by_sampler[:10]) < sum(by_chance[:10])


def test_variants_that_are_worse_than_half_of_the_others_are_broken_off():
    settings = sweep({"train.epochs": list(range(1, 9))}, prune=True)
    search = search_of(settings, known_variants(settings), higher=False)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP))
    broken = []
    for losses in [(3, 2), (4, 3), (5, 4), (6, 5), (9, 8), (2, 1), (5.5, 4.6), (4, 9)]:
        trying, trial = search.ask(), study.ask()
        for step, loss in enumerate(losses, 1):
            trial.report(loss, step)
            wanted = bool(trial.should_prune())
            assert trying.report(step, loss) == wanted
            if wanted:
                break
        broken.append(wanted)
        trying.tell(None if wanted else loss, pruned=wanted)
        study.tell(trial, None if wanted else loss, state=optuna.trial.TrialState.PRUNED if wanted else None)
    assert broken[:STARTUP] == [False] * STARTUP
    assert broken[4] is True
    assert broken[5] is False


def test_what_has_to_be_installed(monkeypatch: pytest.MonkeyPatch):
    from ftc.sweeping import search

    monkeypatch.setattr(search, "find_spec", lambda _: None)
    assert missing_packages(sweep(method="grid")) == ()
    assert missing_packages(sweep(method="random", prune=True)) == ("optuna",)
    assert missing_packages(sweep(NUMBERS, method="cmaes")) == ("optuna", "cmaes")
