"""Decide how a row becomes text, and which of its tokens carry loss."""

from __future__ import annotations

from typing import Literal

from ftc import objectives
from ftc.data.rendering.conversation import VARIABLES
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem
from ftc.diagnostics import Finding, Severity
from ftc.facts.columns import is_conversation, offered_columns
from ftc.facts.shipped import fitting_templates, template_tokens
from ftc.objectives.base import Objective, Shape
from ftc.objectives.choose import fits
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, Plan, RenderStep
from ftc.recipe.suggest import listed

Form = Literal["chat", "completion", "text"]
TrainOn = Literal["assistant", "last_assistant", "completion", "all", "nothing"]
SOME_DAY = "2024-07-26"
"""The day that Llama 3.1's own template falls back to."""
STOPPED = (
    "do not use it: it does what no chat template needs",
    "name another in [model]: chat_template",
)
CHAT_FIELDS = ("system", "user", "assistant")
BESIDE = ("tools", VARIABLES)
"""Columns which a conversation takes along where the query returns them."""
ALLOWED: dict[Form, tuple[TrainOn, ...]] = {
    "chat": ("assistant", "last_assistant", "completion", "all"),
    "completion": ("completion", "assistant", "last_assistant", "all"),
    "text": ("all",),
}
DEFAULT: dict[Form, tuple[TrainOn, str]] = {
    "chat": ("assistant", "every assistant turn with its end token, and nothing else"),
    "completion": ("completion", "the completion with its end token, not the prompt"),
    "text": ("all", "continued pretraining learns whole documents"),
}


def chosen_shape(context: Context, objective: str) -> Shape:
    """The columns the chosen objective takes; the objective pass has proved that there is a fit."""
    columns = {column.name: column.type for column in context.facts.columns}
    offered = offered_columns(context.recipe, columns)
    return fits(offered, objective)[0].shape


def _form(shape: Shape, context: Context) -> tuple[Form, tuple[Choice, ...]]:
    if {"text", "anchor"} & set(shape.columns):
        return "text", ()
    types = {column.name: column.type for column in context.facts.columns}
    spoken = any(is_conversation(types.get(name, "")) for name in shape.columns)
    if shape.chat or spoken or context.recipe.render.chat:
        return "chat", ()
    if context.recipe.render.chat is False:
        return "completion", ()
    if context.facts.chat_template is None:
        return "completion", (choice("render.chat", False, "the tokenizer has no chat template"),)
    reason = "the model has a chat template: prompt and completion become a user's and an assistant's turn"
    return "chat", (choice("render.chat", True, reason),)


def _fields(shape: Shape, form: Form, carried: tuple[str, ...], context: Context) -> dict[str, str | None]:
    render = context.recipe.render
    if shape.chat and render.user is None and render.assistant is None:
        names: tuple[str, ...] = ("messages",)
    elif shape.chat:
        names = CHAT_FIELDS
    else:
        names = shape.columns
    fields = {name: getattr(render, name, None) for name in names if name not in carried}
    if render.system is not None:
        fields["system"] = render.system
    there = {column.name for column in context.facts.columns}
    fields |= {name: None for name in BESIDE if form == "chat" and name in there}
    return {name: source for name, source in fields.items() if source is not None or name != "system"}


def _line_ends(fields: dict[str, str | None]) -> tuple[Choice, ...]:
    """That the line end at a template's end is part of the text, which Jinja's own default would drop."""
    reason = "what the template writes is what is trained on; end it before the line end to leave that out"
    ending = [name for name, source in fields.items() if source is not None and source.endswith("\n")]
    return tuple(choice(f"render.{name}", "ends with a line end", reason) for name in ending)


def _carried(objective: Objective, shape: Shape, context: Context) -> tuple[str, ...]:
    """The columns that travel with the tokens: rewards may look at all but what is asked."""
    if objective.batches != "prompts":
        return objective.carried
    there = {column.name for column in context.facts.columns}
    return tuple(sorted(there - {*shape.columns, context.recipe.data.id}))


def _train_on(
    form: Form, objective: Objective, context: Context
) -> tuple[TrainOn, tuple[Choice, ...]] | Finding:
    stated = context.recipe.render.train_on
    if objective.train_on is not None:
        return _given(objective, stated, context)
    if stated is None:
        value, reason = DEFAULT[form]
        return value, (choice("render.train_on", value, reason),)
    if stated in ALLOWED[form]:
        return stated, ()
    return Finding(
        "FTC107",
        f'`train_on = "{stated}"` does not apply to rows of plain text',
        context.origins.value("render", "train_on"),
        help=('remove the line, or write train_on = "all"',),
    )


def _given(
    objective: Objective, stated: str | None, context: Context
) -> tuple[TrainOn, tuple[Choice, ...]] | Finding:
    """What carries loss where the objective itself says so."""
    given = objective.train_on
    assert given is not None  # noqa: S101 - the caller has looked
    if stated in (None, given) or (stated == "completion" and given == "last_assistant"):
        said = "its answers, which end each row" if given != "nothing" else "no token: rows are not predicted"
        return given, (choice("render.train_on", given, f"{objective.title} trains on {said}"),)
    return Finding(
        "FTC107",
        f'`train_on = "{stated}"` does not apply to {objective.title}',
        context.origins.value("render", "train_on"),
        help=("remove the line: what is compared is the answers",),
    )


def _no_template(shape: Shape, context: Context) -> Finding:
    plain = () if shape.chat else ("or train on plain text: [render] with chat = false",)
    fitting = fitting_templates(context.facts.model.tokenizer.added)
    return Finding(
        "FTC306",
        f"the tokenizer of `{context.facts.model.located.location}` has no chat template",
        context.origins.value("model", "base"),
        help=(
            f'name one in [model]: chat_template = "{fitting[0]}", or a Jinja file beside the recipe',
            *plain,
        ),
        notes=(f"of those that ftc ships, its tokenizer has the tokens of {listed(fitting)}",),
    )


def _date(template: str | None, context: Context) -> tuple[str | None, tuple[Choice, ...]] | Finding:
    """The day the chat template is to print, if it asks for the present one; a finding if it is not Jinja."""
    if template is None:
        return None, ()
    key = "base" if context.recipe.model.chat_template is None else "chat_template"
    span = context.origins.value("model", key)
    try:
        made = ChatTemplate(template, special_tokens=context.facts.model.tokenizer.special_tokens)
    except TemplateProblem as problem:
        where = f" (line {problem.line})" if problem.line else ""
        return Finding("FTC307", f"the chat template is not valid Jinja: {problem}{where}", span)
    stopped = made.tried()
    if stopped is not None:
        where = f" (line {stopped.line})" if stopped.line else ""
        return Finding("FTC307", f"the chat template had to be stopped: {stopped}{where}", span, help=STOPPED)
    stated = context.recipe.render.date
    if stated is not None or not made.uses_clock:
        return stated, ()
    reason = "the chat template prints the present day; a fixed one keeps the rows the same tomorrow"
    return SOME_DAY, (choice("render.date", SOME_DAY, reason),)


def _convention(template: str | None, context: Context) -> tuple[str | None, tuple[Choice, ...]] | Finding:
    """The training template whose blocks mark the loss; None under ftc's own convention."""
    if context.recipe.render.convention == "inference" or template is None:
        return None, ()
    twin = context.facts.training_template
    if twin is not None:
        reason = (
            "TRL trains this model's template by it, so the rows' text is its own and may differ from the"
            " chat template's; the saved tokenizer keeps the chat template"
        )
        return twin.source, (choice("render.training_template", f"trl: {twin.name}", reason),)
    if ChatTemplate(template, special_tokens={}).has_generation:
        reason = "TRL has no training template for it, and its own generation blocks mark the loss"
        return None, (choice("render.training_template", "the chat template", reason),)
    return Finding(
        "FTC311",
        "the installed TRL has no training template for this chat template, which marks no loss itself",
        context.origins.value("render", "convention"),
        help=('write convention = "inference": it needs no marks, and proves each row\'s loss',),
    )


def _unfit(form: Form, objective: Objective, context: Context) -> tuple[Finding, ...]:
    """Settings about the turns of a conversation where rows are plain text, or other than SFT's."""
    render = context.recipe.render
    if objective.train_on is not None and render.convention == "trl":
        return (
            Finding(
                "FTC107",
                f'`convention = "trl"` does not apply to {objective.title}',
                context.origins.value("render", "convention"),
                help=("remove the line: TRL's training templates mark every answer of a conversation",),
            ),
        )
    stated = {"convention": render.convention == "trl", "tool_calls": render.tool_calls == "mask"}
    stated["reasoning"] = render.reasoning == "mask" and form == "text"
    return tuple(
        Finding(
            "FTC107",
            f"`render.{key}` does not apply to rows of plain text",
            context.origins.value("render", key),
            help=("remove the line",),
        )
        for key, wrong in stated.items()
        if wrong and form != "chat"
    )


def _without_effect(step: RenderStep, context: Context) -> tuple[Finding, ...]:
    """A warning where the rows have tools and the chat template does not print them."""
    source = step.training_template or step.chat_template or ""
    if "tools" not in step.fields or ChatTemplate(source, special_tokens={}).uses("tools"):
        return ()
    warning = Finding(
        "FTC310",
        "the chat template does not print tools, so the column `tools` has no effect",
        context.origins.value("data", "query"),
        help=("leave the column out, or name a template that prints tools: [model] chat_template",),
        severity=Severity.WARNING,
    )
    return (warning,)


def _tokens_lacking(step: RenderStep, context: Context) -> tuple[Finding, ...]:
    """An error where the recipe's own template writes, or ends turns with, tokens that are no tokens here."""
    name, template = context.recipe.model.chat_template, step.chat_template or ""
    added = context.facts.model.tokenizer.added
    missing = [token for token in template_tokens(template) if token not in added]
    ends = any(token in template for token in step.stop_tokens) or "eos_token" in template
    if name is None or (ends and not missing):
        return ()
    stops = ", ".join(f"`{token}`" for token in step.stop_tokens) or "none"
    notes: tuple[str, ...] = (f"tokens of the tokenizer that can end a turn: {stops}",)
    if missing:
        message = f"the chat template `{name}` writes tokens that this tokenizer does not have"
        notes = (f"it has no {listed(missing)}", *notes)
    else:
        message = (
            f"the chat template `{name}` ends a turn with no token of this tokenizer,"
            " so a model could not stop"
        )
    helps = (
        f"name one whose tokens there are: {listed(fitting_templates(added))}",
        "or a file that writes {{ eos_token }}, or such a token, after an assistant's message",
    )
    span = context.origins.value("model", "chat_template")
    return (Finding("FTC307", message, span, help=helps, notes=notes),)


def _closed(objective: Objective, context: Context) -> bool:
    """Whether texts get an end token: those of embeddings where the tokenizer itself puts one there."""
    if objective.loads.head == "embedding":
        return context.facts.model.tokenizer.last_id is not None
    return objective.closed


def run(plan: Plan, context: Context) -> Outcome:
    """Choose the form of a row (chat, completion, text) and what is trained in it."""
    assert plan.objective is not None  # noqa: S101 - the order of the passes
    objective = objectives.load(plan.objective.name)
    shape = chosen_shape(context, objective.name)
    form, form_choices = _form(shape, context)
    template = context.facts.chat_template if form == "chat" else None
    if form == "chat" and template is None:
        return Outcome(plan, (_no_template(shape, context),))
    trained, dated = _train_on(form, objective, context), _date(template, context)
    unfit = (
        *(found for found in (trained, dated) if isinstance(found, Finding)),
        *_unfit(form, objective, context),
    )
    if unfit or isinstance(trained, Finding) or isinstance(dated, Finding):
        return Outcome(plan, unfit)
    marked = _convention(template, context)
    if isinstance(marked, Finding):
        return Outcome(plan, (marked,))
    render = context.recipe.render
    step = RenderStep(
        form=form,
        fields=_fields(shape, form, objective.carried, context),
        chat_template=template,
        training_template=marked[0],
        convention=render.convention,
        reasoning=render.reasoning,
        tool_calls=render.tool_calls,
        variables=render.variables,
        date=dated[0],
        history=render.history,
        stop_tokens=context.facts.model.tokenizer.stop_tokens if form == "chat" else (),
        train_on=trained[0],
        unproved=render.unproved,
        redact=tuple(sorted(set(context.recipe.data.redact or ()))),
        members=tuple(name for name in objective.members if name in shape.columns),
        carried=_carried(objective, shape, context),
        closed=_closed(objective, context),
    )
    chosen = form_choices + trained[1] + dated[1] + marked[1] + _line_ends(step.fields)
    plan = filled(plan, chosen, render=step)
    return Outcome(plan, _without_effect(step, context) + _tokens_lacking(step, context))
