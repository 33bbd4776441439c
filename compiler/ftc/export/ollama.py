"""A GGUF file with a Modelfile whose TEMPLATE renders prompts as the trained chat template does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ftc.artifact.files import write_text
from ftc.diagnostics import Finding
from ftc.export import gguf
from ftc.export.conversations import conversations, rendered, spaced
from ftc.export.go_template import GoTemplateError, collated, execute
from ftc.export.modelfile import Form, Message, form_of, messages_of, template_of
from ftc.export.torch_work import counted
from ftc.export.work import Check, Choice, Made, Work, difference, impossible, unwritten

if TYPE_CHECKING:
    from ftc.jobs.opening import OpenRun

PLAIN = "{{ .Prompt }}"
LEAST_CONTEXT = 4096
PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
}
"""Settings of a model's own generation_config.json, and what Ollama calls them."""
MODEL = "it renders prompts by a Go template, and the trained chat template has no such form"


def export(work: Work) -> Made | Finding:
    """Write the GGUF file and the Modelfile, and compare both with the run."""
    refused = unwritten(work)
    if refused is not None:
        return refused
    made = modelfile(work)
    if isinstance(made, Finding):
        return made
    file = gguf.made(work)
    if isinstance(file, Finding):
        return file
    checks, choices = (*made.checks, *file.checks), (*made.choices, *file.choices)
    lines = (f"ollama create {work.run.plan.name} -f Modelfile", f"ollama run {work.run.plan.name}")
    # The Modelfile has date and variables as they were trained, so those differences are none here.
    from ftc.export.known import of_few_bits

    return Made(checks, choices, (*made.differences, *of_few_bits(work.run)), lines)


def modelfile(work: Work) -> Made | Finding:
    """Write the Modelfile, if prompts through it are those that were trained."""
    run = work.run
    if run.is_chat:
        found = _chat(work)
        if isinstance(found, Finding):
            return found
        template, checks, differences = found
    else:
        template, checks, differences = PLAIN, (_plain(run),), ()
    context, why = _context(run)
    lines = [
        f"# {run.plan.name}, plan {run.digest[:16]}",
        f"FROM ./{gguf.file_name(work)}",
        f'TEMPLATE """{template}"""',
        *(f"PARAMETER stop {json.dumps(text, ensure_ascii=False)}" for text in run.stop_texts()),
        f"PARAMETER num_ctx {context}",
        *_parameters(run),
    ]
    write_text(work.directory / "Modelfile", "\n".join(lines) + "\n")
    return Made(checks, (Choice("num_ctx", str(context), why),), differences)


def _context(run: OpenRun) -> tuple[int, str]:
    """How many tokens Ollama reads and writes: memory grows with them."""
    own, trained = run.ready.model.context_length, run.plan.limits.max_length if run.plan.limits else 0
    chosen = min(own, max(LEAST_CONTEXT, 2 * trained))
    if chosen == own:
        return own, "the whole context of the model"
    return chosen, f"twice the longest row that was trained, or {LEAST_CONTEXT}; the model itself reads {own}"


def _parameters(run: OpenRun) -> Iterator[str]:
    """How the model's own makers have it drawn, where they say so."""
    file = run.model / "generation_config.json"
    said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for name, theirs in PARAMETERS.items():
        if isinstance(said.get(name), (int, float)):
            yield f"PARAMETER {theirs} {said[name]}"


Chat = tuple[str, tuple[Check, ...], tuple[Finding, ...]]


def _chat(work: Work) -> Chat | Finding:
    """The template, checked on conversations and on the run's own prompts."""
    run = work.run

    def render(messages: Sequence[Message], _answer: bool) -> str | None:
        from ftc.data.template.chat_template import TemplateProblem

        try:
            return run.rendered(messages)
        except TemplateProblem:
            return None

    form = form_of(render)
    if form is None:
        return impossible(work, MODEL, "serve the GGUF file by llama.cpp: --to gguf", code="FTC778")
    bos = run.ready.tokenizer.special_tokens.get("bos_token") if run.begins_with_bos else None
    template = template_of(form, bos)
    talks = rendered(run, conversations())
    wrong = _first_difference(template, talks, bos)
    if wrong is not None:
        return impossible(work, wrong, "serve the GGUF file by llama.cpp: --to gguf", code="FTC778")
    own = _own(work, form, template, bos)
    if isinstance(own, Finding):
        return own
    said = f"{len(talks) + own} prompts through it have the same tokens: {counted(len(talks), own)}"
    figures = {"conversations": [len(talks), len(talks)], "own_prompts": [own, own]}
    return (
        template,
        (Check("TEMPLATE", bool(talks), said, figures),),
        tuple(_unlike(run, form, template, bos)),
    )


def through(template: str, talk: Sequence[Message], bos: str | None) -> str:
    """A conversation as Ollama renders it, with the token that its tokenizer adds."""
    try:
        return (bos or "") + execute(template, collated(talk))
    except GoTemplateError as error:
        return f"{{{{ {error} }}}}"


def _first_difference(template: str, talks: list[tuple[list[Message], str]], bos: str | None) -> str | None:
    for talk, text in talks:
        other = through(template, talk, bos)
        if other != text:
            at = next((n for n, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), len(other))
            roles = ", ".join(message["role"] for message in talk)
            return (
                f"of the conversation {roles} it would render {other[at : at + 40]!r} "
                f"where {text[at : at + 40]!r} was trained"
            )
    return None


def _own(work: Work, form: Form, template: str, bos: str | None) -> int | Finding:
    """How many of the run's own prompts come out of the template; a finding where one does not."""
    run = work.run
    for ids in run.prompts:
        text = run.tokenizer.decode(ids, skip_special_tokens=False)
        messages = messages_of(form, text)
        if messages is None or run.ids(through(template, messages, bos)) != run.ids(text):
            why = f"a prompt of the run does not come out of a Go template: {text[:60]!r}"
            return impossible(work, why, "serve the GGUF file by llama.cpp: --to gguf", code="FTC778")
    return len(run.prompts)


def _unlike(run: OpenRun, form: Form, template: str, bos: str | None) -> Iterator[Finding]:
    """What a Go template cannot do: trim. And what Ollama has beside messages."""
    talks = rendered(run, spaced())
    if any(through(template, talk, bos) != text for talk, text in talks):
        yield difference(
            "the trained chat template trims white space around a message, and Ollama keeps it",
            "trim what you send: Ollama's terminal does so with what is typed",
        )
    for roles in form.lacking:
        yield difference(f"conversations in this order are not rendered as trained: {', '.join(roles)}")
    if run.template.uses("tools"):
        yield difference(
            "the Modelfile's template has no tools: Ollama will not offer them to this model",
            "for tools serve the GGUF file by llama.cpp, or by vLLM",
        )


def _plain(run: OpenRun) -> Check:
    """Plain prompts go through as they are."""
    own: list[list[int]] = run.prompts
    first = [run.ready.tokenizer.bos_id] if run.ready.tokenizer.bos_id is not None else []
    texts = [run.tokenizer.decode(ids[len(first) :], skip_special_tokens=False) for ids in own]
    same = sum(run.ids(execute(PLAIN, {"Prompt": text})) == run.ids(text) for text in texts)
    said = (
        f"{same} of {len(own)} prompts of the run go through as they are; ask by /api/generate, not by chat"
    )
    return Check("TEMPLATE", same == len(own), said, {"own_prompts": [same, len(own)]})


def as_values(talk: Sequence[Message]) -> dict[str, Any]:
    """What Ollama's template gets of a conversation, for tests that ask Go itself."""
    return collated(talk)
