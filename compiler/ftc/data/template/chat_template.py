"""A model's own chat template, rendered byte for byte as transformers would."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from pydantic import JsonValue

from ftc.data.template.environment import GenerationTag, TemplateEnvironment, TracingEnvironment, generate
from ftc.data.template.limits import Budget, Limits, TemplateLimit
from ftc.data.template.provenance import FIRST_SOURCE, MARK, Run, Traced, concatenate
from ftc.data.template.values import Message, Origin, Wrapper, plain_message, plain_value

if TYPE_CHECKING:
    from ftc.data.template.specialise.specialiser import Specialiser

__all__ = ["ChatTemplate", "Message", "TemplateProblem", "Trace", "hugging_face_text"]

_NAME = "<chat template>"
LARGEST_SOURCE = 2**18
"""Characters of the longest template that is taken; those that are published have a tenth of that."""

# What a template can make Python raise: its own errors, and those of operators and methods on its values.
FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


class TemplateProblem(Exception):  # noqa: N818  the template's, not the program's
    """A chat template that cannot be read, or fails on a conversation; `line` is the template's.

    `hostile` says that it was stopped: at a limit, or where it reached for what is not a template's.
    """

    def __init__(self, message: str, line: int | None = None, *, hostile: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.hostile = hostile


@dataclass(frozen=True, slots=True)
class Trace:
    """A rendering whose characters know where they came from; `origins[n]` is source FIRST_SOURCE + n."""

    text: str
    runs: tuple[Run, ...]
    origins: tuple[Origin, ...]

    def origin(self, source: int) -> Origin | None:
        """Where a source was handed in; None for the template's own text and for text of lost origin."""
        return self.origins[source - FIRST_SOURCE] if source >= FIRST_SOURCE else None

    @property
    def marks(self) -> tuple[tuple[int, int], ...]:
        """Position and number of every mark, in order."""
        found, at = [], 0
        for length, source, offset in self.runs:
            if source == MARK:
                found.append((at, offset))
            at += length
        return tuple(found)


def _problem(error: Exception) -> TemplateProblem:
    line = getattr(error, "lineno", None)
    for frame in traceback.extract_tb(error.__traceback__):
        line = frame.lineno if frame.filename == _NAME else line
    if isinstance(error, RecursionError):
        return TemplateProblem("the template calls itself without end", line, hostile=True)
    if isinstance(error, MemoryError):
        return TemplateProblem("the template needs more memory than there is", line, hostile=True)
    text = str(error) or type(error).__name__
    stopped = isinstance(error, (TemplateLimit, jinja2.exceptions.SecurityError))
    own = isinstance(error, jinja2.TemplateError)
    return TemplateProblem(text if own else f"{text} ({type(error).__name__})", line, hostile=stopped)


def compiled(environment: TemplateEnvironment, source: str) -> jinja2.Template:
    """A template ready to run; raises TemplateProblem where the source is not valid Jinja."""
    if len(source) > LARGEST_SOURCE:
        raise TemplateProblem(f"the template is longer than {LARGEST_SOURCE:,} characters")
    try:
        tree = environment.instrumented(environment.parse(source, _NAME, _NAME))
        code = environment.compile(tree, _NAME, _NAME)
        return jinja2.Template.from_code(environment, code, environment.make_globals(None))
    except FAILURES as error:
        raise _problem(error) from error


class ChatTemplate:
    """A chat template ready to render, byte for byte as transformers would.

    `special_tokens` are those of the tokenizer by role (`eos_token`); `variables` win over them.
    Raises TemplateProblem where the source is not valid Jinja.
    """

    def __init__(
        self,
        source: str,
        *,
        special_tokens: Mapping[str, str],
        variables: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.source = source
        self.special_tokens = dict(special_tokens)
        self.variables: dict[str, Any] = dict(variables or {})
        self.own: Mapping[str, Any] = {}
        """Variables of one row, which `varied` has added."""
        self.limits = limits or Limits()
        self._plain = compiled(TemplateEnvironment(self.limits), source)

    @cached_property
    def _tracing(self) -> jinja2.Template:
        return compiled(TracingEnvironment(self.limits), self.source)

    @cached_property
    def specialiser(self) -> Specialiser:
        """What proves conversations from recordings of the template."""
        from ftc.data.template.specialise.specialiser import Specialiser

        return Specialiser(self)

    @cached_property
    def uses_clock(self) -> bool:
        """Whether the template asks for the present time, so that its text changes from day to day."""
        return self.uses("strftime_now")

    def uses(self, variable: str) -> bool:
        """Whether the template names a variable."""
        tree = TemplateEnvironment(self.limits).parse(self.source)
        return any(name.name == variable for name in tree.find_all(nodes.Name))

    @cached_property
    def has_generation(self) -> bool:
        """Whether the template says by `{% generation %}` blocks what the model writes."""
        tree = TemplateEnvironment(self.limits).parse(self.source)
        return any(
            node.identifier == GenerationTag.identifier for node in tree.find_all(nodes.ExtensionAttribute)
        )

    def varied(self, variables: Mapping[str, Any]) -> ChatTemplate:
        """The same template with further variables, which win over those it has."""
        if not variables:
            return self
        _ = self._tracing, self.specialiser  # made once, for both
        other = copy(self)
        other.own = {**self.own, **variables}
        other.variables = {**self.variables, **variables}
        return other

    def tried(self) -> TemplateProblem | None:
        """Why the template is stopped on the smallest of conversations; None where it is not.

        A template may refuse that conversation for reasons of its own.
        """
        talk = self.prepared([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
        try:
            self.render_prepared(talk, None, generation_prompt=True)
            self.trace(talk, None)
        except TemplateProblem as problem:
            return problem if problem.hostile else None
        return None

    def prepared(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages as the template gets them; raises TemplateProblem for what JSON cannot hold."""
        plain = []
        for index, message in enumerate(messages):
            try:
                plain.append(plain_message(message))
            except TypeError as error:
                raise TemplateProblem(
                    f"message {index + 1} holds {error}, which no template can be given"
                ) from error
            except RecursionError as error:
                raise TemplateProblem(f"message {index + 1} is nested too deeply for a template") from error
        return plain

    def _given(self, tools: Any, generation_prompt: bool) -> dict[str, Any]:
        given = {**self.special_tokens, **self.variables, "tools": tools, "documents": None}
        given["add_generation_prompt"] = generation_prompt
        return given

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[dict[str, Any]] | None = None,
        generation_prompt: bool = False,
    ) -> str:
        """The conversation as text; raises TemplateProblem where the template fails on it."""
        return self.render_prepared(self.prepared(messages), tools, generation_prompt=generation_prompt)

    def render_prepared(
        self,
        messages: list[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        *,
        generation_prompt: bool,
    ) -> str:
        """`render` for messages that went through `prepared`; a part of them may be rendered."""
        return self._rendered(messages, tools, self._budget(messages, tools), generation_prompt)

    def _budget(self, messages: Sequence[Any], tools: Sequence[Any] | None) -> Budget:
        return Budget(self.limits.given(extent(messages) + extent(tools), len(messages)))

    def _rendered(self, messages: Any, tools: Any, budget: Budget, generation_prompt: bool) -> str:
        given = self._given(plain_value(tools), generation_prompt)
        given["messages"] = messages
        try:
            return "".join(generate(self._plain, given, budget))
        except FAILURES as error:
            raise _problem(error) from error

    def generated(
        self, messages: list[dict[str, Any]], tools: Sequence[dict[str, Any]] | None
    ) -> tuple[str, list[tuple[int, int]]]:
        """The rendering of prepared messages, and where its `{% generation %}` blocks stand in it.

        Raises TemplateProblem where a block is not written out in its place, as in a macro.
        """
        budget = self._budget(messages, tools)
        text = self._rendered(messages, tools, budget, generation_prompt=False)
        for start, body in budget.blocks:
            if text[start : start + len(body)] != body:
                raise TemplateProblem("a generation block stands where its place cannot be told (a macro)")
        return text, [(start, start + len(body)) for start, body in budget.blocks]

    def traced_variables(self, *, generation_prompt: bool) -> dict[str, Any]:
        """What a template is given besides messages and tools, as text that the template says itself."""
        return {key: _literal(value) for key, value in self._given(None, generation_prompt).items()}

    def trace(self, messages: list[dict[str, Any]], tools: Sequence[dict[str, Any]] | None) -> Trace:
        """The rendering of prepared messages with every character's origin."""
        wrapper = Wrapper()
        given = self.traced_variables(generation_prompt=False)
        given["messages"] = wrapper.messages(messages)
        given["tools"] = wrapper.wrap(plain_value(tools), None)
        try:
            text = concatenate(generate(self._tracing, given, self._budget(messages, tools)))
        except FAILURES as error:
            raise _problem(error) from error
        return Trace(str.__str__(text), text.runs, tuple(wrapper.origins))


def extent(value: Any) -> int:
    """About how many characters a value has, keys and brackets included."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(extent(key) + extent(item) for key, item in value.items()) + 2
    return sum(map(extent, value)) + 2 if isinstance(value, (list, tuple)) else 8


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        return Traced.literal(value)
    if isinstance(value, dict):
        return {_literal(key): _literal(item) for key, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value


def hugging_face_text(
    source: str,
    messages: Sequence[Message],
    *,
    special_tokens: Mapping[str, str],
    variables: Mapping[str, JsonValue],
    tools: Sequence[dict[str, Any]] | None = None,
    generation_prompt: bool = False,
) -> str:
    """The same conversation through transformers' own renderer, the judge of `ChatTemplate`.

    Nulls are dropped first, as `apply_chat_template` does. Raises TemplateProblem where it fails.
    """
    given = {**special_tokens, **variables, "add_generation_prompt": generation_prompt}
    return _judged(source, messages, tools, given)[0]


def hugging_face_blocks(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None
) -> tuple[str, list[tuple[int, int]]]:
    """Text and generation blocks of a conversation by transformers' own account, the judge of `generated`."""
    given = {**template.special_tokens, **template.variables, "return_assistant_tokens_mask": True}
    return _judged(template.source, messages, tools, given)


def load_judge() -> None:
    """Load transformers' renderer, so that a process that is forked later has it."""
    from transformers.utils import chat_template_utils  # noqa: F401


def _judged(
    source: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None, given: dict[str, Any]
) -> tuple[str, list[tuple[int, int]]]:
    from transformers.utils.chat_template_utils import render_jinja_template

    render: Any = render_jinja_template
    chat = [{key: value for key, value in message.items() if value is not None} for message in messages]
    try:
        texts, blocks = render(
            conversations=[chat],
            tools=list(tools) if tools is not None else None,
            chat_template=source,
            **given,
        )
    except FAILURES as error:
        raise _problem(error) from error
    return str(texts[0]), [(start, end) for start, end in blocks[0]] if blocks else []
