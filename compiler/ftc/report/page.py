"""A whole page: the template filled in, with its style and its script inside and nothing else allowed."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from ftc import __version__
from ftc.cli.layout import number
from ftc.report import content
from ftc.report.answers import suite_answers
from ftc.report.curves import charts, read_record
from ftc.report.examples import page_examples
from ftc.report.flow import equation, flow_picture
from ftc.report.lengths import length_picture, said, sides_of
from ftc.report.material import Material, Run
from ftc.report.measured import suite_pages
from ftc.report.memory import colours, cost_words, device_rows, memory_picture, time_rows
from ftc.report.text import clipped, coded, finalize
from ftc.runtime.metrics import METRICS

RECIPE = 40_000
"""Characters of a recipe, or of a query, that are shown."""


def page_bytes(material: Material) -> bytes:
    """The page in UTF-8: a function of what it is made of. Raises OSError and ValueError."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = lambda digest: digest[:16]
    environment.filters["number"] = number
    environment.filters["coded"] = coded
    template = environment.from_string(_packaged("page.html.j2"))
    style, script = _packaged("page.css"), _packaged("page.js")
    text = template.render(
        material=material,
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - files of this package
        script=Markup(script),  # noqa: S704
        version=__version__,
        **_common(material),
        **_data(material),
        **_run(material.run),
    )
    return text.encode("utf-8", "backslashreplace")


def _packaged(name: str) -> str:
    return files("ftc.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _policy(style: str, script: str) -> str:
    """The content security policy: this style and this script, and nothing from anywhere."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _common(material: Material) -> dict[str, Any]:
    plan, forecasts = material.plan, material.forecasts
    own = forecasts.own if forecasts is not None else None
    return {
        "lede": content.lede(plan),
        "tiles": content.tiles(material),
        "training_facts": content.training_facts(plan),
        "arguments": content.arguments(plan),
        "choices": content.choice_rows(material),
        "lints": None if material.lints is None else content.lint_rows(material.lints),
        "findings": content.other_findings(material.findings),
        "digests": content.digest_rows(plan),
        "packages": content.packages(plan),
        "queries": [(name, *clipped(sql, RECIPE)) for name, sql in content.queries(plan)],
        "recipe": clipped(material.recipe_text, RECIPE),
        "own": own,
        "memory": memory_picture(own.memory, own.device) if own is not None and own.memory else None,
        "kinds": colours([own, *forecasts.others]) if own is not None and forecasts is not None else (),
        "devices": device_rows(forecasts) if forecasts is not None else (),
        "times": time_rows(own) if own is not None else (),
        "cost": cost_words(own) if own is not None else "",
    }


def _data(material: Material) -> dict[str, Any]:
    plan, directory = material.plan, material.directory
    if plan.data is None:
        return {"flow": None, "lengths": None, "examples": ()}
    limit = plan.limits.max_length if plan.limits is not None else None
    sides = sides_of(plan.data, directory, limit) if directory is not None else None
    return {
        "flow": flow_picture(plan.data),
        "equation": equation(plan.data.ledger),
        "ledger": content.ledger_rows(plan.data),
        "parts": content.part_rows(plan.data),
        "data_facts": content.data_facts(plan),
        "lengths": length_picture(sides) if sides is not None else None,
        "length_words": said(sides) if sides is not None else "",
        "examples": page_examples(material.viewer) if material.viewer is not None else (),
        "trains": plan.data.train.trained_tokens > 0,
    }


def _run(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {"suites": (), "answers": (), "charts": (), "about": {}}
    places = ((run.directory, run.measured), *run.later)
    return {
        "suites": [
            page for place, told in places for page in suite_pages(told, later=place != run.directory)
        ],
        "answers": [answers for place, told in places for answers in suite_answers(place, told)],
        "charts": charts(read_record(run.directory / METRICS), run.about.get("kept_step")),
        "about": run.about,
    }
