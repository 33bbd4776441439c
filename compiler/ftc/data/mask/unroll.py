"""A conversation some of whose turns are in history form, as several that inference would be in.

Templates of reasoning models write a turn otherwise once others follow it. Such a conversation becomes a row
for each form: one ends with the last answer and trains every turn that stands there as inference would
produce it; of the others the last ends the next row, and so on, until each answer is trained once.
"""

from __future__ import annotations

from ftc.data.mask.content import Unproved
from ftc.data.mask.masks import Policy, answers_of, conversation_of
from ftc.data.rendering.conversation import Chat
from ftc.data.template.chat_template import ChatTemplate


def unrolled(template: ChatTemplate, chat: Chat, policy: Policy, *, full: bool = False) -> tuple[Chat, ...]:
    """The conversations that a chat becomes, in the order of their ends; each says what it does not train.

    Raises Unproved where an answer is not as inference would produce it even at the end of a conversation,
    and TemplateProblem where the template fails.
    """
    left = [place for place in answers_of(chat.messages, policy.train_on) if place not in chat.silent]
    found: list[Chat] = []
    while left:
        part = Chat(chat.messages[: left[-1] + 1], chat.tools, chat.silent, chat.variables)
        trained = _trained(template, part, left, policy, full=full)
        silent = frozenset(set(answers_of(part.messages, "all")) - trained)
        found.append(Chat(part.messages, part.tools, part.silent | silent, part.variables))
        left = [place for place in left if place not in trained]
    return tuple(reversed(found))


def _trained(
    template: ChatTemplate, chat: Chat, wanted: list[int], policy: Policy, *, full: bool
) -> set[int]:
    """The wanted answers that stand in a conversation as inference would produce them; the last one does."""
    conversation = conversation_of(template, chat, policy, full=full)
    conversation.prove(wanted[-1])
    found = {wanted[-1]}
    for place in wanted[:-1]:
        try:
            conversation.prove(place)
        except Unproved as unproved:
            if not unproved.history:
                raise
        else:
            found.add(place)
    return found
