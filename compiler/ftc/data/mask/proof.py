"""The proof that a stretch of a rendering is one assistant turn, as inference would produce it.

A turn is trained from where the generation prompt ends to the end of its stop token. Every condition
below must hold, or the row is refused; nothing is guessed:

1. The traced rendering equals the plain one, byte for byte.
2. The template writes the message in one stretch, found by the marks of its loop over the messages.
3. What inference is given before the turn (the messages before it, with the generation prompt) is
   exactly the text before the turn.
4. Between there and the stop token stands nothing but the template's own text and this message: no
   character of another message, of a tool's description, or of unknown origin.
5. Every character of the content is there, once and in order. What may be left out: white space at
   its ends and around reasoning, tags of reasoning, a reasoning block. Separate reasoning is there
   as a whole or not at all. Tool calls are there, with every string of their arguments.
6. A stop token follows.
7. The text up to there is what it would be if the conversation ended with this turn.

A turn that fails only 3 or 7 is in "history form": the template renders it otherwise once other
messages follow (reasoning dropped, another stop token), so inference would never produce it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ftc.data.mask.content import Unproved, check_origin, excerpt, must_stand_once
from ftc.data.mask.parts import Kind, Span, Stretch, parts_of
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem
from ftc.data.template.provenance import FIRST_SOURCE, LITERAL, LOST, Run
from ftc.data.template.values import REASONING_FIELDS, Origin, read_mark


class Turn(NamedTuple):
    """A proved turn: where it begins and ends, and where its stop token begins (equal to `end`: it has none).

    `reasoning` and `tool_calls` are those parts of it, in order and within `start` and `stop`, as
    `mask.parts` tells them. What of a turn carries loss is decided in `mask.masks`, not here.
    """

    message: int
    start: int
    stop: int
    end: int
    reasoning: tuple[Span, ...] = ()
    tool_calls: tuple[Span, ...] = ()


def _difference(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


class Conversation:
    """One conversation, rendered and traced, whose turns can be proved.

    Making it raises TemplateProblem where the template fails, and Unproved where condition 1 does.
    """

    def __init__(
        self,
        template: ChatTemplate,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        stop_tokens: Sequence[str],
    ) -> None:
        self.messages = list(messages)
        self._template = template
        self._tools = tools
        self._stop_tokens = [token for token in stop_tokens if token]
        self.text = self.render(len(self.messages), generation_prompt=False)
        self._trace = template.trace(self.messages, tools)
        if self._trace.text != self.text:
            place = _difference(self._trace.text, self.text)
            raise Unproved(f"tracing the template changes its text near {excerpt(self.text, place)}")

    def render(self, count: int, *, generation_prompt: bool) -> str:
        """The plain rendering of the first `count` messages."""
        return self._template.render_prepared(
            self.messages[:count], self._tools, generation_prompt=generation_prompt
        )

    @cached_property
    def _placed(self) -> list[tuple[int, Run]]:
        placed, at = [], 0
        for run in self._trace.runs:
            if run[0]:
                placed.append((at, run))
            at += run[0]
        return placed

    @cached_property
    def _stretches(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = {}
        open_loops: dict[int, tuple[int | None, int]] = {}
        for at, number in self._trace.marks:
            loop, message = read_mark(number)
            _close(found, open_loops.get(loop), at)
            open_loops[loop] = (message, at)
        for opened in open_loops.values():
            _close(found, opened, len(self.text))
        return found

    def blocks(self) -> list[Span] | None:
        """The places of the template's generation blocks: not known here, as the trace does not tell them."""
        return None

    def message_at(self, place: int) -> int | None:
        """The message that a place belongs to: the one whose stretch it is in, or the last one before it."""
        stretches = [(start, message) for message, all_ in self._stretches.items() for start, _ in all_]
        return max(((start, message) for start, message in stretches if start <= place), default=(0, None))[1]

    def _runs(self, start: int, end: int) -> Iterator[tuple[int, Run]]:
        first = max(0, bisect_left(self._placed, start, key=lambda placed: placed[0]) - 1)
        for at, run in self._placed[first:]:
            if at >= end:
                return
            if at + run[0] > start:
                yield at, run

    def _origin(self, run: Run) -> Origin | None:
        return self._trace.origin(run[1])

    def stretch(self, message: int) -> tuple[int, int]:
        """The one stretch of the text that the template writes for a message; raises Unproved."""
        stretches = self._stretches.get(message, [])
        if len(stretches) == 1:
            return stretches[0]
        if stretches:
            raise Unproved(f"the template writes message {message + 1} in {len(stretches)} places")
        if not self._stretches:
            raise Unproved(
                "the template does not go through the messages in a loop, so turns cannot be told apart"
            )
        raise Unproved(f"the template writes nothing for message {message + 1}")

    def last_own(self, message: int, start: int, stretch_end: int) -> int:
        """The end of the last character that the message adds to its stretch, from `start` on.

        A tool's name which stands there again, in the tool's answer, adds nothing.
        """
        last, adds = start, False
        reached: dict[int, int] = {}
        for at, run in self._runs(start, stretch_end):
            if not self._speaks(run, message):
                continue
            length, source, offset = run
            if offset >= 0:
                adds = offset + length > reached.get(source, 0)
                reached[source] = max(reached.get(source, 0), offset + length)
            if adds:
                last = min(at + length, stretch_end)
            elif must_stand_once(self._origin(run)):
                raise Unproved(
                    f"the template repeats text of message {message + 1}: {excerpt(self.text, at)}"
                )
        return last

    def foreign_from(self, at: int, message: int) -> int:
        """The first character at or after `at` that is neither the template's nor the message's."""
        for place, run in self._runs(at, len(self.text)):
            origin = self._origin(run)
            own = origin is not None and origin.message == message
            if run[1] != LITERAL and not own:
                return max(at, place)
        return len(self.text)

    def _stop(self, message: int, own_end: int, stretch_end: int) -> tuple[int, int]:
        """Where the stop token begins and ends; raises Unproved where none is found."""
        if not self._stop_tokens:
            end = max(own_end, stretch_end)
            return end, end
        limit = self.foreign_from(own_end, message)
        found = [
            (at, -len(token))
            for token in self._stop_tokens
            if own_end <= (at := self.text.find(token, own_end, limit)) <= stretch_end
        ]
        if not found:
            self._check_foreign(message, own_end, stretch_end)
            wanted = " or ".join(repr(token) for token in self._stop_tokens)
            raise Unproved(
                f"no stop token ({wanted}) follows message {message + 1}: {excerpt(self.text, own_end)}"
            )
        at, length = min(found)
        return at, at - length

    def _check_foreign(self, message: int, start: int, end: int) -> None:
        place = self.foreign_from(start, message)
        if place >= end:
            return
        run = next(run for _, run in self._runs(place, place + 1))
        origin = self._origin(run)
        if run[1] == LOST:
            whose = "text whose origin is lost (a filter or method that cannot be traced)"
        else:
            whose = (
                f"text of message {origin.message + 1}"
                if origin and origin.message is not None
                else "text of a tool"
            )
        raise Unproved(
            f"{whose} stands inside the turn of message {message + 1}: {excerpt(self.text, place)}"
        )

    def _covered(self, start: int, end: int) -> dict[int, list[tuple[int, int]]]:
        """Per source, the stretches of it (offset, end) which stand between two places, in text order."""
        covered: dict[int, list[tuple[int, int]]] = {}
        for at, (length, source, offset) in self._runs(start, end):
            if source >= FIRST_SOURCE and offset >= 0:
                first = offset + max(0, start - at)
                last = offset + min(length, end - at)
                covered.setdefault(source, []).append((first, last))
        return covered

    def _check_complete(self, message: int, start: int, end: int) -> None:
        covered = self._covered(start, end)
        for number, origin in enumerate(self._trace.origins):
            if origin.message == message:
                check_origin(origin, covered.get(FIRST_SOURCE + number, []))

    def prompt(self, message: int) -> str:
        """What inference would be given before a message; raises Unproved where the template refuses that."""
        try:
            return self.render(message, generation_prompt=True)
        except TemplateProblem as problem:
            raise Unproved(
                f"the template cannot ask for message {message + 1}: {problem.message}", history=True
            ) from problem

    def _check_prompt(self, message: int, prompt: str) -> None:
        if not self.text.startswith(prompt):
            place = _difference(self.text, prompt)
            raise Unproved(
                f"before message {message + 1} inference is given other text than stands here:"
                f" {excerpt(prompt, place)} against {excerpt(self.text, place)}",
                history=True,
            )

    def _check_last_form(self, message: int, end: int) -> None:
        if message == len(self.messages) - 1:
            return
        try:
            ended = self.render(message + 1, generation_prompt=False)
        except TemplateProblem as problem:
            raise Unproved(
                f"the template cannot end with message {message + 1}: {problem.message}", history=True
            ) from problem
        if ended[:end] != self.text[:end]:
            place = _difference(ended, self.text)
            raise Unproved(
                f"message {message + 1} is rendered otherwise once messages follow it:"
                f" {excerpt(self.text, place)} instead of {excerpt(ended, place)}",
                history=True,
            )

    def bounds(self, message: int, start: int, stretch: tuple[int, int]) -> Turn:
        """The turn which starts at a place, by conditions 4 to 6; raises Unproved."""
        own_end = self.last_own(message, start, stretch[1])
        stop, end = self._stop(message, own_end, stretch[1])
        self._check_foreign(message, start, end)
        self._check_complete(message, start, end)
        return Turn(message, start, stop, end, *parts_of(self.text, start, stop, self.parts(start, stop)))

    def parts(self, start: int, stop: int) -> list[Stretch]:
        """What each stretch of a proved turn is: all of it is the template's or the message's."""
        return [
            Stretch(max(at, start), min(at + run[0], stop), _kind(self._origin(run)))
            for at, run in self._runs(start, stop)
        ]

    def prove(self, message: int) -> Turn:
        """The turn of an assistant message; raises Unproved with the condition that does not hold."""
        stretch = self.stretch(message)
        prompt = self.prompt(message)
        self._check_prompt(message, prompt)
        turn = self.bounds(message, len(prompt), stretch)
        self._check_last_form(message, turn.end)
        return turn

    def prove_history(self, message: int) -> Turn:
        """The turn as it stands in the history: conditions 3 and 7 are waived.

        It starts where the template's own text stops agreeing with the generation prompt.
        """
        stretch = self.stretch(message)
        limit = self.first_own(message, stretch)
        stops = [at for token in self._stop_tokens if (at := self.text.find(token, stretch[0], limit)) >= 0]
        return self.bounds(
            message, self._start_in_history(message, stretch[0], min([limit, *stops])), stretch
        )

    def first_own(self, message: int, stretch: tuple[int, int]) -> int:
        """Where what the message says begins in its stretch; the end of the stretch where it says nothing."""
        own = [at for at, run in self._runs(*stretch) if self._speaks(run, message)]
        return min([stretch[1], *own])

    def _start_in_history(self, message: int, stretch_start: int, limit: int) -> int:
        try:
            start = _difference(self.text, self.prompt(message))
        except Unproved:
            start = -1
        if start >= stretch_start:
            return min(start, limit)
        header = self._generation_header
        place = self.text.find(header, stretch_start, limit) if header else -1
        if place < 0:
            raise Unproved(
                f"the generation prompt of message {message + 1} is not found before it", history=True
            )
        return place + len(header)

    @cached_property
    def _generation_header(self) -> str:
        """What the generation prompt adds after the last message; empty where it changes more than that."""
        try:
            asked = self.render(len(self.messages), generation_prompt=True)
        except TemplateProblem:
            return ""
        return asked[len(self.text) :] if asked.startswith(self.text) else ""

    def _speaks(self, run: Run, message: int) -> bool:
        origin = self._origin(run)
        return origin is not None and origin.message == message and origin.field != "role"


def _kind(origin: Origin | None) -> Kind:
    if origin is None or origin.field == "role":
        return "template"
    if origin.field == "tool_calls":
        return "call"
    return "reasoning" if origin.field == REASONING_FIELDS[0] else "content"


def _close(found: dict[int, list[tuple[int, int]]], opened: tuple[int | None, int] | None, at: int) -> None:
    if opened is not None and opened[0] is not None and at > opened[1]:
        found.setdefault(opened[0], []).append((opened[1], at))
