"""Tasks of lm-evaluation-harness that a suite names: looked up without loading the harness."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.diagnostics import Finding
from ftc.recipe.evaluation import Eval
from ftc.recipe.layers import Key, Origins

if TYPE_CHECKING:
    from ftc.plan.steps import FileDigest, HarnessStep


@dataclass(frozen=True)
class Tasks:
    """The tasks as the plan has them, and the user's task files by the names under which they are kept."""

    step: HarnessStep
    contents: dict[str, bytes]
    from_hub: tuple[str, ...] = ()
    """The tasks whose rows come from a hub, or from where the task's own code has them."""


def tasks_of(suite: Eval, at: Key, origins: Origins) -> Tasks | tuple[Finding, ...]:
    """The tasks of a suite that names some, or what is wrong with them."""
    from ftc.evaluation import harness
    from ftc.plan.steps import FileDigest, HarnessStep

    named, own = suite.tasks or (), None
    if suite.task_files is not None:
        own = origins.directory(*at, "task_files") / suite.task_files
        if not own.is_dir():
            span = origins.value(*at, "task_files")
            help_ = ("name the directory that has the task files, relative to the recipe",)
            return (Finding("FTC567", f"there is no directory `{suite.task_files}`", span, help=help_),)
    missing = harness.problems(()) or ()
    if missing:
        return tuple(replace(one, span=origins.value(*at, "tasks")) for one in missing)
    wrong = harness.unknown(named, own)
    if wrong:
        places = [(number, wrong[task]) for number, task in enumerate(named) if task in wrong]
        return tuple(replace(one, span=origins.value(*at, "tasks", number)) for number, one in places)
    contents = _contents(own) if own is not None else {}
    digests = tuple(
        FileDigest(name=name, bytes=len(content), sha256=sha256(content).hexdigest())
        for name, content in contents.items()
    )
    step = HarnessStep(
        tasks=tuple(named),
        version=harness.version(),
        directory=f"tasks-{_digest(digests)}" if own is not None else None,
        files=digests,
        limit=suite.limit,
    )
    kept = {f"{step.directory}/{name}": content for name, content in contents.items()}
    local = _local(contents)
    return Tasks(step, kept, tuple(task for task in named if task not in local))


LOCAL = re.compile(
    rb"""^["']?dataset_path["']?:[ \t]*["']?(?:json|csv|parquet|text|arrow)["']?[ \t]*\r?$""", re.MULTILINE
)


def _local(contents: dict[str, bytes]) -> set[str]:
    """The tasks of the user's files that read files, by a format's name in place of a data set's."""
    from ftc.evaluation.harness import NAMED

    files = (
        content for name, content in contents.items() if name.endswith(".yaml") and LOCAL.search(content)
    )
    return {name.decode() for content in files for name in NAMED.findall(content)}


def _contents(own: Path) -> dict[str, bytes]:
    """Every file of the directory, hidden and compiled ones aside, by its path there."""
    found = {path.relative_to(own).as_posix(): path for path in own.rglob("*") if path.is_file()}
    kept = {
        name: path
        for name, path in found.items()
        if not any(part.startswith(".") or part == "__pycache__" for part in Path(name).parts)
    }
    return {name: kept[name].read_bytes() for name in sorted(kept)}


def _digest(files: tuple[FileDigest, ...]) -> str:
    """Sixteen digits that name all the files: the same for the same names and contents."""
    listed = "".join(f"{file.sha256} {file.name}\n" for file in files)
    return sha256(listed.encode()).hexdigest()[:16]
