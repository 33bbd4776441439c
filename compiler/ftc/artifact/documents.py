"""What is written into a run once training has ended, before its manifest: one line a document, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from ftc.artifact.chain import ChainedRun
from ftc.artifact.files import write_bytes
from ftc.plan.steps import Plan

DOCUMENTS: tuple[tuple[str, str], ...] = (
    ("README.md", "ftc.artifact.cards.model_card:document"),
    ("DATA_CARD.md", "ftc.artifact.cards.data_card:document"),
    ("data/croissant.json", "ftc.artifact.cards.croissant:document"),
    ("report.html", "ftc.report.of_run:document"),
    ("provenance.json", "ftc.artifact.provenance:document"),
)
"""Names within the run, and the function that makes each, as `module:function`, imported when it is needed.

A later one may read the files of those before it. What a function makes depends on the plan and on the run's
own files alone (not on timing.json): no time of day, no name of the machine, no absolute path.
"""


@dataclass(frozen=True)
class Finished:
    """A run whose training and evaluation have ended, and which has no manifest yet.

    `directory` holds its files, `measured` is what eval.json says and `about` what training.json says;
    `chain` has the runs that it builds on, the first one first; `digest` is the plan's.
    """

    plan: Plan
    digest: str
    directory: Path
    name: str
    recipe_text: str
    measured: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    chain: tuple[ChainedRun, ...] = ()


Document = Callable[[Finished], bytes | None]


def _loaded(named: str) -> Document:
    module, _, function = named.partition(":")
    found: Document = getattr(import_module(module), function)
    return found


def write_documents(run: Finished) -> None:
    """Write all documents of a run into it; one which has nothing to say is left out. Raises OSError."""
    for name, made_by in DOCUMENTS:
        content, place = _loaded(made_by)(run), run.directory / name
        if content is None:
            place.unlink(missing_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, content)
