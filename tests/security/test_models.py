"""Models are data: no pickle is opened, and code that comes with one runs only where it is trusted."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

import ftc
from ftc.diagnostics import Finding
from ftc.facts.locate_model import Located
from ftc.facts.model import ModelFacts, local_weights, read_model, weights_finding
from ftc.recipe.load import load_recipe

RECIPE = '[model]\nbase = "./model"\n{more}[data]\nsources.rows = "rows.csv"\n'
CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

open(__file__ + ".ran", "w").close()


class OwnConfig(LlamaConfig):
    model_type = "ftc_own"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("ran").touch, ())


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe beside a model of which each test changes something."""
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "rows.csv").write_text("prompt,completion\na,b\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(model: Path, *, where: str = "modeling_own") -> None:
    """Make a model's architecture one that only its own code has."""
    config = json.loads((model / "config.json").read_text())
    names = {"AutoConfig": f"{where}.OwnConfig", "AutoModelForCausalLM": f"{where}.OwnForCausalLM"}
    own = {"model_type": "ftc_own", "architectures": ["OwnForCausalLM"], "auto_map": names}
    (model / "config.json").write_text(json.dumps({**config, **own}))
    (model / "modeling_own.py").write_text(CODE)


def facts(place: Path, more: str = "") -> ModelFacts | Finding:
    (place / "recipe.toml").write_text(RECIPE.replace("{more}", more))
    loaded = load_recipe(place / "recipe.toml")
    assert loaded.recipe is not None, loaded.findings
    model, trusted = place / "model", loaded.recipe.model.trust_remote_code
    located = Located("./model", "directory", model, None, trusted)
    return read_model(located, model, loaded.origins, weights=local_weights(model))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "adapter_model.bin", "weights.pkl"])
def test_pickled_weights_are_refused_with_the_way_to_convert_them(place: Path, name: str) -> None:
    (place / "model" / "model.safetensors").unlink()
    (place / "model" / name).write_bytes(pickle.dumps(Evil()))
    (place / "recipe.toml").write_text(RECIPE.replace("{more}", ""))
    findings = [finding for finding in ftc.check(place / "recipe.toml").findings if finding.code == "FTC405"]
    assert len(findings) == 1
    assert name in findings[0].message
    assert "weights_only=True" in " ".join(findings[0].help)
    assert not (place / "ran").exists()


def test_pickles_beside_safetensors_are_never_opened(place: Path) -> None:
    from ftc.runtime.load import load_model

    (place / "model" / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    found = facts(place)
    assert isinstance(found, ModelFacts)
    assert weights_finding(place / "model", load_recipe(place / "recipe.toml").origins) is None
    load_model(found.step("float32"), place / "model")
    assert not (place / "ran").exists()


def test_code_of_a_model_does_not_run_unless_the_recipe_says_so(place: Path) -> None:
    own(place / "model")
    refused = facts(place)
    assert isinstance(refused, Finding)
    assert refused.code == "FTC228"
    assert "modeling_own.OwnConfig" in refused.notes[0]
    assert not list(place.rglob("*.ran"))


def test_trusted_code_is_pinned_by_its_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.artifact.inputs_lock import _model as entries_of_model
    from ftc.runtime.failure import BuildError
    from ftc.runtime.load import load_model, verify

    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(place / "modules"))
    own(place / "model")
    found = facts(place, "trust_remote_code = true\n")
    assert isinstance(found, ModelFacts)
    step = found.step("float32")
    assert [file.name for file in step.code] == ["modeling_own.py"]
    assert ("model", "files", "modeling_own.py") in entries_of_model(step, ("model",))
    verify(step, place / "model")
    assert type(load_model(step, place / "model")).__name__ == "OwnForCausalLM"
    (place / "model" / "modeling_own.py").write_text(CODE + "# changed\n")
    with pytest.raises(BuildError, match=r"modeling_own\.py"):
        verify(step, place / "model")


@pytest.mark.parametrize("where", ["someone/else--modeling_own", None])
def test_code_that_cannot_be_pinned(place: Path, where: str | None) -> None:
    if where is not None:
        own(place / "model", where=where)
    refused = facts(place, "trust_remote_code = true\n")
    assert isinstance(refused, Finding)
    assert refused.code == "FTC229"


def test_a_model_that_transformers_has_needs_no_code(place: Path) -> None:
    """Its configuration may name code; transformers' own is loaded, and files beside it are left alone."""
    config = json.loads((place / "model" / "config.json").read_text())
    named = {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    (place / "model" / "config.json").write_text(json.dumps({**config, "auto_map": named}))
    (place / "model" / "modeling_own.py").write_text(CODE)
    found = facts(place)
    assert isinstance(found, ModelFacts)
    assert found.code == ()
    from ftc.runtime.load import load_model

    assert type(load_model(found.step("float32"), place / "model")).__name__ == "LlamaForCausalLM"
    assert not list(place.rglob("*.ran"))


def test_plans_of_other_models_are_as_they_were(place: Path) -> None:
    found = facts(place)
    assert isinstance(found, ModelFacts)
    assert "code" not in found.step("float32").model_dump(mode="json")
