"""The saved model loads with plain PEFT and transformers, and says nothing of this machine."""

from __future__ import annotations

import json

import pytest
from in_process import Ran, execute

from ftc.runtime.save import portable_adapter_config, tokenizer_config
from tiny_plan import Tiny

QUESTION = "the quick brown"


def logits(model, tokenizer):
    import torch

    ids = tokenizer(QUESTION, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(input_ids=ids["input_ids"]).logits


def test_adapter_loads_in_three_lines(lora_run: Ran, tiny: Tiny, monkeypatch):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.chdir(lora_run.directory)
    base = AutoModelForCausalLM.from_pretrained(tiny.model, dtype="float32")
    before = logits(base, AutoTokenizer.from_pretrained(tiny.model))
    model = PeftModel.from_pretrained(base, "model")
    tokenizer = AutoTokenizer.from_pretrained("model")
    after = logits(model, tokenizer)
    assert (before - after).abs().max() > 0.1
    ids = tokenizer(QUESTION, add_special_tokens=False, return_tensors="pt")["input_ids"]
    made = model.generate(input_ids=ids, max_new_tokens=8, do_sample=False, eos_token_id=2, pad_token_id=0)
    assert made.shape[1] > ids.shape[1]


def test_adapter_answers_as_it_was_evaluated(lora_run: Ran, tiny: Tiny):
    """The adapter from the disk on the pristine base gives the loss that eval.json states."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from ftc.runtime.heldout import Heldout
    from ftc.runtime.score import row_losses

    base = AutoModelForCausalLM.from_pretrained(tiny.model, dtype="float32")
    model = PeftModel.from_pretrained(base, str(lora_run.directory / "model")).eval()
    held = Heldout.read(tiny.eval, tiny.data)
    rows = range(len(held.ids))
    with torch.no_grad():
        found = row_losses(model, [held.tokens(r) for r in rows], [held.mask(r) for r in rows], pad_id=0)
    told = json.loads((lora_run.directory / "eval.json").read_text())
    mean = sum(loss for loss, _ in found) / sum(count for _, count in found)
    assert mean == pytest.approx(told["after"]["loss"], rel=1e-5)


def test_full_weights_load(full_run: Ran):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = full_run.directory / "model"
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    ids = tokenizer(QUESTION, add_special_tokens=False, return_tensors="pt")["input_ids"]
    made = model.generate(input_ids=ids, max_new_tokens=8, do_sample=False)
    assert tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True) == " fox"


@pytest.mark.parametrize("fixture", ["lora_run", "full_run"])
def test_no_trace_of_this_machine(fixture, tiny: Tiny, request):
    ran = request.getfixturevalue(fixture)
    for path in (ran.directory / "model").glob("*.json"):
        text = path.read_text()
        assert str(tiny.model.parent) not in text, path
        assert str(ran.directory.parent) not in text, path
    assert not (ran.directory / "model/README.md").exists()


def test_adapter_config_names_the_base_as_the_recipe_does(lora_run: Ran):
    config = json.loads((lora_run.directory / "model/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "models/tiny"
    assert config["target_modules"] == sorted(config["target_modules"])


def test_tokenizer_is_copied_byte_for_byte(lora_run: Ran, tiny: Tiny):
    name = "tokenizer.json"
    assert (lora_run.directory / "model" / name).read_bytes() == (tiny.model / name).read_bytes()


def test_the_trained_template_is_saved(tiny: Tiny, tmp_path):
    from transformers import AutoTokenizer

    plan = tiny.plan(steps=1)
    template = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}\n"
    render = plan.render.model_copy(update={"chat_template": template, "form": "chat"})
    ran = execute(tiny, plan.model_copy(update={"render": render}), tmp_path / "run")
    assert ran.status == 0, ran.log
    assert (ran.directory / "model/chat_template.jinja").read_text() == template
    tokenizer = AutoTokenizer.from_pretrained(ran.directory / "model")
    said = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert said == "<|im_start|>hi<|im_end|>"


def test_tokenizer_config_is_cleaned():
    config = {
        "tokenizer_class": "TokenizersBackend",
        "is_local": True,
        "local_files_only": True,
        "model_max_length": 10**30,
        "chat_template": "t",
        "eos_token": "<e>",
    }
    kept = tokenizer_config(config, own_template=True)
    assert kept == {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<e>"}
    assert tokenizer_config({"model_max_length": 512, "chat_template": "t"}, own_template=False) == {
        "model_max_length": 512,
        "chat_template": "t",
    }


def test_sets_in_adapter_configs_are_sorted():
    config = {"r": 4, "target_modules": ["v", "q"], "base_model_name_or_path": "/here", "rank_pattern": {}}
    made = portable_adapter_config(config, "hub/base")
    assert made["target_modules"] == ["q", "v"]
    assert made["base_model_name_or_path"] == "hub/base"


def test_environment_is_written(lora_run: Ran):
    import torch

    told = json.loads((lora_run.directory / "environment.json").read_text())
    assert told["threads"] == torch.get_num_threads()
    assert told["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert told["cpu"]
