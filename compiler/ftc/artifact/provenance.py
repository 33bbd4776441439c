"""provenance.json: what the model was made of, as an in-toto statement with SLSA's provenance.

The form is that of in-toto's Statement v1 (https://in-toto.io/Statement/v1) with the predicate of SLSA v1.0
(https://slsa.dev/spec/v1.0/provenance). It has no times, so that a run which is rebuilt or resumed has the
same bytes: those of one build are in timing.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ftc.artifact.chain import ChainedRun
from ftc.artifact.files import sha256
from ftc.artifact.inputs_lock import LOCK, digest_of
from ftc.artifact.lock_reading import UnreadableLockError, read_entries
from ftc.plan.steps import EvalStep, FileDigest, ModelStep, ObjectiveStep, Plan, SourceStep

if TYPE_CHECKING:
    from ftc.artifact.documents import Finished

PROVENANCE = "provenance.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:ftc:build:1"
"""How the parameters and the materials of a build are to be read: as docs/lock.md says."""

BUILDER = "urn:ftc:local"
"""Who vouches for the build: a machine of the user's own. Whoever signs the run says who that is."""

BYPRODUCTS = ("eval.json", "metrics.jsonl", "training.json")
"""Files beside the model that a build makes, but for its rows; environment.json is the machine's."""

Descriptor = dict[str, Any]
NOTHING: Mapping[str, str] = {}


def document(run: Finished) -> bytes:
    """provenance.json of a run whose other files are there, in UTF-8."""
    return statement_bytes(run.plan, run.digest, run.directory, run.chain)


def statement_bytes(
    plan: Plan, digest: str, run: Path, chain: Sequence[ChainedRun], known: Mapping[str, str] = NOTHING
) -> bytes:
    """The statement about a run, from its plan and its own files. Raises OSError.

    `known` has digests of files of the run that were read already.
    """

    def file(path: Path) -> Descriptor:
        name = path.relative_to(run).as_posix()
        return {"name": name, "digest": {"sha256": known.get(name) or sha256(path)}}

    value = {
        "_type": STATEMENT,
        "subject": [file(path) for path in _files(run, "model")],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": file(run / "recipe.toml"),
                    "lock": file(run / LOCK),
                    "plan": {"name": "plan.json", "digest": {"sha256": digest}},
                },
                "internalParameters": {
                    "device": plan.environment.device if plan.environment else "",
                    "seed": plan.seed,
                },
                "resolvedDependencies": [*_inputs(plan), *_runs(chain), *_packages(run)],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": _versions(plan)},
                "metadata": {"invocationId": f"urn:sha256:{digest}"},
                "byproducts": [file(path) for path in _byproducts(run)],
            },
        },
    }
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _files(run: Path, folder: str) -> list[Path]:
    return sorted(path for path in (run / folder).rglob("*") if path.is_file())


def _byproducts(run: Path) -> list[Path]:
    return [*_files(run, "data"), *(run / name for name in BYPRODUCTS if (run / name).is_file())]


def _versions(plan: Plan) -> dict[str, str]:
    packages = plan.environment.packages if plan.environment else {}
    return {name: packages[name] for name in ("ftc",) if name in packages}


def _inputs(plan: Plan) -> Iterator[Descriptor]:
    """The model's files, the sources', the suites' and their metrics', the teacher's and the rewards'."""
    if plan.model is not None:
        yield from _model(plan.model, "base model")
    for source in plan.sources or ():
        yield from _source(source, f"source {source.name}")
    for suite in plan.all_suites:
        yield from _suite(suite)
    if plan.objective is not None:
        yield from _objective(plan.objective)


def _suite(suite: EvalStep) -> Iterator[Descriptor]:
    for source in suite.rows.sources if suite.rows else ():
        yield from _source(source, f"source {source.name} of suite {suite.name}")
    for file in suite.harness.files if suite.harness else ():
        yield _input(file.name, file.sha256, f"task file of suite {suite.name}", {})
    for function in suite.functions:
        yield _input(function.named, function.file.sha256, f"metric {function.name}", {})


def _objective(step: ObjectiveStep) -> Iterator[Descriptor]:
    if step.teacher is not None:
        yield from _model(step.teacher, "teacher")
    for reward in step.rewards:
        if reward.model is not None:
            yield from _model(reward.model, f"reward model {reward.name}")
        if reward.python is not None and reward.source is not None:
            digest = digest_of(reward.source).removeprefix("sha256:")
            yield _input(reward.python, digest, f"reward {reward.name}", {})


def _model(step: ModelStep, role: str) -> Iterator[Descriptor]:
    config = FileDigest(name="config.json", bytes=0, sha256=step.config_sha256)
    tokenizer = FileDigest(name="tokenizer.json", bytes=0, sha256=step.tokenizer_sha256)
    for file in (config, tokenizer, *step.weights):
        more = {"uri": _address(step, file.name)} if _address(step, file.name) else {}
        yield _input(f"{step.location}/{file.name}", file.sha256, role, more)


def _address(step: ModelStep, name: str) -> str:
    """Where anybody finds a file of a model; empty for one of the user's own."""
    if step.kind == "hub":
        return f"pkg:huggingface/{quote(step.location)}@{step.revision or ''}#{quote(name)}"
    return step.location if "://" in step.location and step.kind != "run" else ""


def _source(step: SourceStep, role: str) -> Iterator[Descriptor]:
    more = {"uri": step.location} if "://" in step.location else {}
    for file in step.files:
        yield _input(file.name, file.sha256, role, more)


def _input(name: str, digest: str, role: str, more: Descriptor) -> Descriptor:
    return {"name": name, "digest": {"sha256": digest}, "annotations": {"role": role}, **more}


ROLES = {"base": "base run", "reward": "run of the reward model"}


def _runs(chain: Iterable[ChainedRun]) -> Iterator[Descriptor]:
    """The runs that this one builds on, each by its manifest."""
    for run in chain:
        more = {"uri": f"urn:sha256:{run.plan}"}
        yield _input(f"{run.name}/MANIFEST.sha256", run.manifest_sha256, ROLES[run.use], more)


def _packages(run: Path) -> Iterator[Descriptor]:
    """The packages which the run's lock lists, by name and version. Raises OSError."""
    try:
        entries = read_entries((run / LOCK).read_text(encoding="utf-8"))
    except UnreadableLockError:
        return
    versions = {path[1]: str(value) for path, value in entries.items() if path[0] == "packages"}
    for name in sorted(versions):
        kind = "generic" if name == "python" else "pypi"
        address = f"pkg:{kind}/{name}@{quote(versions[name], safe='.')}"
        yield {"name": name, "uri": address, "annotations": {"role": "package"}}
