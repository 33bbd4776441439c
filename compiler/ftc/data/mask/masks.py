"""Loss masks from unmodified chat templates: which characters of a conversation carry loss.

`mask.proof` proves where turns are; what of them is trained is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from ftc.data.mask.content import Unproved, excerpt
from ftc.data.mask.parts import Span, merged, without
from ftc.data.mask.proof import Conversation, Turn
from ftc.data.rendering.conversation import Chat
from ftc.data.rendering.example import Piece, Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate, Message, TemplateProblem, hugging_face_text

if TYPE_CHECKING:
    from ftc.data.template.specialise.replay import Replay

    Provable = Conversation | Replay

TrainOn = Literal["assistant", "last_assistant", "all"]
History = Literal["refuse", "exclude", "keep"]
Part = Literal["reasoning", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What of a conversation carries loss.

    `stop_tokens` are the texts that may end a turn; with none given, a turn ends where the template ends
    the message. `history` says what becomes of a turn in history form: its row is refused, it carries no
    loss, or it is trained as it stands. The parts of a turn which are `masked` carry no loss.
    """

    train_on: TrainOn = "assistant"
    stop_tokens: tuple[str, ...] = ()
    history: History = "refuse"
    masked: frozenset[Part] = frozenset()


SILENCED = "every assistant message has the weight 0"


def template_refusal(problem: TemplateProblem) -> Refusal:
    """The refusal of a row on which the chat template fails."""
    return Refusal(fate="invalid", code="FTC304", reason=f"the chat template fails: {problem.message}")


def answers_of(messages: Sequence[Message], train_on: TrainOn) -> list[int]:
    """The places of the assistant's messages that `train_on` asks for."""
    found = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
    return found[-1:] if train_on == "last_assistant" else found


def conversation_of(template: ChatTemplate, chat: Chat, policy: Policy, *, full: bool = False) -> Provable:
    """A conversation whose turns can be proved: from recordings of the template, where they serve."""
    if not full:
        parts = bool(policy.masked)
        replay = template.specialiser.replay(template, chat, policy.stop_tokens, parts=parts)
        if replay is not None:
            return replay
    return Conversation(template, template.prepared(chat.messages), chat.tools, policy.stop_tokens)


def _turn(conversation: Provable, message: int, history: History) -> Turn | None:
    try:
        return conversation.prove(message)
    except Unproved as unproved:
        if not unproved.history or history == "refuse":
            raise
    return conversation.prove_history(message) if history == "keep" else None


def _parts(turn: Turn, masked: Collection[Part]) -> list[Span]:
    reasoning = turn.reasoning if "reasoning" in masked else ()
    return [*reasoning, *(turn.tool_calls if "tool_calls" in masked else ())]


def _trained(turns: Sequence[Turn], masked: Collection[Part]) -> tuple[Span, ...]:
    for one, other in pairwise(turns):
        if other.start < one.end:
            raise Unproved(f"the turn of message {other.message + 1} overlaps the turn before it")
    if not masked:
        return tuple((turn.start, turn.end) for turn in turns)
    return tuple(
        span for turn in turns for span in without([(turn.start, turn.end)], merged(_parts(turn, masked)))
    )


def pieces_of(text: str, trained: Sequence[Span]) -> tuple[Piece, ...]:
    """A text cut into pieces, trained or not; the trained stretches stand in order, without overlaps."""
    pieces, at = [], 0
    for start, end in (*trained, (len(text), len(text))):
        if at < start:
            pieces.append(Piece(text[at:start], trained=False))
        if start < end:
            pieces.append(Piece(text[start:end], trained=True))
        at = end
    return tuple(pieces)


def _rendered(text: str, pieces: tuple[Piece, ...], last: Turn | None) -> Rendered:
    if last is None:
        return Rendered(pieces)
    return Rendered(pieces, prompt=text[: last.start], target=text[last.start : last.stop])


def proved_last(conversation: Provable) -> Turn | None:
    """The last answer, told apart for evaluation; None where it cannot be proved."""
    answers = answers_of(conversation.messages, "last_assistant")
    try:
        return conversation.prove(answers[0]) if answers else None
    except Unproved:
        return None


def _place(conversation: Provable, message: int) -> Turn:
    """Where a turn stands, in whatever form."""
    try:
        return conversation.prove(message)
    except Unproved as unproved:
        if not unproved.history:
            raise
    return conversation.prove_history(message)


def _whole(template: ChatTemplate, chat: Chat, policy: Policy, *, full: bool) -> Rendered | Refusal:
    """Every character trained, except messages of weight 0 and parts that are masked, which are proved."""
    answers = answers_of(chat.messages, "all")
    others = [place for place in sorted(chat.silent) if place not in answers]
    if others:
        role = chat.messages[others[0]].get("role")
        reason = f"message {others[0] + 1} ({role}) has the weight 0, which only answers can have here"
        return Refusal("invalid", "FTC604", reason)
    try:
        conversation = conversation_of(template, chat, policy, full=full)
    except Unproved:
        if chat.silent or policy.masked:
            raise
        text = template.render(chat.messages, tools=chat.tools)
        return Rendered(pieces_of(text, [(0, len(text))]))
    text = conversation.text
    wanted = [message for message in answers if policy.masked or message in chat.silent]
    turns = [_place(conversation, message) for message in wanted]
    holes = [(turn.start, turn.end) for turn in turns if turn.message in chat.silent]
    holes += [part for turn in turns for part in _parts(turn, policy.masked)]
    pieces = pieces_of(text, without([(0, len(text))], merged(holes)))
    return _rendered(text, pieces, proved_last(conversation))


def _masked(conversation: Provable, silent: Collection[int], policy: Policy) -> Rendered | Refusal:
    answers = answers_of(conversation.messages, policy.train_on)
    if not answers:
        return Refusal("untrained", "FTC606", "the conversation has no assistant message to train on")
    spoken = [message for message in answers if message not in silent]
    if not spoken:
        return Refusal("untrained", "FTC606", SILENCED)
    turns = [turn for message in spoken if (turn := _turn(conversation, message, policy.history))]
    if not turns:
        return Refusal(
            "untrained", "FTC606", "every assistant message is in history form, and those are excluded"
        )
    trained = _trained(turns, policy.masked)
    return _rendered(conversation.text, pieces_of(conversation.text, trained), turns[-1])


def mask_conversation(
    template: ChatTemplate, chat: Chat, policy: Policy, *, full: bool = False
) -> Rendered | Refusal:
    """A conversation as text in pieces, trained or not, each proved (`mask.proof` says how); or a refusal.

    With `full`, the conversation is rendered and traced itself, and no recording of another is asked.
    """
    try:
        if policy.train_on == "all":
            return _whole(template, chat, policy, full=full)
        return _masked(conversation_of(template, chat, policy, full=full), chat.silent, policy)
    except TemplateProblem as problem:
        return template_refusal(problem)
    except Unproved as unproved:
        return unproved.refusal


def audit_conversation(template: ChatTemplate, chat: Chat, rendered: Rendered) -> Refusal | None:
    """Compare a rendering with transformers' own; None where they agree byte for byte."""
    try:
        judge = hugging_face_text(
            template.source,
            chat.messages,
            special_tokens=template.special_tokens,
            variables=template.variables,
            tools=chat.tools,
        )
    except TemplateProblem as problem:
        return template_refusal(problem)
    if judge == rendered.text:
        return None
    place = next((i for i, (a, b) in enumerate(zip(judge, rendered.text, strict=False)) if a != b), 0)
    return Refusal("unproved", "FTC305", f"transformers renders other text near {excerpt(judge, place)}")


def audit_recording(ours: Rendered, full: Rendered | Refusal) -> Refusal | None:
    """Compare what recordings say of a row with what its own rendering and trace say."""
    if ours == full:
        return None
    if isinstance(full, Refusal):
        found = f"the row's own proof refuses it: {full.reason}"
    else:
        pairs = enumerate(zip(ours.pieces, full.pieces, strict=False), 1)
        piece = next((number for number, (one, other) in pairs if one != other), 0)
        found = f"the row's own proof gives other pieces, first the {piece or 'last'} of {len(full.pieces)}"
    return Refusal("unproved", "FTC305", f"{found}; the recording of the template is wrong, a mistake of ftc")
