"""What ftc takes for granted of the installed TRL and transformers: a release that renames it fails here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from ftc import objectives
from ftc.facts.trl_fields import OF_TRL, OWNED, RETIRED
from ftc.plan.learning_rate import LOWERED, lowered
from ftc.plan.training_options import arguments
from ftc.recipe.training import Schedule, Train
from tiny_plan import train_arguments

RUNTIME = ("dataloader_pin_memory", "output_dir", "project", "report_to", "run_name", "use_cpu")
"""Fields that the runtime adds to the plan's."""

READ = """
import dataclasses, importlib, json, sys
from transformers.optimization import get_scheduler
from transformers.trainer_utils import SchedulerType
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

def named(reference):
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name, None)

found = {"configs": {}, "trainers": {}}
for reference in sys.argv[1].split(","):
    made = named(reference)
    found["configs"][reference] = [f.name for f in dataclasses.fields(made)] if made else None
for reference in sys.argv[2].split(","):
    found["trainers"][reference] = named(reference) is not None
found["schedules"] = [kind.value for kind in SchedulerType]
found["trackers"] = list(INTEGRATION_TO_CALLBACK)
print(json.dumps(found))
"""


Installed = dict[str, Any]


@pytest.fixture(scope="module")
def installed() -> Installed:
    """The configs' fields, the schedules and the trackers, as the libraries themselves have them."""
    every = [objectives.load(name) for name in objectives.OBJECTIVES]
    names = [",".join({one.config for one in every}), ",".join({one.trainer for one in every})]
    done = subprocess.run([sys.executable, "-c", READ, *names], capture_output=True, text=True, check=True)
    found: Installed = json.loads(done.stdout.splitlines()[-1])
    return found


NEEDED = {
    "grpo": {"rewards": ["exact_match"]},
    "rloo": {"rewards": ["exact_match"]},
    "gkd": {"teacher": "a/model"},
}
"""What objectives need beside their names."""


def of_objective(name: str) -> set[str]:
    needed = NEEDED.get(name)
    stated = objectives.load(name).options.model_validate({"name": name} | needed) if needed else None
    return set(objectives.load(name).arguments(objectives.options(name, stated)))


def set_by_ftc(name: str) -> set[str]:
    """Every field that some plan of the objective sets."""
    train = Train(label_smoothing=0.1, neftune=5.0, compile=True, schedule=Schedule(name="cosine", floor=0.1))
    every = train_arguments(steps=9, micro_batch=1, accumulation=1, learning_rate=1e-3, save_every=3)
    common = set(every) - of_objective("sft")
    return common | {*arguments(train, liger=True), *lowered(train, 9, 1e-3), *RUNTIME, *of_objective(name)}


def check(config: str, fields: list[str] | None, names: set[str]) -> None:
    assert fields is not None, f"there is no {config}"
    missing = sorted(names - set(fields))
    assert not missing, f"{config} has no field {', '.join(missing)}: renamed in this release?"


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_every_field_that_ftc_sets_or_owns_is_there(name: str, installed: Installed) -> None:
    chosen = objectives.load(name)
    names = set_by_ftc(name) | set(OWNED) | set(chosen.owned)
    names |= set(OF_TRL) if chosen.config.startswith("trl") else set()
    check(chosen.config, installed["configs"][chosen.config], names)
    assert installed["trainers"][chosen.trainer], f"there is no {chosen.trainer}"


def test_a_field_that_is_not_there_is_named_with_its_class(installed: Installed) -> None:
    fields = installed["configs"]["trl:SFTConfig"]
    with pytest.raises(AssertionError, match="SFTConfig has no field neftune_alpha"):
        check("trl:SFTConfig", fields, {"neftune_alpha", "neftune_noise_alpha"})


def test_what_is_retired_is_gone(installed: Installed) -> None:
    of_both = ("trl", "transformers")  # others keep old names for old releases
    every = installed["configs"].items()
    for config, fields in ((name, fields) for name, fields in every if name.startswith(of_both)):
        back = set(RETIRED) & set(fields)
        assert not back, f"{config} has {', '.join(sorted(back))} again: put it into OWNED"


def test_every_schedule_of_transformers_is_offered_or_left_out_on_purpose(installed: Installed) -> None:
    offered = {lowered(Train(schedule=name), 10, 1e-3)["lr_scheduler_type"] for name in LOWERED}
    offered.add(lowered(Train(schedule=Schedule(name="cosine", floor=0.1)), 10, 1e-3)["lr_scheduler_type"])
    left_out = {"constant", "cosine_warmup_with_min_lr", "greedy", "reduce_lr_on_plateau"}
    assert offered | left_out == set(installed["schedules"]), "transformers has other schedules now"


def test_every_tracker_is_one_of_transformers(installed: Installed) -> None:
    from ftc.facts.trackers import PACKAGES
    from ftc.launch.local import TRACKED
    from ftc.runtime.trackers import SETTINGS

    assert set(PACKAGES) == set(TRACKED) == set(SETTINGS)
    assert set(PACKAGES) <= set(installed["trackers"])
