"""Bring a located model onto the disk: read it, convert a GGUF file, or fetch it from the hub."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.facts.digests import file_digest
from ftc.facts.hub import hub_facts, hub_weights
from ftc.facts.locate_model import Located
from ftc.facts.machine import package_versions
from ftc.facts.model import ModelFacts, local_weights, read_model, weights_finding
from ftc.recipe.load import Origins


def model_facts(located: Located, origins: Origins, cache: Cache) -> ModelFacts | Finding:
    """Everything the plan needs to know of the model; loads no weights."""
    if located.kind == "hub":
        return hub_facts(located, origins)
    assert located.path is not None  # noqa: S101 - only the hub has no path
    assert located.kind != "run"  # noqa: S101 - `chaining.base_facts` knows what a recipe makes
    if located.kind == "gguf":
        directory = convert_gguf(located.path, "tokenizer", cache, origins)
        if isinstance(directory, Finding):
            return directory
        weights = (file_digest(located.path, located.path.name, cache),)
        return read_model(located, directory, origins, weights=weights)
    problem = weights_finding(located.path, origins)
    return problem or read_model(located, located.path, origins, weights=local_weights(located.path, cache))


def model_directory(facts: ModelFacts, origins: Origins, cache: Cache) -> Path | Finding:
    """The directory with weights that the runtime loads."""
    if facts.located.kind == "hub":
        return hub_weights(facts, origins)
    if facts.located.kind == "gguf":
        assert facts.located.path is not None  # noqa: S101 - only the hub has no path
        return convert_gguf(facts.located.path, "model", cache, origins)
    return facts.directory


def converted_key(sha256: str, packages: Mapping[str, str], what: Literal["tokenizer", "model"]) -> str:
    """The key under which a converted GGUF file is kept: its digest, and what converts it."""
    inputs = {"gguf": sha256, "packages": dict(packages)}
    return cache_key("gguf", inputs, {"what": what}, code=code_digest("runtime/convert_gguf.py"))


def convert_gguf(
    path: Path, what: Literal["tokenizer", "model"], cache: Cache, origins: Origins
) -> Path | Finding:
    """A GGUF file as a transformers directory: configuration and tokenizer, or those and float32 weights.

    Converted once, in a process of its own, and kept by the file's digest and the versions of the
    packages that convert.
    """
    if find_spec("gguf") is None:
        return Finding(
            "FTC403",
            "reading a .gguf file needs the package `gguf`",
            origins.value("model", "base"),
            help=("install it: pip install 'ftc[gguf]'",),
        )
    key = converted_key(file_digest(path, path.name, cache).sha256, package_versions(), what)
    with cache.alone("gguf", key):
        found = cache.entry("gguf", key, deep=True)
        if found is not None:
            return found
        try:
            with cache.store("gguf", key) as directory:
                command = [sys.executable, "-m", "ftc.runtime.convert_gguf", str(path), str(directory), what]
                subprocess.run(command, capture_output=True, text=True, check=True)
        except subprocess.CalledProcessError as error:
            return _unreadable(path, str(error.stderr), origins)
        return cache.place("gguf", key)


def _unreadable(path: Path, output: str, origins: Origins) -> Finding:
    lines = [line for line in output.splitlines() if line.strip()]
    return Finding(
        "FTC403",
        f"the file `{path.name}` cannot be converted",
        origins.value("model", "base"),
        notes=(lines[-1],) if lines else (),
    )
