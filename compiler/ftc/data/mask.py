"""Loss masks from unmodified chat templates: which characters of a conversation carry loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ftc.data.chat_template import ChatTemplate, Message, TemplateProblem, hugging_face_text
from ftc.data.example import Piece, Refusal, Rendered
from ftc.data.mask_content import Unproved, excerpt
from ftc.data.mask_proof import Conversation, Turn

TrainOn = Literal["assistant", "last_assistant", "all"]
History = Literal["refuse", "exclude", "keep"]


def _invalid(problem: TemplateProblem) -> Refusal:
    return Refusal(fate="invalid", code="FTC304", reason=f"the chat template fails: {problem.message}")


def _assistants(conversation: Conversation, train_on: TrainOn) -> list[int]:
    found = [i for i, message in enumerate(conversation.messages) if message.get("role") == "assistant"]
    return found if train_on == "assistant" else found[-1:]


def _turn(conversation: Conversation, message: int, history: History) -> Turn | None:
    try:
        return conversation.prove(message)
    except Unproved as unproved:
        if not unproved.history or history == "refuse":
            raise
    return conversation.prove_history(message) if history == "keep" else None


def _pieces(text: str, turns: Sequence[Turn]) -> tuple[Piece, ...]:
    pieces, at = [], 0
    for turn in turns:
        if turn.start < at:
            raise Unproved(f"the turn of message {turn.message} overlaps the turn before it")
        pieces.append(Piece(text[at : turn.start], trained=False))
        pieces.append(Piece(text[turn.start : turn.end], trained=True))
        at = turn.end
    pieces.append(Piece(text[at:], trained=False))
    return tuple(piece for piece in pieces if piece.text)


def _rendered(text: str, pieces: tuple[Piece, ...], last: Turn | None) -> Rendered:
    if last is None:
        return Rendered(pieces)
    return Rendered(pieces, prompt=text[: last.start], target=text[last.start : last.stop])


def _whole(
    template: ChatTemplate, prepared: list[dict[str, Any]], tools: Any, stop_tokens: Sequence[str]
) -> Rendered:
    """Every character trained; the last answer is told apart where it can be proved, for evaluation."""
    text = template.render_prepared(prepared, tools, generation_prompt=False)
    pieces = (Piece(text, trained=True),) if text else ()
    try:
        conversation = Conversation(template, prepared, tools, stop_tokens)
        answers = _assistants(conversation, "last_assistant")
        return _rendered(text, pieces, conversation.prove(answers[0]) if answers else None)
    except Unproved:
        return Rendered(pieces)


def _masked(conversation: Conversation, train_on: TrainOn, history: History) -> Rendered | Refusal:
    answers = _assistants(conversation, train_on)
    if not answers:
        return Refusal("untrained", "FTC606", "the conversation has no assistant message to train on")
    turns = [turn for message in answers if (turn := _turn(conversation, message, history))]
    if not turns:
        return Refusal(
            "untrained", "FTC606", "every assistant message is in history form, and those are excluded"
        )
    return _rendered(conversation.text, _pieces(conversation.text, turns), turns[-1])


def mask_conversation(
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[dict[str, Any]] | None = None,
    train_on: TrainOn,
    stop_tokens: Sequence[str],
    history: History = "refuse",
) -> Rendered | Refusal:
    """A conversation as text in pieces, trained or not, each proved (`mask_proof` says how); or a refusal.

    `stop_tokens` are the texts that may end a turn; with none given, a turn ends where the template
    ends the message. `history` says what becomes of a turn in history form: its row is refused, it
    carries no loss, or it is trained as it stands.
    """
    try:
        prepared = template.prepared(messages)
        if train_on == "all":
            return _whole(template, prepared, tools, stop_tokens)
        return _masked(Conversation(template, prepared, tools, stop_tokens), train_on, history)
    except TemplateProblem as problem:
        return _invalid(problem)
    except Unproved as unproved:
        return unproved.refusal


def audit_conversation(
    template: ChatTemplate,
    messages: Sequence[Message],
    rendered: Rendered,
    *,
    tools: Sequence[dict[str, Any]] | None = None,
) -> Refusal | None:
    """Compare a rendering with transformers' own; None where they agree byte for byte."""
    try:
        judge = hugging_face_text(
            template.source,
            messages,
            special_tokens=template.special_tokens,
            variables=template.variables,
            tools=tools,
        )
    except TemplateProblem as problem:
        return _invalid(problem)
    if judge == rendered.text:
        return None
    place = next((i for i, (a, b) in enumerate(zip(judge, rendered.text, strict=False)) if a != b), 0)
    return Refusal("unproved", "FTC305", f"transformers renders other text near {excerpt(judge, place)}")
