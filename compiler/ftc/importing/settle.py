"""What the recipe language refuses of a draft stays out of the recipe, and its keys are told so."""

from __future__ import annotations

from dataclasses import replace

from ftc.diagnostics import Finding, Source
from ftc.importing.draft import Draft, Verdict, Where
from ftc.importing.write import recipe_text
from ftc.recipe import contradictions, mistakes, templates
from ftc.recipe.layers import Layer, Origins
from ftc.recipe.partial import partial_recipe
from ftc.recipe.syntax import read_toml

NEEDED: tuple[Where, ...] = (("model", "base"), ("data", "sources"), ("data", "query"), ("data", "mix"))
"""Settings without which there is no recipe: what is wrong with them is for a person to mend."""


NAME = ("train", "objective", "name")


def settle(draft: Draft, title: str) -> tuple[str, tuple[Finding, ...]]:
    """The recipe's text, and what is wrong with it that leaving a setting out would not mend."""
    while True:
        text, _ = recipe_text(draft, title)
        layer, found = _refused(draft, text)
        gone = {where: finding for finding in found if (where := _setting(draft, layer, finding))}
        if not gone:
            return text, tuple(found)
        for where, finding in gone.items():
            _leave_out(draft, where, finding)


def _refused(draft: Draft, text: str) -> tuple[Layer, list[Finding]]:
    """Everything that `ftc check` says of the text alone."""
    from ftc.facts.trl_fields import check_trl_options

    document = read_toml(Source("recipe.toml", text))
    layer = Layer(Source("recipe.toml", text), document.values, document.places, draft.home.recipe)
    origins = Origins((layer,), layer)
    recipe, wrong = mistakes.typed(layer.values, origins)
    found = [*document.findings, *wrong, *contradictions.find(layer.values, origins)]
    found += templates.check(layer.values, origins)
    left = recipe or partial_recipe(layer.values)[0]
    if left is not None:
        found += check_trl_options(left, origins, draft.objective)
    return layer, found


def _setting(draft: Draft, layer: Layer, finding: Finding) -> Where | None:
    """The setting at a finding's place which can be left out; None where it is needed, or there is none."""
    if finding.span is None or finding.code in ("FTC106", "FTC227"):
        return None
    at = finding.span.start
    ranges = [*layer.places.keys.items(), *layer.places.values.items()]
    inside = [path for path, (start, end) in ranges if start <= at < max(end, start + 1)]
    for path in sorted(inside, key=len, reverse=True):
        where = tuple(part for part in path if isinstance(part, str))
        fitting = [one for one in draft.settings if one == where[: len(one)]]
        if fitting:
            best = max(fitting, key=len)
            needed = any(best[: len(one)] == one for one in NEEDED)
            return None if needed or best == NAME else best
    return None


def _leave_out(draft: Draft, where: Where, finding: Finding) -> None:
    """Take a setting out; the keys that were in it are not carried over."""
    setting = draft.settings.pop(where)
    name = ".".join(where)
    verdict = Verdict("not_carried", why=finding.message, instead="; ".join(finding.help[:1]))
    for key, old in draft.verdicts.items():
        if name not in old.to:
            continue
        left = tuple(to for to in old.to if to != name)
        draft.verdicts[key] = replace(old, to=left) if left and key not in setting.keys else verdict
