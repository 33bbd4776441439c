"""The page of a plan: a recipe is planned as `ftc plan` does it, with its rows at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftc.diagnostics import Finding, has_errors, sort_findings
from ftc.facts.cache import Cache
from ftc.jobs.building import is_whole
from ftc.jobs.planning import Options, Planned, Progress, damaged, open_cache, planned
from ftc.report.material import Material
from ftc.report.page import page_bytes


@dataclass(frozen=True)
class PlanPage:
    """The page of a recipe's plan, with what was found; None where there is no whole plan."""

    path: Path
    findings: tuple[Finding, ...]
    page: bytes | None
    name: str = ""
    digest: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is a page, and no error."""
        return self.page is not None and not has_errors(self.findings)


def plan_page(
    recipe: Path,
    overrides: Sequence[str] = (),
    *,
    gpus: Sequence[str] = (),
    progress: Progress | None = None,
) -> PlanPage:
    """Plan a recipe and make the page of its plan; `gpus` are those of its forecast, as for `ftc plan`."""
    options = Options(tuple(overrides), progress=progress, gpus=tuple(gpus))
    with open_cache(recipe) as cache:
        made = _planned(recipe, options, cache)
        result = made.result
        findings = sort_findings((*result.findings, *damaged(cache)))
        if not result.ok or result.plan is None or result.digest is None:
            return PlanPage(recipe, findings, None)
        page = page_bytes(_material(made, recipe, findings))
        return PlanPage(recipe, findings, page, result.plan.name, result.digest)


def _planned(recipe: Path, options: Options, cache: Cache) -> Planned:
    """The plan, with the bytes of its rows checked, as they are read; damaged ones are made again."""
    made = planned(recipe, options, cache)
    return made if is_whole(cache, "data", made.result.data) else planned(recipe, options, cache)


def _material(made: Planned, recipe: Path, findings: tuple[Finding, ...]) -> Material:
    result, rows = made.result, made.rows
    assert result.plan is not None  # noqa: S101 - the caller has looked
    assert result.digest is not None  # noqa: S101
    return Material(
        kind="plan",
        plan=result.plan,
        digest=result.digest,
        recipe_name=recipe.name,
        recipe_text=made.loaded.text,
        directory=result.data,
        viewer=rows.viewer if rows is not None else None,
        lints=result.lints,
        forecasts=result.forecasts,
        findings=findings,
    )
