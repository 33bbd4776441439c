"""The pass `render`: conventions, parts, columns taken along, and templates that do not fit the tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plan_facts import context_of

from ftc.data.rendering.fields import field_of
from ftc.diagnostics import Finding
from ftc.facts.shipped import shipped_templates as shipped
from ftc.facts.training_template import training_template
from ftc.plan.context import Context, Outcome
from ftc.plan.passes import objective, render
from ftc.plan.steps import Plan, RenderStep
from ftc.recipe.templates import jinja_environment
from mask.mask_cases import shipped_templates

CHAT = {"messages": "JSON"}
TRL = '[render]\nconvention = "trl"\n'


def outcome(context: Context, template: str | None = None) -> Outcome:
    if template is not None:
        facts = replace(context.facts, chat_template=template, training_template=training_template(template))
        context = replace(context, facts=facts)
    return render.run(objective.run(Plan(name="x", seed=0), context).plan, context)


def named(context: Context, name: str) -> Context:
    """The context of a recipe that names a chat template."""
    model = context.recipe.model.model_copy(update={"chat_template": name})
    return replace(context, recipe=context.recipe.model_copy(update={"model": model}))


def step_of(found: Outcome) -> RenderStep:
    assert found.plan.render is not None, found.findings
    return found.plan.render


def only(found: Outcome) -> Finding:
    (finding,) = found.findings
    return finding


def test_the_convention_of_inference_needs_no_training_template(tmp_path: Path) -> None:
    step = step_of(outcome(context_of(tmp_path, CHAT), shipped_templates()["qwen3"]))
    assert (step.convention, step.training_template) == ("inference", None)


def test_trls_convention_takes_its_template_and_keeps_the_models(tmp_path: Path) -> None:
    templates = shipped_templates()
    found = outcome(context_of(tmp_path, CHAT, TRL), templates["qwen3"])
    step = step_of(found)
    assert step.chat_template == templates["qwen3"]
    assert step.training_template == templates["qwen3_training"]
    (choice,) = [choice for choice in found.plan.choices if choice.key == "render.training_template"]
    assert choice.value == "trl: qwen3_training.jinja"
    assert "the saved tokenizer keeps the chat template" in choice.reason


def test_a_template_with_blocks_of_its_own_needs_no_other(tmp_path: Path) -> None:
    found = outcome(context_of(tmp_path, CHAT, TRL), shipped_templates()["lfm2_2_5"])
    assert step_of(found).training_template is None
    (choice,) = [choice for choice in found.plan.choices if choice.key == "render.training_template"]
    assert choice.value == "the chat template"


def test_without_a_training_template_there_is_a_way_out(tmp_path: Path) -> None:
    finding = only(outcome(context_of(tmp_path, CHAT, TRL), shipped_templates()["llama3_1"]))
    assert finding.code == "FTC311"
    assert 'convention = "inference"' in finding.help[0]


@pytest.mark.parametrize("key", ['convention = "trl"', 'tool_calls = "mask"'])
def test_plain_text_has_no_turns(tmp_path: Path, key: str) -> None:
    columns = {"prompt": "VARCHAR", "completion": "VARCHAR"}
    context = context_of(tmp_path, columns, f"[render]\n{key}\n")
    context = replace(context, facts=replace(context.facts, chat_template=None))
    finding = only(outcome(context))
    assert finding.code == "FTC107"
    assert key.partition(" ")[0] in finding.message


def test_parts_and_columns_reach_the_step(tmp_path: Path) -> None:
    columns = {**CHAT, "tools": "JSON", "chat_template_kwargs": "JSON", "other": "VARCHAR"}
    extra = '[render]\nreasoning = "mask"\ntool_calls = "mask"\n'
    template = "{{ tools }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    step = step_of(outcome(context_of(tmp_path, columns, extra), template))
    assert (step.reasoning, step.tool_calls) == ("mask", "mask")
    assert step.fields == {"messages": None, "tools": None, "chat_template_kwargs": None}


def test_a_base_model_is_told_which_templates_fit_it(tmp_path: Path) -> None:
    context = context_of(tmp_path, CHAT)
    finding = only(outcome(replace(context, facts=replace(context.facts, chat_template=None))))
    assert finding.code == "FTC306"
    assert 'chat_template = "alpaca"' in finding.help[0]
    assert "`zephyr`" in finding.notes[0]
    assert "llama3" not in finding.notes[0]


def test_a_template_whose_tokens_are_missing_is_refused(tmp_path: Path) -> None:
    context = named(context_of(tmp_path, CHAT), "llama3")
    finding = only(outcome(context, shipped()["llama3"].read_text("utf-8")))
    assert finding.code == "FTC307"
    assert "writes tokens that this tokenizer does not have" in finding.message
    assert "`<|eot_id|>`" in finding.notes[0]
    assert "`alpaca`" in finding.help[0]


def test_a_template_that_ends_turns_with_no_token_is_refused(tmp_path: Path) -> None:
    context = named(context_of(tmp_path, CHAT), "own.jinja")
    finding = only(outcome(context, "{% for m in messages %}{{ m.content }}<end>{% endfor %}"))
    assert finding.code == "FTC307"
    assert "a model could not stop" in finding.message
    assert outcome(context, "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}").findings == ()


def test_a_line_end_at_a_templates_end_is_kept_and_said(tmp_path: Path) -> None:
    render_table = '[render]\nchat = false\nprompt = "{{ prompt }}\\n"\ncompletion = "{{ completion }}"\n'
    found = outcome(context_of(tmp_path, {"prompt": "VARCHAR", "completion": "VARCHAR"}, render_table))
    said = [choice.key for choice in found.plan.choices if choice.value == "ends with a line end"]
    assert said == ["render.prompt"]
    source = step_of(found).fields["prompt"]
    row = {"prompt": "one\n"}
    assert field_of("prompt", source)(row) == "one\n\n"
    assert jinja_environment().from_string(source or "").render(row) == "one\n\n"
