"""Merged weights, adapters and vLLM's directory: what is compared, and by whom else it can be compared."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ftc.cli.main import run as ftc
from ftc.export import TARGETS, load, vllm
from ftc.export.torch_work import DIVERGENCE, logits_check
from ftc.export.work import Options, Work
from ftc.jobs.exporting import ExportResult, export
from ftc.jobs.opening import OpenRun, opened

FIGURES = {"positions": 9, "texts": 2, "largest": 0.1, "spread": 1.0, "divergence": 0.04, "same": 1.0}


def checks(result: ExportResult) -> dict[str, dict]:
    assert result.ok, result.findings
    return {check["name"]: check for check in result.report["checks"]}


@pytest.fixture(scope="module")
def merged(chained: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    import subprocess

    from export_runs import here

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", here(subprocess.run))
        return export(chained, Options("merged"), tmp_path_factory.mktemp("merged") / "out")


def test_merged_weights_give_what_the_adapters_give(merged: ExportResult, chained: Path, chat: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = checks(merged)
    assert found["logits"]["largest"] < found["logits"]["tolerance"]["largest"] == pytest.approx(1e-3)
    assert found["prompts"]["conversations"] == [16, 16]
    assert found["prompts"]["own_prompts"][0] > 20
    tiny = json.loads((chat / "plan.json").read_text())["model"]["location"]
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(chat / "model")).merge_and_unload()
    adapted = PeftModel.from_pretrained(model, str(chained / "model")).eval()
    whole = AutoModelForCausalLM.from_pretrained(merged.directory, dtype=torch.float32).eval()
    tokens = AutoTokenizer.from_pretrained(merged.directory).apply_chat_template(
        [{"role": "user", "content": "the fox"}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    difference = (adapted(tokens).logits - whole(tokens).logits).abs().max()
    assert difference < 1e-4
    assert (
        AutoModelForCausalLM.from_pretrained(tiny)(tokens).logits - whole(tokens).logits
    ).abs().max() > 0.01


def test_an_export_is_made_once_and_never_over_something_else(
    merged: ExportResult, chained: Path, capsys: pytest.CaptureFixture[str]
):
    place = merged.directory
    assert export(chained, Options("merged"), place).there
    assert ftc(["export", str(chained), "--to", "merged", "--out", str(place)]) == 0
    assert "logits" in capsys.readouterr().out
    assert export(chained, Options("merged", "bfloat16"), place).findings[0].code == "FTC776"
    report = json.loads((place / "export.json").read_text())
    assert report["run"]["plan"].startswith(chained.name)
    assert set(report["files"]) == {path.name for path in place.iterdir()} - {"export.json"}
    (place / "config.json").write_text("{}")
    assert export(chained, Options("merged"), place).findings[0].code == "FTC776"


def test_all_weights_are_rounded_and_the_loss_is_told(plain: Path, tmp_path: Path):
    from safetensors.torch import load_file

    result = export(plain, Options("merged", "bfloat16"), tmp_path / "out")
    assert 0 < checks(result)["logits"]["divergence"] < DIVERGENCE["bfloat16"]
    ours, theirs = (load_file(place / "model.safetensors") for place in (plain / "model", tmp_path / "out"))
    assert ours.keys() == theirs.keys()
    assert all((ours[name].bfloat16() == theirs[name]).all() for name in ours)
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"
    assert export(plain, Options("adapter"), tmp_path / "other").findings[0].code == "FTC774"


def test_an_export_that_is_something_else_is_not_kept(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from ftc.runtime import exported

    honest = exported._as
    monkeypatch.setattr(exported, "_as", lambda tensor, dtype: honest(tensor, dtype) * 1.5)
    result = export(plain, Options("merged"), tmp_path / "out")
    assert [found.code for found in result.findings] == ["FTC775"]
    assert "largest difference" in result.findings[0].notes[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "dtype", "passes"),
    [
        ({"largest": 0.9e-3}, "float32", True),
        ({"largest": 1.1e-3}, "float32", False),
        ({}, "q8_0", True),
        ({"divergence": 0.06}, "q8_0", False),
        ({"finite": False}, "float16", False),
    ],
)
def test_what_passes_is_stated(changed: dict, dtype: str, passes: bool):
    found = {**FIGURES, "finite": True, **changed}
    found["divergence"] = found["divergence"] if dtype != "float16" else 0.0
    assert logits_check(found, dtype).passed == passes


def test_vllm_s_directory_serves_the_adapter_on_its_base(chat: Path, tmp_path: Path):
    from peft import PeftConfig

    result = export(chat, Options("vllm"), tmp_path / "out")
    assert checks(result)["logits"]["largest"] == 0
    words = shlex.split((tmp_path / "out/serve.sh").read_text().splitlines()[-1])
    assert words[:3] == ["exec", "vllm", "serve"]
    assert Path(words[3], "config.json").is_file()
    assert words[words.index("--max-lora-rank") + 1] == "8"  # the least that holds rank 4
    assert words[words.index("--lora-modules") + 1] == "chats=./adapter"
    template = (tmp_path / "out" / words[words.index("--chat-template") + 1]).read_text()
    assert template == (chat / "model/chat_template.jinja").read_text()
    adapter = PeftConfig.from_pretrained(str(tmp_path / "out/adapter"))
    assert adapter.r == 4
    pinned = json.loads((tmp_path / "out/adapter/base_model.json").read_text())
    assert pinned["weights"][0]["sha256"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["score"]}, "whole"),
        ({"bias": "all"}, "biases"),
        ({"r": 600}, "600"),
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"peft_type": "IA3"}, "IA3"),
        ({}, ""),
    ],
)
def test_what_vllm_does_not_serve_is_merged(chat: Path, tmp_path: Path, changed: dict, said: str):
    config = json.loads((chat / "model/adapter_config.json").read_text())
    (tmp_path / "model").mkdir()
    (tmp_path / "model/adapter_config.json").write_text(json.dumps({**config, **changed}))
    run = opened(chat)
    assert isinstance(run, OpenRun)
    why = vllm.unserved(replace(run, directory=tmp_path))
    assert said in why
    assert bool(why) == bool(said)


def test_every_target_has_a_module_and_says_what_it_refuses(chat: Path, tmp_path: Path):
    run = opened(chat)
    assert isinstance(run, OpenRun)
    head = run.ready.objective.model_copy(update={"head": "embedding", "name": "embedding"})
    other = replace(run, ready=replace(run.ready, objective=head))
    for name in TARGETS:
        assert callable(load(name))
    for name in ("merged", "gguf", "ollama", "vllm"):
        found = load(name)(Work(other, Options(name), tmp_path))
        assert found.code == "FTC774"
        assert "vector" in " ".join((found.message, *found.help))


@pytest.mark.parametrize(
    "words",
    [
        ["--to", "gguf", "--dtype", "float16"],
        ["--to", "merged", "--quantise", "q8_0"],
        ["--to", "merged", "--push"],
        ["--to", "hub"],
        ["--to", "exe"],
    ],
)
def test_options_that_say_nothing_to_a_target_are_usage(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert ftc(["export", "nothing", *words]) == 2
    assert "error" in capsys.readouterr().err
