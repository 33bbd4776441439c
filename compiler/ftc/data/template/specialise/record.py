"""The recording of one rendering: the template is run on stand-ins for a row's free strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jinja2

from ftc.data.template.chat_template import FAILURES, ChatTemplate, TemplateProblem
from ftc.data.template.environment import BUDGET
from ftc.data.template.limits import Budget, Limits
from ftc.data.template.provenance import Traced
from ftc.data.template.specialise.bounds import Bound, longest, work
from ftc.data.template.specialise.environment import TemplateRaised, concat
from ftc.data.template.specialise.expression import Expression, Fixed, Given
from ftc.data.template.specialise.recording import (
    Answer,
    RecordedScalar,
    RecordedText,
    Recorder,
    Unspecialised,
)
from ftc.data.template.specialise.shape import Place, place_of, places
from ftc.data.template.specialise.skeleton import Position, Skeleton
from ftc.data.template.values import Message, Origin, Path, Wrapper, plain_value

Form = tuple[int, bool]
"""A rendering: of the first so many messages, with the generation prompt or without."""

Blocks = tuple[tuple[Position, Position], ...]
_REFUSALS = (TemplateRaised, jinja2.UndefinedError)


class Subject:
    """One row: a conversation, its template and tools, its free strings in order, and their size together."""

    def __init__(
        self,
        template: ChatTemplate,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None,
        row: Sequence[str],
    ) -> None:
        self.template, self.messages, self.tools, self.row = template, messages, tools, row
        self.size = sum(map(len, row))

    @cached_property
    def prepared(self) -> list[dict[str, Any]]:
        """The messages as a template gets them."""
        return self.template.prepared(self.messages)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the strings of a shape are, in a conversation of `count` messages.

    `origins` are those of every string, with one row's texts; `sources` and `messages` give for each free
    string its source, and the message it is in.
    """

    count: int
    origins: tuple[Origin, ...]
    sources: tuple[int, ...]
    messages: tuple[int, ...]

    def traced(self, row: Sequence[str]) -> list[Traced]:
        """The free strings of a row with their origins."""
        pairs = zip(row, self.sources, strict=True)
        return [Traced(text, ((len(text), source, 0),) if text else ()) for text, source in pairs]


@dataclass(slots=True)
class Outcome:
    """What a recording came to.

    `skeleton` is None where the template refuses the conversation. `asked` are the questions which are
    not in `known`, in order; `blocks` are the places of `{% generation %}` blocks, None where they
    cannot be told. No text of the rendering is longer than `longest` says, and it costs no more than
    `work` says.
    """

    skeleton: Skeleton | None
    asked: list[tuple[Expression, Answer]]
    known: dict[Expression, Answer]
    layout: Layout
    longest: Bound
    work: Bound
    blocks: Blocks | None = None


class _Wrapper(Wrapper):
    """Wraps free strings into stand-ins, and all others into traced strings."""

    def __init__(self, recorder: Recorder, numbers: Mapping[Place, int]) -> None:
        super().__init__()
        self._recorder, self._numbers = recorder, numbers
        self.sources: dict[int, int] = {}

    def _text(self, origin: Origin) -> Any:
        number = self._free(origin)
        return super()._text(origin) if number is None else RecordedText(self._recorder, Given(number))

    def _free(self, origin: Origin) -> int | None:
        """The number of the free string that has an origin, whose source it then is."""
        if origin.message is None or origin.key:
            return None
        number = self._numbers.get(place_of(origin.message, origin.path))
        if number is not None:
            self.sources[number] = self._new(origin)
        return number

    def wrap(self, value: Any, message: int | None, path: Path = ()) -> Any:
        """The value with every free string and number replaced, and all others traced."""
        if type(value) in (int, float):
            number = self._free(Origin(message, path, repr(value)))
            if number is not None:
                return RecordedScalar(self._recorder, Given(number), type(value))
        return super().wrap(value, message, path)

    def layout(self, count: int) -> Layout:
        """Where the strings are that have been wrapped."""
        sources = tuple(self.sources[number] for number in range(len(self._numbers)))
        return Layout(count, tuple(self.origins), sources, tuple(message for message, _ in self._numbers))


class _Account(Budget):
    """The chunks that a template has given out, and its generation blocks."""

    __slots__ = ("chunks",)

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.chunks: list[Any] = []

    @property
    def turns(self) -> int:
        """The turns taken, apart from those for the length of free strings."""
        return self._turns

    def generated(self, text: Any) -> None:
        """Note a block which is about to be written, after the chunks there are."""
        self.blocks.append((len(self.chunks), text))


def record(
    subject: Subject, jinja: jinja2.Template, form: Form, known: dict[Expression, Answer]
) -> Outcome | None:
    """The recording of a form of a row's conversation; None where the template cannot be recorded on it."""
    numbers = {place: number for number, place in enumerate(places(subject.messages))}
    recorder = Recorder(subject.row, known)
    wrapper = _Wrapper(recorder, numbers)
    messages = wrapper.messages(subject.prepared)
    template, account = subject.template, _Account(subject.template.limits)
    variables = template.traced_variables(generation_prompt=form[1])
    variables |= {
        "messages": messages[: form[0]],
        "tools": wrapper.wrap(plain_value(subject.tools), None),
        BUDGET: account,
    }
    jinja.environment.budget = account  # type: ignore[attr-defined]
    try:
        for chunk in jinja.generate(variables):
            account.chunks.append(chunk)
        written: Any = concat(account.chunks)
    except _REFUSALS:
        written = None
    except (Unspecialised, *FAILURES):
        return None
    if recorder.failure or not _right(subject, form, recorder, written):
        return None
    looks = recorder.looks
    outcome = Outcome(
        skeleton=None,
        asked=recorder.asked,
        known=recorder.known,
        layout=wrapper.layout(len(messages)),
        longest=longest([Fixed("", ()), *looks]),
        work=work(looks, account.turns),
    )
    if written is not None:
        outcome.skeleton = Skeleton(_expression(written))
        outcome.longest = longest([_expression(written), *looks])
        outcome.blocks = _blocks(account, outcome.skeleton)
    return outcome


def _expression(written: Any) -> Expression:
    if type(written) is RecordedText:
        return written.expression
    return Fixed(str.__str__(written), written.runs)


def _right(subject: Subject, form: Form, recorder: Recorder, written: Any) -> bool:
    """Whether the recording gives this row's own rendering."""
    prepared = subject.prepared[: form[0]]
    try:
        text = subject.template.render_prepared(prepared, subject.tools, generation_prompt=form[1])
    except TemplateProblem:
        return written is None
    return written is not None and Skeleton(_expression(written)).text(recorder.row) == text


def _blocks(account: _Account, skeleton: Skeleton) -> Blocks | None:
    found = []
    for count, body in account.blocks:
        before = Skeleton(_expression(concat(account.chunks[:count]))).agreement(skeleton)
        behind = Skeleton(_expression(concat([*account.chunks[:count], body]))).agreement(skeleton)
        if not (before.whole and behind.whole):
            return None
        found.append((before.end, behind.end))
    return tuple(found)
