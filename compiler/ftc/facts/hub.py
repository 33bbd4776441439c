"""Models of the hub: resolved to a commit, with the digests the hub states for its files."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding, Span
from ftc.facts.locate_model import Located
from ftc.facts.model import (
    PICKLED,
    UNSAFE_ENDINGS,
    ModelFacts,
    convert_help,
    local_weights,
    read_model,
    weights_finding,
)
from ftc.plan.steps import FileDigest
from ftc.recipe.load import Origins

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

READ_BY_PLAN = ["*.json", "*.jinja"]
COMMIT = re.compile(r"^[0-9a-f]{40}$")


def _read_by_plan(located: Located) -> list[str]:
    """The files that a plan needs of a model; its Python code too, where the recipe trusts it."""
    return [*READ_BY_PLAN, *(["*.py"] if located.trusted else [])]


def failures() -> tuple[type[Exception], ...]:
    """What the hub's client raises where it gets no good answer; it speaks through httpx, or httpx2."""
    from huggingface_hub.errors import HfHubHTTPError

    installed = (name for name in ("httpx2", "httpx") if find_spec(name))
    return (HfHubHTTPError, OSError, *(import_module(name).TransportError for name in installed))


def _snapshot(located: Located, revision: str | None, patterns: list[str], *, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            located.location, revision=revision, allow_patterns=patterns, local_files_only=local
        )
    )


def _cached(located: Located, origins: Origins) -> ModelFacts | Finding | None:
    """The model as the hub's local cache has it, whole; None if it is not there."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        patterns = [*_read_by_plan(located), "*.safetensors"]
        directory = _snapshot(located, located.revision, patterns, local=True)
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    if weights_finding(directory, origins):
        return None
    commit = directory.name if COMMIT.match(directory.name) else None
    return read_model(located, directory, origins, weights=local_weights(directory), commit=commit)


def _stated_weights(info: ModelInfo) -> tuple[FileDigest, ...]:
    files: list[Any] = [f for f in info.siblings or [] if f.rfilename.endswith(".safetensors") and f.lfs]
    return tuple(
        FileDigest(name=f.rfilename, bytes=f.lfs.size, sha256=f.lfs.sha256)
        for f in sorted(files, key=lambda file: str(file.rfilename))
    )


def _no_weights(info: ModelInfo, located: Located, span: Span | None) -> Finding:
    """Why none of a hub model's files can be used as weights."""
    pickled = next((f.rfilename for f in info.siblings or [] if f.rfilename.endswith(UNSAFE_ENDINGS)), None)
    if pickled is None:
        return Finding("FTC405", f"the model `{located.location}` has no safetensors weights", span)
    return Finding("FTC405", PICKLED.format(name=pickled), span, help=convert_help(located.location))


def hub_facts(located: Located, origins: Origins) -> ModelFacts | Finding:
    """Configuration and tokenizer of a hub model, and its weights' digests without fetching them.

    With HF_HUB_OFFLINE set, or without a network, the hub's local cache must hold the whole model.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    span = origins.value("model", "base")
    offline = (
        "set HF_HUB_OFFLINE=0, or download it first: hf download " + located.location
        if constants.HF_HUB_OFFLINE
        else "check the network, or name a local directory"
    )
    if constants.HF_HUB_OFFLINE:
        missing = Finding(
            "FTC401",
            f"the model `{located.location}` is not in the hub's local cache, and the hub is switched off",
            span,
            help=(offline, "or name a local directory or .gguf file"),
        )
        return _cached(located, origins) or missing
    try:
        directory = _snapshot(located, located.revision, _read_by_plan(located), local=False)
        commit = directory.name  # a snapshot's directory has the name of its commit
        info = HfApi().model_info(located.location, revision=commit, files_metadata=True)
    except (RepositoryNotFoundError, HFValidationError) as error:
        return Finding(
            "FTC401",
            f"the hub has no model `{located.location}` that you may read",
            span,
            help=("check the name; for a gated model log in first: hf auth login",),
            notes=(str(error).splitlines()[0],),
        )
    except failures() as error:
        reason = str(error).splitlines()[0]
        unreachable = Finding(
            "FTC401",
            f"the model `{located.location}` cannot be read from the hub",
            span,
            help=(offline,),
            notes=(reason,),
        )
        return _cached(located, origins) or unreachable
    weights = _stated_weights(info)
    if not weights:
        return _no_weights(info, located, span)
    return read_model(located, directory, origins, weights=weights, commit=commit)


def hub_weights(facts: ModelFacts, origins: Origins) -> Path | Finding:
    """The snapshot directory with the weights, downloaded unless the local cache has them."""
    patterns = [*_read_by_plan(facts.located), "*.safetensors"]
    try:
        return _snapshot(facts.located, facts.commit, patterns, local=False)
    except failures() as error:
        return Finding(
            "FTC401",
            f"the weights of `{facts.located.location}` cannot be downloaded",
            origins.value("model", "base"),
            notes=(str(error).splitlines()[0],),
        )
