"""Exports of finished runs: made beside their place, checked, and renamed into it when all holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.artifact.files import sha256, write_json
from ftc.diagnostics import Finding
from ftc.export import load
from ftc.export.work import Made, Options, Work
from ftc.jobs.opening import OpenRun, opened

REPORT = "export.json"
PACKAGES = ("gguf", "huggingface_hub", "safetensors")
"""Packages that make exports, beside those that make runs."""


@dataclass(frozen=True)
class ExportResult:
    """What came of an export: `report` is what export.json says, in `directory`.

    `there` says that it was there already. A failed check is a finding, and then there is no directory.
    """

    run: Path
    to: str
    findings: tuple[Finding, ...]
    directory: Path | None = None
    report: dict[str, Any] | None = None
    lines: tuple[str, ...] = ()
    there: bool = False

    @property
    def ok(self) -> bool:
        """Whether the export is made, and is what the run is."""
        return self.directory is not None


def place_of(run: OpenRun, options: Options) -> Path:
    """Where an export goes that names no directory: beside the run, which is sealed."""
    more = [part for part in (options.dtype, options.quantise) if part]
    return run.directory.with_name(f"{run.directory.name}.exports") / "-".join([options.to, *more])


def export(
    path: Path, options: Options, out: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> ExportResult:
    """Export a run, or find that it is exported so already."""
    run = opened(path)
    if isinstance(run, Finding):
        return ExportResult(path, options.to, (run,))
    place = (out or place_of(run, options)).absolute()
    found = _there(run, options, place)
    if found is not None:
        return found
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        made = load(options.to)(Work(run, options, partial, say))
        if isinstance(made, Finding):
            return ExportResult(path, options.to, (made,))
        return _checked(run, options, made, partial, place)
    except OSError as error:
        problem = Finding("FTC776", f"the export cannot be written: {error}", place=str(place))
        return ExportResult(path, options.to, (problem,))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _there(run: OpenRun, options: Options, place: Path) -> ExportResult | None:
    """The same export as it was made before; a finding where something else is in its place."""
    if not place.exists():
        return None
    try:
        report = json.loads((place / REPORT).read_bytes())
        same = report["run"] == _identity(run) and report["options"] == options.stated()
        whole = same and all(sha256(place / name) == digest for name, digest in report["files"].items())
    except (OSError, ValueError, KeyError):
        whole = False
    if whole and not options.push:
        return ExportResult(run.directory, options.to, (), place, report, there=True)
    if whole:
        shutil.rmtree(place)  # what is pushed is made and checked again
        return None
    helps = ("name another one with --out, or delete it",)
    taken = Finding("FTC776", f"there is something else already: {place}", place=str(place), help=helps)
    return ExportResult(run.directory, options.to, (taken,))


def _identity(run: OpenRun) -> dict[str, str]:
    from ftc.artifact.chain import manifest_digest

    return {"name": run.plan.name, "plan": run.digest, "manifest_sha256": manifest_digest(run.directory)}


def _checked(run: OpenRun, options: Options, made: Made, partial: Path, place: Path) -> ExportResult:
    failed = [check for check in made.checks if not check.passed]
    if failed or not made.checks:
        notes = tuple(f"{check.name}: {check.said}" for check in failed) or ("nothing could be checked",)
        message = f"the export to {options.to} is not what the run's model is, and was not kept"
        wrong = Finding("FTC775", message, place=str(run.directory), notes=notes)
        return ExportResult(run.directory, options.to, (wrong, *made.differences))
    report = _report(run, options, made, partial)
    write_json(partial / REPORT, report)
    partial.rename(place)
    return ExportResult(run.directory, options.to, made.differences, place, report, made.lines)


def _report(run: OpenRun, options: Options, made: Made, directory: Path) -> dict[str, Any]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        "run": _identity(run),
        "options": options.stated(),
        "choices": [{"name": c.name, "value": c.value, "reason": c.reason} for c in made.choices],
        "checks": [{"name": c.name, "said": c.said, **c.figures} for c in made.checks],
        "differences": [found.message for found in made.differences],
        "packages": _packages(),
        "files": {path.relative_to(directory).as_posix(): sha256(path) for path in files},
    }


def _packages() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    from ftc.facts.machine import package_versions

    found = package_versions()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return dict(sorted(found.items()))
