"""The convention `trl`: the loss follows a template's `{% generation %}` blocks, as TRL trains.

What a block holds is trained, white space after the stop token and what the generation prompt
supplies included, if the template's author put it there. Nothing is proved of it beyond its place:
the text of a block is what stands there, and is compared with transformers' own account by sample.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ftc.data.mask.content import Unproved
from ftc.data.mask.masks import (
    SILENCED,
    Policy,
    TrainOn,
    answers_of,
    conversation_of,
    pieces_of,
    proved_last,
    template_refusal,
)
from ftc.data.mask.parts import Span, merged
from ftc.data.rendering.conversation import Chat
from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem, hugging_face_blocks

if TYPE_CHECKING:
    from ftc.data.mask.masks import Provable

NOTHING_MARKED = "the template's generation blocks mark nothing in the conversation"


def _spoken(
    conversation: Provable, blocks: Sequence[Span], train_on: TrainOn, silent: Collection[int]
) -> list[Span]:
    """The blocks of the answers that are asked for; one after the last message belongs to it."""
    wanted = {place for place in answers_of(conversation.messages, train_on) if place not in silent}
    return [block for block in blocks if conversation.message_at(block[0]) in wanted]


def _marked(
    template: ChatTemplate, chat: Chat, policy: Policy, *, full: bool
) -> tuple[str, list[Span], Provable | None]:
    """Text, generation blocks and, where it can be traced, the conversation whose turns can be proved."""
    try:
        conversation = conversation_of(template, chat, policy, full=full)
    except Unproved:
        conversation = None
    blocks = conversation.blocks() if conversation else None
    if conversation and blocks is not None:
        return conversation.text, blocks, conversation
    return *template.generated(template.prepared(chat.messages), chat.tools), conversation


def mask_generation(
    template: ChatTemplate, chat: Chat, policy: Policy, *, full: bool = False
) -> Rendered | Refusal:
    """A conversation whose trained text is what the template's generation blocks hold; or a refusal.

    The last answer is told apart for evaluation where it can be proved.
    """
    try:
        text, blocks, conversation = _marked(template, chat, policy, full=full)
    except TemplateProblem as problem:
        return template_refusal(problem)
    if policy.train_on == "last_assistant" or chat.silent:
        if conversation is None:
            return Refusal("unproved", "FTC305", "the messages' generation blocks cannot be told apart")
        blocks = _spoken(conversation, blocks, policy.train_on, chat.silent)
    trained = merged(blocks)
    if not trained:
        return Refusal("untrained", "FTC606", SILENCED if chat.silent else NOTHING_MARKED)
    pieces = pieces_of(text, trained)
    last = proved_last(conversation) if conversation else None
    if last is None:
        return Rendered(pieces)
    return Rendered(pieces, prompt=text[: last.start], target=text[last.start : last.stop])


def audit_generation(template: ChatTemplate, chat: Chat) -> Refusal | None:
    """Compare text and blocks with transformers' own; None where they agree."""
    try:
        ours = template.generated(template.prepared(chat.messages), chat.tools)
        judge = hugging_face_blocks(template, chat.messages, chat.tools)
    except TemplateProblem as problem:
        return template_refusal(problem)
    if judge == ours:
        return None
    return Refusal("unproved", "FTC305", "transformers finds other generation blocks than ftc")
