"""A row of the query's result becomes text with trained spans, or is refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ftc.data.example import Piece, Refusal, Rendered
from ftc.plan.steps import RenderStep, TokenizerStep
from ftc.recipe.templates import jinja_environment

if TYPE_CHECKING:
    from jinja2 import Template

    from ftc.data.chat_template import ChatTemplate

Row = Mapping[str, Any]
Message = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")
MASKS: dict[str, Literal["assistant", "last_assistant", "all"]] = {
    "assistant": "assistant",
    "last_assistant": "last_assistant",
    "completion": "last_assistant",
    "all": "all",
}
"""How `train_on` reads in a chat, where the completion is the last answer."""


HISTORY: dict[str, Literal["refuse", "exclude", "keep"]] = {
    "error": "refuse",
    "exclude": "exclude",
    "keep": "keep",
}


HALF_A_CHARACTER = "it has half of a surrogate pair, such as \\ud83d alone, which is no character"


def _is_unicode(made: Rendered | Refusal) -> bool:
    """Whether the text can be written; JSON's escapes can make text that cannot."""
    try:
        (made.text if isinstance(made, Rendered) else made.reason).encode()
    except UnicodeEncodeError:
        return False
    return True


def _clock(date: str | None) -> dict[str, Any]:
    """The function by which chat templates print the date, fixed to one day."""
    if date is None:
        return {}
    from datetime import datetime

    return {"strftime_now": datetime.fromisoformat(date).strftime}


class _Refused(Exception):  # noqa: N818 - carries a refusal out of the rendering of one row
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class _NullPrintedError(ValueError):
    pass


def _invalid(reason: str, code: str = "FTC604") -> _Refused:
    return _Refused(Refusal("invalid", code, reason))


def _not_null(value: Any) -> Any:
    if value is None:
        raise _NullPrintedError("it prints a null; write a default, such as {{ column or '' }}")
    return value


class Renderer:
    """Renders rows by a RenderStep; `eos` is the text of the tokenizer's end token.

    Raises TemplateProblem (of `chat_template`) where the chat template itself is not valid.
    """

    def __init__(self, step: RenderStep, tokenizer: TokenizerStep, eos: str) -> None:
        self.step, self._tokenizer, self._eos = step, tokenizer, eos
        self._fields = {name: self._field(name, source) for name, source in step.fields.items()}
        self._form: Callable[[Row], Rendered | Refusal] = {
            "chat": self._chat,
            "completion": self._completion,
            "text": self._text,
        }[step.form]
        if step.form == "chat":
            _ = self.template

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template, at the step's date if it has one."""
        return self._chat_template(_clock(self.step.date))

    def _chat_template(self, clock: Mapping[str, Any]) -> ChatTemplate:
        from ftc.data.chat_template import ChatTemplate

        return ChatTemplate(
            self.step.chat_template or "",
            special_tokens=self._tokenizer.special_tokens,
            variables={**self.step.variables, **clock},
        )

    def __call__(self, row: Row) -> Rendered | Refusal:
        """The row as text, or why it cannot be used."""
        try:
            made = self._form(row)
        except _Refused as refused:
            made = refused.refusal
        return made if _is_unicode(made) else Refusal("invalid", "FTC604", HALF_A_CHARACTER)

    def audit(self, row: Row, rendered: Rendered) -> Refusal | None:
        """Compare a chat's text with transformers' own rendering; None where they agree."""
        if self.step.form != "chat":
            return None
        from ftc.data.mask import audit_conversation

        messages, tools = self.messages(row), self._tools(row)
        if self.step.date is None:
            return audit_conversation(self.template, messages, rendered, tools=tools)
        today = self._chat_template({})

        def compare() -> Refusal | None:
            """Transformers cannot be given a date, so both sides print the present one."""
            text = today.render(messages, tools=tools)
            return audit_conversation(today, messages, Rendered((Piece(text, False),)), tools=tools)

        return compare() and compare()  # the day may have changed between the two renderings

    def _field(self, name: str, source: str | None) -> Callable[[Row], Any]:
        if source is None:
            return lambda row: row[name]
        environment = jinja_environment()
        environment.finalize = _not_null
        template = environment.from_string(source)
        return lambda row: _filled(name, template, row)

    def _string(self, name: str, row: Row) -> str:
        value = self._fields[name](row)
        if value is None:
            raise _invalid(f"`{name}` is null")
        return value if isinstance(value, str) else str(value)

    def messages(self, row: Row) -> list[Message]:
        """The conversation of a chat row; raises nothing for a row that has been rendered."""
        if "messages" in self._fields:
            system = [self._turn("system", row)] if "system" in self._fields else []
            return system + valid_messages(self._fields["messages"](row))
        return [self._turn(name, row) for name in ("system", "user", "prompt") if name in self._fields] + [
            self._turn(name, row) for name in ("assistant", "completion") if name in self._fields
        ]

    def _tools(self, row: Row) -> list[dict[str, Any]] | None:
        if "tools" not in self._fields:
            return None
        value = self._fields["tools"](row)
        tools = _parsed(value) if isinstance(value, str) else value
        if tools is not None and not (isinstance(tools, list) and all(isinstance(t, dict) for t in tools)):
            raise _invalid("`tools` is not a list of tool descriptions")
        return tools or None

    def _turn(self, name: str, row: Row) -> Message:
        role = {"prompt": "user", "completion": "assistant"}.get(name, name)
        return {"role": role, "content": self._string(name, row)}

    def _chat(self, row: Row) -> Rendered | Refusal:
        from ftc.data.mask import mask_conversation

        return mask_conversation(
            self.template,
            self.messages(row),
            tools=self._tools(row),
            train_on=MASKS[self.step.train_on],
            stop_tokens=self.step.stop_tokens,
            history=HISTORY[self.step.history],
        )

    def _completion(self, row: Row) -> Rendered:
        prompt, completion = self._string("prompt", row), self._string("completion", row)
        pieces = (
            Piece(prompt, trained=self.step.train_on == "all"),
            Piece(completion, trained=True),
            Piece(self._eos, trained=True),
        )
        return Rendered(tuple(piece for piece in pieces if piece.text), prompt=prompt, target=completion)

    def _text(self, row: Row) -> Rendered | Refusal:
        text = self._string("text", row)
        if not text:
            return Refusal("untrained", "FTC606", "the text is empty")
        return Rendered((Piece(text, trained=True), Piece(self._eos, trained=True)))


def _filled(name: str, template: Template, row: Row) -> str:
    from jinja2 import TemplateError

    try:
        return template.render(row)
    except _NullPrintedError as error:
        raise _invalid(f"the template of `{name}` fails: {error}", "FTC604") from error
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _invalid(f"the template of `{name}` fails: {error}", "FTC304") from error


def valid_messages(value: Any) -> list[Message]:
    """A conversation as messages with role and content; raises a refusal, which `Renderer` returns."""
    if isinstance(value, str):
        value = _parsed(value)
    if value is None:
        raise _invalid("`messages` is null")
    if not isinstance(value, Sequence) or not value:
        raise _invalid("`messages` is empty" if value in ([], "", {}) else "`messages` is not a list")
    return [_valid_message(number, message) for number, message in enumerate(value, 1)]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _invalid(f"`messages` is not JSON: {error}") from error


def _valid_message(number: int, message: Any) -> Message:
    if not isinstance(message, Mapping):
        raise _invalid(f"message {number} is not an object with role and content")
    given = {str(key): value for key, value in message.items() if value is not None}
    role, content = given.get("role"), given.get("content")
    if role not in ROLES:
        shown = "no role" if role is None else f"the unknown role `{role}`"
        raise _invalid(f"message {number} has {shown} (known: {', '.join(ROLES)})")
    if content is None and not given.get("tool_calls"):
        raise _invalid(f"message {number} ({role}) has no content")
    if content is not None and not isinstance(content, (str, list)):
        raise _invalid(f"message {number} ({role}) has content that is not text")
    return {"role": role, "content": content or "", **given}
