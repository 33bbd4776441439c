"""The passes one by one, over facts made by hand: what they choose, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_facts import COMPILED, context_of, plan_of

from ftc.facts.trl_fields import OWNED, config_fields
from ftc.objectives import load
from ftc.plan.canonical import canonical_bytes, digest
from ftc.plan.pipeline import NAMES, run_passes
from ftc.plan.steps import Plan
from ftc.plan.verify import REQUIRED, InvalidPlanError, verify

QA = {"question": "VARCHAR", "answer": "VARCHAR"}


def chosen(plan: Plan) -> dict[str, object]:
    return {choice.key: choice.value for choice in plan.choices}


def test_a_bare_recipe_is_resolved_wholly(tmp_path: Path) -> None:
    outcome = plan_of(tmp_path, {"prompt": "VARCHAR", "completion": "VARCHAR"})
    assert outcome.findings == ()
    assert all(getattr(outcome.plan, name) is not None for name in REQUIRED)
    assert b'"auto"' not in canonical_bytes(outcome.plan)
    assert all(choice.reason for choice in outcome.plan.choices)


def test_the_bytes_of_a_plan_are_the_same_every_time(tmp_path: Path) -> None:
    plans = [plan_of(tmp_path, {"text": "VARCHAR"}).plan for _ in range(2)]
    assert canonical_bytes(plans[0]) == canonical_bytes(plans[1])
    assert Plan.model_validate_json(canonical_bytes(plans[0])) == plans[0]
    assert str(tmp_path).encode() not in canonical_bytes(plans[0])


@pytest.mark.parametrize(
    ("columns", "extra", "objective", "form"),
    [
        ({"messages": "STRUCT(role VARCHAR, content VARCHAR)[]"}, "", "sft", "chat"),
        ({"messages": "JSON"}, "", "sft", "chat"),
        ({"prompt": "VARCHAR", "completion": "VARCHAR"}, "", "sft", "chat"),
        ({"prompt": "VARCHAR", "completion": "VARCHAR"}, "[render]\nchat = false", "sft", "completion"),
        ({"text": "VARCHAR"}, "", "cpt", "text"),
        (QA, '[render]\nuser = "{{ question }}"\nassistant = "{{ answer }}"', "sft", "chat"),
        (QA, '[render]\ntext = "{{ question }} {{ answer }}"', "cpt", "text"),
        (
            {"text": "VARCHAR", "prompt": "VARCHAR", "completion": "VARCHAR"},
            '[train]\nobjective = "cpt"',
            "cpt",
            "text",
        ),
    ],
)
def test_the_objective_and_the_form_follow_from_the_columns(
    tmp_path: Path, columns: dict[str, str], extra: str, objective: str, form: str
) -> None:
    outcome = plan_of(tmp_path, columns, extra)
    assert outcome.findings == ()
    assert outcome.plan.objective is not None
    assert outcome.plan.render is not None
    assert (outcome.plan.objective.name, outcome.plan.render.form) == (objective, form)
    assert ("train.objective" in chosen(outcome.plan)) == ("objective =" not in extra)


@pytest.mark.parametrize(
    ("columns", "extra", "code"),
    [
        (QA, "", "FTC501"),
        ({"text": "VARCHAR"}, '[train]\nobjective = "sft"', "FTC502"),
        ({"text": "BIGINT"}, "", "FTC209"),
        ({"messages": "VARCHAR[]"}, "", "FTC209"),
        ({"text": "VARCHAR"}, '[data.split]\neval = 0.5\ngroup = "who"', "FTC208"),
        ({"text": "VARCHAR"}, '[data]\nid = "key"', "FTC208"),
        ({"text": "VARCHAR"}, "[data]\nmax_length = 4096", "FTC506"),
        ({"text": "VARCHAR"}, '[tune]\ntargets = ["q_prj"]', "FTC505"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, columns: dict[str, str], extra: str, code: str) -> None:
    outcome = plan_of(tmp_path, columns, extra)
    assert [finding.code for finding in outcome.findings] == [code]
    assert outcome.findings[0].span is not None


def test_a_chat_needs_a_template(tmp_path: Path) -> None:
    context = context_of(tmp_path, {"messages": "JSON"})
    bare = replace(context, facts=replace(context.facts, chat_template=None))
    outcome = run_passes(Plan(name="x", seed=0), bare)
    assert [finding.code for finding in outcome.findings] == ["FTC306"]
    plain = context_of(tmp_path, {"prompt": "VARCHAR", "completion": "VARCHAR"})
    outcome = run_passes(
        Plan(name="x", seed=0), replace(plain, facts=replace(plain.facts, chat_template=None))
    )
    assert outcome.plan.render is not None
    assert outcome.plan.render.form == "completion"
    assert chosen(outcome.plan)["render.chat"] is False


def test_equal_prompts_stay_on_one_side(tmp_path: Path) -> None:
    extra = """
        [data.split]
        eval = 0.1
        [render]
        system = "{{ product }}"
        user = "{{ question }}"
        assistant = "{{ answer }}"
    """
    outcome = plan_of(tmp_path, {**QA, "product": "VARCHAR"}, extra)
    assert outcome.plan.split is not None
    assert outcome.plan.split.keys == ("product", "question")


def test_a_group_is_the_split_s_only_key(tmp_path: Path) -> None:
    outcome = plan_of(
        tmp_path,
        {"text": "VARCHAR", "who": "VARCHAR"},
        '[data.split]\neval = 5\ngroup = "who"',
    )
    assert outcome.plan.split is not None
    assert (outcome.plan.split.keys, outcome.plan.split.rows, outcome.plan.split.fraction) == (
        ("who",),
        5,
        None,
    )


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 10_000),
    batch=st.integers(1, 64),
    epochs=st.floats(0.1, 5, allow_nan=False),
    longest=st.integers(2, 512),
)
def test_steps_follow_from_rows_batch_and_epochs(
    tmp_path_factory: pytest.TempPathFactory, rows: int, batch: int, epochs: float, longest: int
) -> None:
    directory = tmp_path_factory.getbasetemp()
    data = COMPILED.model_copy(
        update={
            "train": COMPILED.train.model_copy(
                update={
                    "rows": rows,
                    "longest": longest,
                    "shortest": 1,
                    "shards": tuple(s.model_copy(update={"rows": rows}) for s in COMPILED.train.shards),
                }
            ),
            "ledger": COMPILED.ledger.model_copy(update={"read": rows + 4, "train": rows}),
        }
    )
    extra = f"[train]\nbatch = {batch}\nepochs = {epochs!r}\n[data.split]\neval = 4"
    plan = plan_of(directory, {"text": "VARCHAR"}, extra, data=data).plan
    assert plan.train is not None
    assert plan.train.steps == ceil(epochs * ceil(rows / batch))
    assert plan.train.micro_batch * plan.train.accumulation == batch
    assert plan.train.micro_batch * longest <= 16_384 or plan.train.micro_batch == 1
    assert plan.train.arguments["max_steps"] == plan.train.steps


def test_stating_what_would_be_chosen_changes_only_the_choices(tmp_path: Path) -> None:
    columns = {"text": "VARCHAR"}
    free = plan_of(tmp_path, columns).plan
    stated = plan_of(tmp_path, columns, '[train]\nepochs = 1.0\nlearning_rate = 2e-4\ndevice = "cpu"').plan
    assert free.train == stated.train
    assert set(chosen(free)) - set(chosen(stated)) == {"train.epochs", "train.learning_rate", "train.device"}
    assert digest(free) != digest(stated)


def test_the_pipeline_stops_behind_the_pass_that_is_asked_for(tmp_path: Path) -> None:
    context = context_of(tmp_path, {"text": "VARCHAR"})
    sizes = []
    for name in NAMES:
        plan = run_passes(Plan(name="x", seed=0), context, after=name).plan
        sizes.append(sum(value is not None for _, value in plan))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_metrics_follow_from_the_answers(tmp_path: Path) -> None:
    columns = {"prompt": "VARCHAR", "completion": "VARCHAR"}
    held = "[data.split]\neval = 4"
    plan = plan_of(tmp_path, columns, held).plan
    assert plan.eval is not None
    assert plan.eval.metrics == ("loss", "exact_match", "label_accuracy")
    assert plan.eval.labels == ("no", "yes")
    free = COMPILED.model_copy(update={"labels": None, "longest_target": 500})
    plan = plan_of(tmp_path, columns, held, data=free).plan
    assert plan.eval is not None
    assert plan.eval.metrics == ("loss",)
    asked = plan_of(tmp_path, columns, held + '\n[eval]\nmetrics = ["label_accuracy"]', data=free)
    assert [finding.code for finding in asked.findings] == ["FTC507"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ledger": {"read": 99}}, "unexplained"),
        ({"ledger": {"train": 3}}, "unexplained"),
        ({"train": {"rows": 11}}, "shards do not hold"),
        ({"train": {"trained_tokens": 0}}, "trained tokens"),
        ({"train": {"longest": 2000}}, "longer than the limit"),
        ({"eval": None}, "held-out rows"),
    ],
)
def test_a_false_plan_is_caught_between_passes(
    tmp_path: Path, change: dict[str, dict[str, int]], words: str
) -> None:
    plan = plan_of(tmp_path, {"text": "VARCHAR"}, "[data.split]\neval = 4").plan
    verify(plan, "end")
    assert plan.data is not None
    parts = {
        name: getattr(plan.data, name).model_copy(update=fields) if fields else None
        for name, fields in change.items()
    }
    false = plan.model_copy(update={"data": plan.data.model_copy(update=parts)})
    with pytest.raises(InvalidPlanError, match=words):
        verify(false, "data")


def test_an_open_plan_is_not_whole(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"text": "VARCHAR"}).plan
    with pytest.raises(InvalidPlanError, match="tune is still open"):
        verify(plan.model_copy(update={"tune": None}), "end")


def test_a_template_that_prints_the_date_gets_a_fixed_one(tmp_path: Path) -> None:
    context = context_of(tmp_path, {"messages": "JSON"})
    dated = replace(context.facts, chat_template="{{ strftime_now('%Y') }}{{ messages[0].content }}")
    plan = run_passes(Plan(name="x", seed=0), replace(context, facts=dated)).plan
    assert plan.render is not None
    assert plan.render.date == chosen(plan)["render.date"]


def test_a_chat_template_that_is_no_jinja_is_refused(tmp_path: Path) -> None:
    context = context_of(tmp_path, {"messages": "JSON"})
    broken = replace(context.facts, chat_template="{% for m in messages %}")
    outcome = run_passes(Plan(name="x", seed=0), replace(context, facts=broken))
    assert [finding.code for finding in outcome.findings] == ["FTC307"]


def test_tools_beside_messages_reach_the_template(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"messages": "JSON", "tools": "JSON"}).plan
    assert plan.render is not None
    assert plan.render.fields == {"messages": None, "tools": None}


@pytest.mark.parametrize(
    ("template", "codes"),
    [
        ("{{ messages }}", ["FTC310"]),
        ("{{ 'tools' }}{{ messages }}", ["FTC310"]),
        ("{% if tools is defined %}{{ tools }}{% endif %}{{ messages }}", []),
    ],
)
def test_tools_that_the_template_leaves_out_are_a_warning(
    tmp_path: Path, template: str, codes: list[str]
) -> None:
    context = context_of(tmp_path, {"messages": "JSON", "tools": "JSON"})
    context = replace(context, facts=replace(context.facts, chat_template=template))
    outcome = run_passes(Plan(name="x", seed=0), context)
    assert outcome.ok
    assert [finding.code for finding in outcome.findings] == codes


def test_the_trainer_s_arguments_are_fields_of_its_config_and_ftc_s_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"text": "VARCHAR"}, "[train.trl]\nadam_beta2 = 0.95").plan
    assert plan.train is not None
    assert plan.objective is not None
    arguments = set(plan.train.arguments)
    assert arguments <= set(config_fields(plan.objective.config))
    mine = set(OWNED) | set(load(plan.objective.name).owned)
    assert arguments - mine == {
        "adam_beta2",
        "average_tokens_across_devices",
        "dataloader_num_workers",
        "loss_type",
    }
    assert plan.train.arguments["adam_beta2"] == 0.95


def test_half_precision_weights_are_not_trained_themselves(tmp_path: Path) -> None:
    context = context_of(tmp_path, {"text": "VARCHAR"}, '[tune]\nmethod = "full"')
    model = context.recipe.model.model_copy(update={"dtype": "float16"})
    half = replace(context, recipe=context.recipe.model_copy(update={"model": model}))
    assert [f.code for f in run_passes(Plan(name="x", seed=0), half).findings] == ["FTC506"]


@pytest.mark.parametrize(
    ("ending", "codes"), [("<|im_end|>", []), ("{{ eos_token }}", []), ("<|eot_id|>", ["FTC307"])]
)
def test_a_stated_template_ends_turns_with_a_token_there_is(
    tmp_path: Path, ending: str, codes: list[str]
) -> None:
    context = context_of(tmp_path, {"messages": "JSON"})
    model = context.recipe.model.model_copy(update={"chat_template": "own.jinja"})
    source = "{% for m in messages %}{{ m.content }}" + ending + "{% endfor %}"
    stated = replace(
        context,
        recipe=context.recipe.model_copy(update={"model": model}),
        facts=replace(context.facts, chat_template=source),
    )
    assert [finding.code for finding in run_passes(Plan(name="x", seed=0), stated).findings] == codes
