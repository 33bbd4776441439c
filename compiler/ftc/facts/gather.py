"""Look at the world for a recipe: the one place where checking and planning leave the recipe's text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.first_look import look_at_columns, look_at_queries, look_at_sources
from ftc.facts.kernels import NO_KERNELS, Kernels, find_kernels
from ftc.facts.locate_model import Located, locate_model
from ftc.facts.machine import CudaDevice, detect_device, first_cuda_device, memory_size, package_versions
from ftc.facts.query import Described
from ftc.facts.sources import ResolvedSource
from ftc.facts.sources.place import HERE, Reach
from ftc.facts.stated_template import stated_template
from ftc.facts.suites import SuiteFacts, look_at_suites
from ftc.facts.teacher import locate_teacher, teacher_facts
from ftc.facts.training_template import TrainingTemplate, training_template
from ftc.recipe.load import Origins
from ftc.recipe.model import AddedToken, Recipe, added_tokens
from ftc.recipe.partial import NOTHING, Known

if TYPE_CHECKING:
    from ftc.facts.model import ModelFacts
    from ftc.plan.steps import ColumnType, RewardStep


@dataclass(frozen=True)
class Glance:
    """What a first look finds: files, the query's columns, the model's place; no row, no model is read.

    A part is None, or empty, where a finding says why.
    """

    sources: tuple[ResolvedSource, ...]
    queries: tuple[Described, ...]
    held_out: Described | None
    located: Located | None
    chat_template: str | None
    findings: tuple[Finding, ...]
    suites: tuple[SuiteFacts, ...] = ()
    rewards: tuple[RewardStep, ...] = ()
    teacher: Located | None = None
    new_tokens: tuple[AddedToken, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What the world says, at the time of planning; `chat_template` is the recipe's, or the model's own.

    `training_template` is the one which the installed TRL would train that chat template with, `held_out` the
    split's own query, `gpu` the device that the driver reports, `memory` the bytes that a process may use.
    """

    sources: tuple[ResolvedSource, ...]
    queries: tuple[Described, ...]
    model: ModelFacts
    chat_template: str | None
    device: str
    device_reason: str
    packages: dict[str, str]
    training_template: TrainingTemplate | None = None
    held_out: Described | None = None
    gpu: CudaDevice | None = None
    memory: int | None = None
    suites: tuple[SuiteFacts, ...] = ()
    teacher: ModelFacts | None = None
    rewards: tuple[RewardStep, ...] = ()
    scorers: tuple[ModelFacts, ...] = ()
    kernels: Kernels = NO_KERNELS

    @property
    def others(self) -> dict[str, Mapping[str, Any]]:
        """The config.json of the teacher and of the reward models, by their digests."""
        models = (*((self.teacher,) if self.teacher else ()), *self.scorers)
        return {model.config_sha256: model.config for model in models}

    @property
    def columns(self) -> tuple[ColumnType, ...]:
        """The columns of the rows: every query of a mix returns the same."""
        return self.queries[0].columns


def _model(recipe: Recipe, origins: Origins, known: Known) -> Located | Finding | None:
    """The base model's place, or what is wrong there; None where the recipe says no base."""
    if known.takes("model", "base"):
        return None
    located = locate_model(recipe.model, origins)
    if isinstance(located, Finding) or located.kind != "directory" or located.path is None:
        return located
    from ftc.facts.model import weights_finding

    return weights_finding(located.path, origins) or located


def _rewards(recipe: Recipe, origins: Origins) -> tuple[tuple[RewardStep, ...], tuple[Finding, ...]]:
    if not hasattr(recipe.train.objective, "rewards"):
        return (), ()
    from ftc.facts.rewards import look_at_rewards

    return look_at_rewards(recipe, origins)


def glance(
    recipe: Recipe, origins: Origins, cache: Cache, known: Known = NOTHING, reach: Reach = HERE
) -> Glance:
    """Resolve sources, ask DuckDB for the query's columns, and find the model's place.

    `known` are mistakes of the recipe that are said already, where it is only a part of what was written.
    `reach` says whether sources may be fetched.
    """
    sources = look_at_sources(recipe, origins, cache, known, reach)
    queries, problems = look_at_queries(recipe, origins, cache, known, sources)
    rows = queries.rows
    columns = look_at_columns(recipe, origins, known, rows[0]) if rows else ()
    rewards, unrewarding = ((), ()) if known.takes("train") else _rewards(recipe, origins)
    located = _model(recipe, origins, known)
    teacher = None if known.takes("train") else locate_teacher(recipe, origins)
    template = stated_template(recipe, origins)
    suites, wrong = look_at_suites(recipe, origins, cache, known, reach, sources[0])
    places = tuple(found for found in (located, teacher, template) if isinstance(found, Finding))
    return Glance(
        sources=sources[0],
        queries=rows if all(query.columns for query in rows) else (),
        held_out=queries.held_out,
        located=None if isinstance(located, Finding) else located,
        chat_template=None if isinstance(template, Finding) else template,
        findings=(*sources[2], *problems, *columns, *unrewarding, *places, *wrong),
        suites=suites,
        rewards=rewards,
        teacher=None if isinstance(teacher, Finding) else teacher,
        new_tokens=() if known.takes("model", "new_tokens") else added_tokens(recipe.model),
    )


def gather(seen: Glance, origins: Origins, cache: Cache, base: ModelFacts | None = None) -> Facts | Finding:
    """Read the model's configuration and tokenizer, and look at the machine; `seen` has no errors.

    `base` is the model where another recipe makes it.
    """
    from ftc.facts.materialise import model_facts

    assert seen.queries  # noqa: S101 - a glance without errors is whole
    assert seen.located is not None  # noqa: S101
    model = base or model_facts(seen.located, origins, cache)
    if isinstance(model, Finding):
        return model
    if seen.new_tokens:
        from ftc.facts.new_tokens import with_new_tokens

        found = with_new_tokens(model, seen.new_tokens, origins, cache)
        if isinstance(found, Finding):
            return found
        model = found
    teacher = teacher_facts(seen.teacher, model, origins, cache) if seen.teacher else None
    if isinstance(teacher, Finding):
        return teacher
    device, reason = detect_device()
    template = seen.chat_template or model.tokenizer.chat_template
    return Facts(
        sources=seen.sources,
        queries=seen.queries,
        model=model,
        chat_template=template,
        device=device,
        device_reason=reason,
        packages=package_versions(),
        training_template=training_template(template),
        held_out=seen.held_out,
        gpu=first_cuda_device() if device == "cuda" else None,
        memory=memory_size(),
        suites=seen.suites,
        rewards=seen.rewards,
        teacher=teacher,
        kernels=find_kernels(),
    )
