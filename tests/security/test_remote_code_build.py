"""A model with Python code of its own through a whole build: refused, allowed, pinned, and refused again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ftc
from ftc.jobs.verifying import verify_run
from runtime.in_process import launched
from security.test_models import CODE, own

pytestmark = pytest.mark.filterwarnings("ignore")
RECIPE = """name = "own"
[model]
base = "./model"
{more}[data]
sources.rows = "rows.csv"
[render]
chat = false
[train]
steps = 2
batch = 2
"""


def write(place: Path, more: str) -> Path:
    (place / "recipe.toml").write_text(RECIPE.replace("{more}", more))
    return place / "recipe.toml"


def errors(result: ftc.BuildResult | ftc.PlanResult) -> list[tuple[str, str]]:
    return [(one.code, one.message) for one in result.findings if one.severity.name == "ERROR"]


def test_trusted_code_is_built_with_and_locked(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    for module in ("ftc.artifact.build", "ftc.launch.local"):
        monkeypatch.setattr(f"{module}.launch", launched)
    shutil.copytree(tiny_model, tmp_path / "model")
    own(tmp_path / "model")
    code = f"{CODE}# of this test alone: what has run before, Python does not run again\n"
    (tmp_path / "model" / "modeling_own.py").write_text(code)
    rows = [f"what is {n},the fox {n}" for n in range(12)]
    (tmp_path / "rows.csv").write_text("\n".join(["prompt,completion", *rows]) + "\n")

    refused = ftc.build(write(tmp_path, ""))
    assert (refused.status, [code for code, _ in errors(refused)]) == ("invalid", ["FTC228"])
    assert not list(tmp_path.rglob("*.ran"))

    recipe = write(tmp_path, "trust_remote_code = true\n")
    built = ftc.build(recipe)
    assert built.status == "built", built.findings
    assert list(tmp_path.rglob("modeling_own.py.ran")), "its own code trained"
    assert built.run is not None
    assert verify_run(built.run).findings == ()
    assert '"modeling_own.py" = "sha256:' in (tmp_path / "recipe.lock").read_text()
    assert ftc.build(recipe, locked=True).status == "up to date"

    (tmp_path / "model" / "modeling_own.py").write_text(code + "# another line\n")
    changed = ftc.build(recipe, locked=True)
    assert changed.status == "invalid"
    ((named, message),) = errors(changed)
    assert named == "FTC751"
    assert "modeling_own.py" in message
