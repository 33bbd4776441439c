"""Python code that a model brings along: run only where the recipe trusts it, and pinned by its digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding
from ftc.facts.digests import file_digest
from ftc.facts.tokenizer import read_json
from ftc.plan.steps import FileDigest
from ftc.recipe.load import Origins

KEY = ("model", "trust_remote_code")
FILES = "*.py"
CONFIGS = ("config.json", "tokenizer_config.json")


def _references(value: Any) -> Iterator[str]:
    """The names that an `auto_map` has: `module.Class`, or `OWNER/NAME--module.Class` of another place."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def references(directory: Path) -> tuple[str, ...]:
    """What the configurations of a model directory say of Python code of the model's own."""
    found = [name for file in CONFIGS for name in _references(_map(directory / file))]
    return tuple(dict.fromkeys(found))


def _map(file: Path) -> Any:
    return read_json(file).get("auto_map") if file.is_file() else None


def is_built_in(model_type: Any) -> bool:
    """Whether the installed transformers has the model itself, so that no other code is needed."""
    spec = find_spec("transformers")
    if not isinstance(model_type, str) or not model_type or spec is None or spec.origin is None:
        return False
    folder = model_type.replace("-", "_")
    return folder.isidentifier() and (Path(spec.origin).parent / "models" / folder).is_dir()


def trusted_code(
    directory: Path, config: Mapping[str, Any], origins: Origins, *, trusted: bool
) -> tuple[FileDigest, ...] | Finding:
    """The digests of the Python files that a trusted model runs; none where it needs or is allowed none.

    A model that transformers has itself is loaded by transformers' own code unless the recipe says
    otherwise; one that it does not have is refused then (FTC228).
    """
    named = references(directory)
    if not trusted:
        return _untrusted(named, origins) if named and not is_built_in(config.get("model_type")) else ()
    elsewhere = next((name.partition("--")[0] for name in named if "--" in name), None)
    if elsewhere is not None:
        return Finding(
            "FTC229",
            f"the model's code is in another repository, `{elsewhere}`, which no commit pins",
            origins.value(*KEY),
            help=("download the model and that code into one directory, and name the directory",),
        )
    files = sorted(directory.glob(f"**/{FILES}"))
    if not named or not files:
        return Finding(
            "FTC229",
            "`trust_remote_code` is on, and the model has no Python code of its own",
            origins.value(*KEY),
            help=("remove it",),
        )
    return tuple(file_digest(path, path.relative_to(directory).as_posix()) for path in files)


def _untrusted(named: tuple[str, ...], origins: Origins) -> Finding:
    return Finding(
        "FTC228",
        "the model runs Python code of its own, which the recipe does not trust",
        origins.value("model", "base"),
        help=(
            "read that code first; then write trust_remote_code = true in [model]",
            "or name a model that transformers has itself",
        ),
        notes=(f"its configuration names {', '.join(named[:4])}",),
    )
