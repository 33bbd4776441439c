"""What an abstract run found: the peak of each phase and what it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from pydantic import JsonValue

from ftc.estimate.abstract.tracker import Tracker

PHASES = ("load", "generation", "forward", "backward", "optimizer", "evaluation", "save")
PACKAGES = ("torch", "transformers", "peft", "trl")


@dataclass(frozen=True, slots=True)
class Peak:
    """The most bytes allocated at once in a segment, and their categories."""

    size: int
    categories: Mapping[str, int]


@dataclass(frozen=True)
class Result:
    """The peaks of a step's segments (`phase` or `phase/part`), and how many layers were traced for them."""

    segments: Mapping[str, Peak]
    traced: tuple[int, ...]

    @cached_property
    def phases(self) -> dict[str, Peak]:
        """The highest segment of each phase."""
        found: dict[str, Peak] = {}
        for segment, peak in self.segments.items():
            phase = segment.partition("/")[0]
            if phase in PHASES and (phase not in found or peak.size > found[phase].size):
                found[phase] = peak
        return {phase: found[phase] for phase in PHASES if phase in found}

    @property
    def phase(self) -> str:
        """The phase in which the step peaks."""
        return max(self.phases, key=lambda name: self.phases[name].size)

    @property
    def peak(self) -> Peak:
        """The step's peak."""
        return self.phases[self.phase]

    def to_json(self) -> dict[str, JsonValue]:
        """The result with the versions of the code that ran."""
        phases: dict[str, JsonValue] = {
            name: {"bytes": peak.size, "categories": dict(peak.categories)}
            for name, peak in self.phases.items()
        }
        return {
            "bytes": self.peak.size,
            "phase": self.phase,
            "phases": phases,
            "segments": {name: peak.size for name, peak in self.segments.items()},
            "traced_layers": list(self.traced),
            "packages": {name: version(name) for name in PACKAGES},
        }


def measured(tracker: Tracker) -> dict[str, Peak]:
    """The peaks of the segments that a tracker saw."""
    return {
        segment: Peak(moment.size, tracker.at(segment))
        for segment, moment in tracker.moments.items()
        if segment != "first"
    }


def extrapolated(few: Mapping[str, Peak], more: Mapping[str, Peak], times: int) -> dict[str, Peak]:
    """The peaks once the difference between two runs is added `times` times to the larger one."""

    def line(one: int, two: int) -> int:
        return two + (two - one) * times

    return {
        segment: Peak(
            line(few[segment].size, peak.size),
            {
                category: line(few[segment].categories.get(category, 0), peak.categories.get(category, 0))
                for category in {**few[segment].categories, **peak.categories}
            },
        )
        for segment, peak in more.items()
        if segment in few
    }
