"""GGUF files before llama.cpp itself: its tokens, its template engine, its probabilities."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from export_runs import CHATS, Runs
from ftc.diagnostics import Finding
from ftc.export import converter, llama_cpp
from ftc.export.go_template import collated, execute
from ftc.export.work import Options
from ftc.jobs.exporting import export
from ftc.jobs.opening import OpenRun, opened
from ftc.runtime.exported import off


@pytest.mark.parametrize(("form", "dimensions"), [("q8_0", 2), ("f16", 2), ("bf16", 2), ("q8_0", 1)])
def test_rounding_is_allowed_and_no_more(form: str, dimensions: int):
    import gguf
    import torch

    torch.manual_seed(0)
    old = torch.randn(64, 96) * torch.logspace(-3, 2, 64)[:, None]
    kinds = {"q8_0": "Q8_0", "f16": "F16", "bf16": "BF16"}
    kind = gguf.GGMLQuantizationType[kinds[form]]
    new = torch.from_numpy(gguf.dequantize(gguf.quantize(old.numpy(), kind), kind)).float()
    if dimensions == 1:
        assert off(old[0], new[0], form) > 1  # what has one dimension is not rounded
        return
    assert 0.5 < off(old, new, form) <= 1
    new[3, 5] += 0.02 * float(old[3].abs().max())
    assert off(old, new, form) > 1


def test_where_there_is_no_converter_the_command_is_told(
    chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(converter.PLACE, str(tmp_path))
    (found,) = export(chat, Options("gguf"), tmp_path / "out").findings
    assert found.code == "FTC777"
    assert "pip install --no-deps --target" in found.help[0]


def test_what_the_converter_says_is_told():
    said = "INFO:hf-to-gguf:Loading\nERROR:hf-to-gguf:Model FooForCausalLM is not supported\n"
    assert list(converter.reasons(said)) == ["Model FooForCausalLM is not supported"]
    raised = "Traceback\n  File x\nNotImplementedError: BPE pre-tokenizer was not recognized - update\n"
    assert "splits text" in next(converter.reasons(raised))


@pytest.fixture(scope="module")
def installed() -> None:
    if isinstance(converter.find(), Finding):
        pytest.skip("llama.cpp's converter is not installed: docs/export.md has the command")
    pytest.importorskip("xllamacpp")


@pytest.mark.slow
def test_llama_cpp_reads_what_was_trained(known: Runs, installed: None, tmp_path: Path):
    from ftc.export.torch_work import texts_to_read
    from ftc.runtime import exported
    from ftc.runtime.ready import read_plan

    run = opened(known.build("tickets", CHATS))
    assert isinstance(run, OpenRun)
    result = export(run.directory, Options("ollama", quantise="q8_0"), tmp_path / "out")
    assert result.ok, result.findings
    checks = {check["name"]: check for check in result.report["checks"]}
    assert checks["llama.cpp"]["prompts"] == [40, 40]
    assert checks["tokens"]["tokens"] == [49152, 49152]
    assert 0.5 < checks["tensors"]["worst"] <= 1
    (file,) = (tmp_path / "out").glob("*.gguf")
    text = (tmp_path / "out/Modelfile").read_text()
    assert f"FROM ./{file.name}\n" in text
    assert 'PARAMETER stop "<|im_end|>"\n' in text
    template = re.search(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    assert template is not None
    talk = [{"role": "system", "content": "S"}, {"role": "user", "content": "{{ .x }} U"}]
    assert execute(template[1], collated(talk)) == run.rendered(talk)
    prompts = texts_to_read(run)[-6:]
    found = llama_cpp.asked(file, answers=prompts, longest=2)
    assert isinstance(found, dict), found
    base = run.base()
    assert isinstance(base, Path)
    model = exported.reference(read_plan(run.directory / "plan.json"), base, run.model)
    for ids, answer in zip(prompts, found["answers"], strict=True):
        ours = exported.read(model, [ids])[0][-1].log_softmax(-1)
        assert answer["tokens"][0] == int(ours.argmax())
        assert len(answer["first"]) == 5
        for number, logarithm in answer["first"]:
            assert float(ours[number]) == pytest.approx(logarithm, abs=0.02)


@pytest.mark.slow
def test_a_tokenizer_that_llama_cpp_does_not_know_is_refused(chat: Path, installed: None, tmp_path: Path):
    (found,) = export(chat, Options("gguf"), tmp_path / "out").findings
    assert found.code == "FTC777"
    assert "splits text" in found.notes[0]
    assert not (tmp_path / "out").exists()
