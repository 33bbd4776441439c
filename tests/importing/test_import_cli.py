"""`ftc import` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.cli import main
from importing.peer_configs import ALL, text_of


@pytest.fixture
def config(home: Path) -> Path:
    file = home / "axolotl.yml"
    file.write_text(text_of("axolotl", "qlora_chat") + "lora_rnak: 3\n", encoding="utf-8")
    return file


def test_it_writes_a_recipe_and_says_what_is_not_in_it(
    config: Path, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert main.run(["import", "axolotl.yml"]) == 0
    out, err = capsys.readouterr()
    assert (home / "recipe.toml").read_text(encoding="utf-8").startswith("# Made by `ftc import`")
    assert "Wrote recipe.toml from axolotl.yml (axolotl)" in out
    assert "not carried over\n" in out
    assert "evals_per_epoch" in out
    assert "instead: train.eval_every, in steps" in out
    assert out.endswith("next: ftc check recipe.toml\n")
    assert "axolotl.yml:35:1" in err
    assert "FTC124" in err


def test_it_replaces_nothing_unless_told_to(
    config: Path, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    (home / "recipe.toml").write_text("mine", encoding="utf-8")
    assert main.run(["import", "axolotl.yml"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (home / "recipe.toml").read_text(encoding="utf-8") == "mine"
    assert main.run(["import", "axolotl.yml", "--force"]) == 0
    assert main.run(["import", "axolotl.yml", "-o", "nowhere/other.toml"]) == 2


def test_a_file_that_is_wrong_writes_nothing(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "a.yaml").write_text("base_model: [", encoding="utf-8")
    assert main.run(["import", "a.yaml"]) == 1
    out, _ = capsys.readouterr()
    assert "FTC121" in out
    assert not (home / "recipe.toml").exists()


def test_the_base_and_the_objective_may_come_from_the_command_line(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    (home / "t.yaml").write_text("dataset_name: org/pairs\nbeta: 0.3\n", encoding="utf-8")
    assert main.run(["import", "t.yaml", "--base", "./here"]) == 0
    assert "taken for TRL's dpo" in capsys.readouterr().out
    wish = ["--objective", "orpo", "--base", "a/b", "--force"]
    assert main.run(["import", "t.yaml", *wish]) == 0
    recipe = (home / "recipe.toml").read_text(encoding="utf-8")
    assert 'objective = { name = "orpo", beta = 0.3 }' in recipe
    assert 'base = "a/b"  # --base' in recipe
    assert main.run(["import", "t.yaml", "--objective", "nope"]) == 2
    assert main.run(["import", "t.yaml", "--from", "axolotl", "--objective", "dpo"]) == 2


def test_json_has_the_four_lists(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["import", "axolotl.yml", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (result,) = said["results"]
    assert (said["command"], said["ok"], result["ok"], result["from"]) == ("import", True, True, "axolotl")
    assert {"key": "lora_r", "to": ["tune.rank"], "note": None} in result["carried"]
    assert [one["key"] for one in result["unknown"]] == ["lora_rnak"]
    assert [one["key"] for one in result["not_carried"]] == ["evals_per_epoch", "special_tokens"]
    assert "seed" in result["written_out"]
    assert main.run(["import", "nowhere.yml", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["ok"]
    assert said["results"][0]["findings"][0]["code"] == "FTC120"


@pytest.mark.parametrize(("peer", "name"), ALL[::3])
def test_the_output_fits_80_columns(
    peer: str, name: str, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    (home / "c.yaml").write_text(text_of(peer, name), encoding="utf-8")
    assert main.run(["import", "c.yaml", "--from", peer, "-v"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "carried over\n" in out
