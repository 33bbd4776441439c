"""A row of the query's result becomes text with trained spans, or is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ftc.data.rendering.conversation import (
    VARIABLES,
    Chat,
    Message,
    Refused,
    invalid,
    valid_messages,
    valid_tools,
    valid_variables,
    weighed,
)
from ftc.data.rendering.example import Members, Piece, Refusal, Rendered, Unrolled
from ftc.data.rendering.fields import field_of
from ftc.plan.steps import RenderStep, TokenizerStep

if TYPE_CHECKING:
    from ftc.data.mask.masks import Part, Policy
    from ftc.data.template.chat_template import ChatTemplate

Row = Mapping[str, Any]
Made = Rendered | Unrolled | Members | Refusal
SPEAKERS = ("system", "user", "prompt", "assistant", "completion")
"""Fields that are messages, in the order of the conversation."""

MASKS: dict[str, Literal["assistant", "last_assistant", "all"]] = {
    "assistant": "assistant",
    "last_assistant": "last_assistant",
    "completion": "last_assistant",
    "all": "all",
    "nothing": "last_assistant",
}
"""How `train_on` reads in a chat, where the completion is the last answer."""


HISTORY: dict[str, Literal["refuse", "exclude", "keep"]] = {
    "unroll": "refuse",
    "error": "refuse",
    "exclude": "exclude",
    "keep": "keep",
}


LABEL = ("label",)
"""What rows carry that are judged or classified as a whole."""

HALF_A_CHARACTER = "it has half of a surrogate pair, such as \\ud83d alone, which is no character"


def _is_unicode(made: Made) -> bool:
    """Whether the text can be written; JSON's escapes can make text that cannot."""
    if isinstance(made, (Unrolled, Members)):
        return all(map(_is_unicode, made.rows))
    texts = [piece.text for piece in made.pieces] if isinstance(made, Rendered) else [made.reason]
    try:
        for text in texts:
            _ = text.isascii() or text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clock(date: str | None) -> dict[str, Any]:
    """The function by which chat templates print the date, fixed to one day."""
    if date is None:
        return {}
    from datetime import datetime

    return {"strftime_now": datetime.fromisoformat(date).strftime}


class Renderer:
    """Renders rows by a RenderStep; `eos` is the text of the tokenizer's end token.

    Raises TemplateProblem (of `chat_template`) where the chat template itself is not valid.
    """

    def __init__(self, step: RenderStep, tokenizer: TokenizerStep, eos: str) -> None:
        self.step, self._tokenizer, self._eos = step, tokenizer, eos
        self._fields = {name: field_of(name, source) for name, source in step.fields.items()}
        self._form = self._chosen_form()
        if step.form == "chat":
            _ = self.template

    def _chosen_form(self) -> Callable[[Row], Made]:
        chat = self.step.form == "chat"
        if self.step.train_on == "nothing" and self.step.members:
            return self._whole_members
        if self.step.closed:
            return self._chat_whole if chat else self._plain_whole
        if self.step.members:
            return self._chat_members if chat else self._plain_members
        if self.step.train_on == "nothing" and "prompt" in self._fields:
            return self._chat_prompt if chat else self._plain_prompt
        return {"chat": self._chat, "completion": self._completion, "text": self._text}[self.step.form]

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template, at the step's date if it has one."""
        return self._chat_template(clock(self.step.date))

    @cached_property
    def policy(self) -> Policy:
        """What of a chat carries loss."""
        from ftc.data.mask.masks import Policy

        step = self.step
        parts: dict[Part, str] = {"reasoning": step.reasoning, "tool_calls": step.tool_calls}
        return Policy(
            train_on=MASKS[step.train_on],
            stop_tokens=step.stop_tokens,
            history=HISTORY[step.history],
            masked=frozenset(part for part, loss in parts.items() if loss == "mask"),
        )

    def _chat_template(self, clock: Mapping[str, Any]) -> ChatTemplate:
        from ftc.data.template.chat_template import ChatTemplate

        return ChatTemplate(
            self.step.training_template or self.step.chat_template or "",
            special_tokens=self._tokenizer.special_tokens,
            variables={**self.step.variables, **clock},
        )

    def __call__(self, row: Row) -> Made:
        """The row as text, as several texts, or why it cannot be used."""
        try:
            if self.step.carried == LABEL and row["label"] is None:
                raise invalid("`label` is null")
            made = self._form(row)
        except Refused as refused:
            made = refused.refusal
        return made if _is_unicode(made) else Refusal("invalid", "FTC604", HALF_A_CHARACTER)

    def audit(self, row: Row, made: Rendered | Unrolled | Members) -> Refusal | None:
        """Compare a chat's text with transformers' own rendering, and its pieces with the row's own proof.

        None where they agree.
        """
        if self.step.form != "chat" or (self.step.train_on == "nothing" and not self.step.members):
            return None
        if isinstance(made, Members):
            return self._audited(self.conversations(row), made.rows)
        chat = self.chat(row)
        if isinstance(made, Rendered):
            return self._audited((chat,), (made,))
        parts = self._parts(chat, full=True)
        if isinstance(parts, Refusal) or len(parts) != len(made.rows):
            return Refusal("unproved", "FTC305", "the row's own proof unrolls it otherwise, a mistake of ftc")
        return self._audited(parts, made.rows)

    def _audited(self, chats: tuple[Chat, ...], rows: tuple[Rendered, ...]) -> Refusal | None:
        from ftc.data.mask.masks import audit_recording

        pairs = list(zip(chats, rows, strict=True))
        wrong = (audit_recording(one, self._masked(chat, full=True)) for chat, one in pairs)
        judged = (self._judged(chat, one) for chat, one in pairs)
        return next((refusal for refusal in (*wrong, *judged) if refusal), None)

    def _judged(self, chat: Chat, rendered: Rendered) -> Refusal | None:
        if self.step.date is None:
            return self._compared(self.template.varied(chat.variables), chat, rendered)
        today = self._chat_template({}).varied(chat.variables)

        def compare() -> Refusal | None:
            """Transformers cannot be given a date, so both sides print the present one."""
            text = today.render(chat.messages, tools=chat.tools)
            return self._compared(today, chat, Rendered((Piece(text, False),)))

        return compare() and compare()  # the day may have changed between the two renderings

    def _compared(self, template: ChatTemplate, chat: Chat, rendered: Rendered) -> Refusal | None:
        from ftc.data.mask.generation import audit_generation
        from ftc.data.mask.masks import audit_conversation

        found = audit_conversation(template, chat, rendered)
        if found is not None or self.step.convention == "inference" or self.step.train_on == "all":
            return found
        return audit_generation(template, chat)

    def _string(self, name: str, row: Row) -> str:
        value = self._fields[name](row)
        if value is None:
            raise invalid(f"`{name}` is null")
        return value if isinstance(value, str) else str(value)

    def chat(self, row: Row) -> Chat:
        """The conversation of a chat row; raises `Refused`."""
        return self._as_chat(self._messages(row), row)

    def _as_chat(self, given: list[Message], row: Row) -> Chat:
        messages, silent = weighed(given)
        tools = valid_tools(self._fields["tools"](row)) if "tools" in self._fields else None
        own = valid_variables(self._fields[VARIABLES](row)) if VARIABLES in self._fields else {}
        return Chat(messages, tools, silent, own)

    def conversations(self, row: Row) -> tuple[Chat, ...]:
        """The conversations of a chat row: one, or one for each of its members; raises `Refused`."""
        if not self.step.members:
            return (self.chat(row),)
        before = self._before(row)
        chats = [[*before, *self._spoken(name, row, "assistant")] for name in self.step.members]
        for name, messages in zip(self.step.members, chats, strict=True):
            if messages[-1]["role"] != "assistant":
                raise invalid(f"`{name}` does not end with an assistant's message")
        return tuple(self._as_chat(messages, row) for messages in chats)

    def _before(self, row: Row) -> list[Message]:
        """What stands before an answer: the system's message, and the prompt as the user's."""
        system = [self._turn("system", row)] if "system" in self._fields else []
        prompt = self._spoken("prompt", row, "user") if "prompt" in self._fields else []
        if system and prompt and prompt[0]["role"] == "system":
            raise invalid("it has a system message, and `render.system` adds another")
        return [*system, *prompt]

    def _spoken(self, name: str, row: Row, role: str) -> list[Message]:
        """A column as messages: its list of them, or its text as the only message of a role."""
        value = self._fields[name](row)
        if value is None:
            raise invalid(f"`{name}` is null")
        return [{"role": role, "content": value}] if isinstance(value, str) else valid_messages(value)

    def _chat_members(self, row: Row) -> Members | Refusal:
        found = []
        for chat in self.conversations(row):
            made = self._masked(chat, full=False)
            if isinstance(made, Refusal):
                return made
            found.append(made)
        return _together(found, self.step.members)

    def _plain_members(self, row: Row) -> Members | Refusal:
        prompt = self._string("prompt", row) if "prompt" in self._fields else ""
        names = self.step.members
        return _together([self._answered(prompt, self._string(name, row)) for name in names], names)

    def _chat_prompt(self, row: Row) -> Rendered | Refusal:
        """The text that inference is given, up to where the model begins to speak."""
        from ftc.data.mask.masks import template_refusal
        from ftc.data.template.chat_template import TemplateProblem

        chat = self._as_chat(self._before(row), row)
        try:
            template = self.template.varied(chat.variables)
            text = template.render(chat.messages, tools=chat.tools, generation_prompt=True)
        except TemplateProblem as problem:
            return template_refusal(problem)
        return Rendered((Piece(text, trained=False),), prompt=text, target=_reference(row))

    def _plain_prompt(self, row: Row) -> Rendered:
        text = self._string("prompt", row)
        return Rendered((Piece(text, trained=False),), prompt=text, target=_reference(row))

    def _chat_whole(self, row: Row) -> Rendered | Refusal:
        """A conversation as it stands, closed by what its template writes behind a turn."""
        from ftc.data.mask.masks import template_refusal
        from ftc.data.template.chat_template import TemplateProblem

        chat = self._as_chat(self._before(row), row) if "prompt" in self._fields else self.chat(row)
        try:
            text = self.template.varied(chat.variables).render(chat.messages, tools=chat.tools)
        except TemplateProblem as problem:
            return template_refusal(problem)
        return Rendered((Piece(text, trained=False),))

    def _plain_whole(self, row: Row) -> Rendered | Refusal:
        return self._whole("prompt" if "prompt" in self._fields else "text", row)

    def _whole(self, name: str, row: Row) -> Rendered | Refusal:
        text = self._string(name, row)
        if not text:
            return Refusal("untrained", "FTC606", f"`{name}` is empty")
        return Rendered((Piece(text + self._eos if self.step.closed else text, trained=False),))

    def _whole_members(self, row: Row) -> Members | Refusal:
        """Several texts which a model reads one by one."""
        found = []
        for name in self.step.members:
            made = self._whole(name, row)
            if isinstance(made, Refusal):
                return made
            found.append(made)
        if len(found) > 2 and found[1].text == found[2].text:
            said = " and ".join(f"`{name}`" for name in self.step.members[1:])
            return Refusal("invalid", "FTC604", f"{said} are the same text")
        return Members(tuple(found))

    def _messages(self, row: Row) -> list[Message]:
        if "messages" not in self._fields:
            names = [name for name in SPEAKERS if name in self._fields]
            return [self._turn(name, row) for name in names]
        messages = valid_messages(self._fields["messages"](row))
        if "system" not in self._fields:
            return messages
        if messages[0]["role"] == "system":
            raise invalid("it has a system message, and `render.system` adds another")
        return [self._turn("system", row), *messages]

    def _turn(self, name: str, row: Row) -> Message:
        role = {"prompt": "user", "completion": "assistant"}.get(name, name)
        return {"role": role, "content": self._string(name, row)}

    def _chat(self, row: Row) -> Made:
        chat = self.chat(row)
        made = self._masked(chat, full=False)
        asked = self.step.history == "unroll" and self.step.train_on != "all"
        if asked and isinstance(made, Refusal) and made.code == "FTC308":
            return self._unrolled(chat)
        return made

    def _unrolled(self, chat: Chat) -> Unrolled | Refusal:
        parts = self._parts(chat, full=False)
        if isinstance(parts, Refusal):
            return parts
        rows: list[Rendered] = []
        for part in parts:
            made = self._masked(part, full=False)
            if isinstance(made, Refusal):
                return made
            rows.append(made)
        return Unrolled(tuple(rows))

    def _parts(self, chat: Chat, *, full: bool) -> tuple[Chat, ...] | Refusal:
        """The conversations that a chat with turns in history form becomes."""
        from ftc.data.mask.content import Unproved
        from ftc.data.mask.masks import template_refusal
        from ftc.data.mask.unroll import unrolled
        from ftc.data.template.chat_template import TemplateProblem

        try:
            return unrolled(self.template.varied(chat.variables), chat, self.policy, full=full)
        except Unproved as unproved:
            return unproved.refusal
        except TemplateProblem as problem:
            return template_refusal(problem)

    def _masked(self, chat: Chat, *, full: bool) -> Rendered | Refusal:
        """The pieces of a chat; with `full`, from a rendering and a trace of its own."""
        return self._mask(self.template.varied(chat.variables), chat, self.policy, full=full)

    @cached_property
    def _mask(self) -> Callable[..., Rendered | Refusal]:
        """How the pieces of a chat are found."""
        from ftc.data.mask.generation import mask_generation
        from ftc.data.mask.masks import mask_conversation

        by_blocks = self.step.convention == "trl" and self.step.train_on != "all"
        return mask_generation if by_blocks else mask_conversation

    def _completion(self, row: Row) -> Rendered:
        return self._answered(self._string("prompt", row), self._string("completion", row))

    def _answered(self, prompt: str, completion: str) -> Rendered:
        answer: tuple[Piece, ...] = (Piece(completion, trained=True),)
        if self.step.reasoning == "mask":
            answer = _without_reasoning(completion)
        pieces = (
            Piece(prompt, trained=self.step.train_on == "all"),
            *answer,
            Piece(self._eos, trained=True),
        )
        return Rendered(tuple(piece for piece in pieces if piece.text), prompt=prompt, target=completion)

    def _text(self, row: Row) -> Rendered | Refusal:
        text = self._string("text", row)
        if not text:
            return Refusal("untrained", "FTC606", "the text is empty")
        trained = self.step.train_on != "nothing"
        return Rendered((Piece(text, trained=trained), Piece(self._eos, trained=trained)))


def _reference(row: Row) -> str | None:
    """The answer that a prompt's row says is right, if it does."""
    value = row.get("reference")
    return None if value is None else str(value)


def _together(rows: list[Rendered], names: tuple[str, ...]) -> Members | Refusal:
    """Several texts as one row; refused where they do not answer the same prompt, or are the same."""
    if len({made.prompt for made in rows}) > 1:
        said = " and ".join(f"`{name}`" for name in names)
        return Refusal("invalid", "FTC604", f"{said} do not answer the same prompt")
    if len({made.text for made in rows}) < len(rows):
        return Refusal("invalid", "FTC604", "its answers are the same, so that neither is the better one")
    return Members(tuple(rows))


def _without_reasoning(text: str) -> tuple[Piece, ...]:
    from ftc.data.mask.masks import pieces_of
    from ftc.data.mask.parts import reasoning, without

    return pieces_of(text, without([(0, len(text))], reasoning(text, 0, len(text), ())))
