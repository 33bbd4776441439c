"""A row of a known shape: its rendering and the proof of its turns, filled in from recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ftc.data.mask.content import Unproved
from ftc.data.mask.parts import Span, Stretch, parts_of
from ftc.data.mask.proof import Conversation, Turn
from ftc.data.rendering.example import Refusal
from ftc.data.template.chat_template import Trace
from ftc.data.template.provenance import FIRST_SOURCE, Traced
from ftc.data.template.specialise.bounds import Bound
from ftc.data.template.specialise.expression import Expression
from ftc.data.template.specialise.record import Blocks, Form, Layout, Subject
from ftc.data.template.specialise.recording import Answer
from ftc.data.template.specialise.skeleton import Position, Skeleton, ends_of
from ftc.data.template.specialise.tree import Tree
from ftc.data.template.specialise.turns import Comparison, Plan, Planner, PromptPlan, TurnPlan

if TYPE_CHECKING:
    from ftc.data.template.specialise.specialiser import Shape
    from ftc.data.template.values import Origin

_PLAN_SETS = 64
_ATTEMPTS = 4
DISAGREEMENT = "the specialised proof of message {} and the full one differ, which is a mistake of ftc"


@dataclass(slots=True)
class Plans:
    """The plans of turns (and of turns in history form) of rows with the same empty slots.

    A turn has several plans where further forms of the conversation differ; `attempts` counts both those
    and the rows of which none could be made.
    """

    turns: dict[tuple[int, bool], list[Plan]] = field(default_factory=dict)
    attempts: Counter[tuple[int, bool]] = field(default_factory=Counter)


@dataclass(slots=True)
class Recording:
    """One rendering of a shape under certain answers; without skeleton, the template refuses it.

    `forms` are recordings of other renderings of the conversation, under these answers and more; no text
    of any of them is longer than `longest` says, and none costs more than `work`.
    """

    skeleton: Skeleton | None
    known: dict[Expression, Answer]
    longest: Bound
    work: Bound
    blocks: Blocks | None
    forms: dict[Form, Tree[Recording]] = field(default_factory=dict)
    plans: dict[Any, Plans] = field(default_factory=dict)


class _Undecided(Exception):  # noqa: N818  not an error
    """No plan decides the turn of a row."""


class _Rebuilt(Conversation):
    """The proof of `mask.proof` over a rendering and a trace that are filled in."""

    def __init__(self, replay: Replay) -> None:
        subject = replay.subject
        self.messages = subject.prepared
        self.text = replay.text
        self._template, self._tools = subject.template, subject.tools
        self._stop_tokens = list(replay.stop_tokens)
        self._trace = Trace(self.text, replay.skeleton.runs(replay.traced), replay.origins)
        self._replay = replay

    def render(self, count: int, *, generation_prompt: bool) -> str:
        """The rendering of the first `count` messages."""
        text = self._replay.form_text((count, generation_prompt))
        return text if text is not None else super().render(count, generation_prompt=generation_prompt)


class _HistoryForm(Unproved):
    """A turn in history form; the full proof says why, if it is asked."""

    def __init__(self, replay: Replay, message: int) -> None:
        super().__init__(f"message {message + 1} is in history form", history=True)
        self._replay, self._message = replay, message

    @property
    def refusal(self) -> Refusal:
        """The refusal of the row, as the full proof has it."""
        try:
            self._replay.full.prove(self._message)
        except Unproved as unproved:
            return unproved.refusal
        return Refusal("unproved", "FTC305", DISAGREEMENT.format(self._message + 1))


class Replay:
    """A conversation like `mask.proof.Conversation`, without a rendering or a trace of its own.

    Whatever no plan decides is asked of the full proof. The parts of a turn are told only if `parts`
    asks for them.
    """

    def __init__(
        self,
        shape: Shape,
        recording: Recording,
        skeleton: Skeleton,
        subject: Subject,
        *,
        stop_tokens: Sequence[str],
        parts: bool,
    ) -> None:
        self.shape, self.recording, self.skeleton, self.subject = shape, recording, skeleton, subject
        self.messages, self.stop_tokens = subject.messages, tuple(filter(None, stop_tokens))
        self.layout: Layout = shape.layout
        self._with_parts = parts
        self._forms: dict[Form, Recording | None] = {}
        texts = skeleton.parts(subject.row)
        self.text = "".join(texts)
        # Where each piece of the text begins, and where the last ends.
        self.ends = ends_of(texts)
        empty = tuple([not texts[number] for number, _ in skeleton.slots]) if "" in texts else ()
        self._plans = _plans(recording, (empty, self.stop_tokens))

    def offset(self, position: Position) -> int:
        """The place in the text that a position comes to."""
        return self.ends[position.piece] + position.offset

    @cached_property
    def traced(self) -> list[Traced]:
        """The free strings with their origins."""
        return self.layout.traced(self.subject.row)

    @cached_property
    def origins(self) -> tuple[Origin, ...]:
        """The origins of all strings of this row."""
        origins = list(self.layout.origins)
        for text, source in zip(self.subject.row, self.layout.sources, strict=True):
            origins[source - FIRST_SOURCE] = replace(origins[source - FIRST_SOURCE], text=text)
        return tuple(origins)

    @cached_property
    def rebuilt(self) -> Conversation:
        """The full proof over the rendering and the trace that the recording gives."""
        return _Rebuilt(self)

    @cached_property
    def full(self) -> Conversation:
        """The full proof over a rendering and a trace of its own."""
        subject = self.subject
        return Conversation(subject.template, subject.prepared, subject.tools, self.stop_tokens)

    def recorded(self, form: Form) -> Recording | None:
        """The recording of another rendering of this row; None where there can be none."""
        forms = self._forms
        if form not in forms:
            forms[form] = self.shape.form(self.recording, form, self.subject)
        return forms[form]

    def may_differ(self, form: Form) -> bool:
        """Whether rows that have this recording may have other ones of a form."""
        return self.recording.forms[form].branches

    def form_text(self, form: Form) -> str | None:
        """Another rendering of this row; None where the template refuses it, or no recording holds."""
        recorded = self.recorded(form)
        return recorded.skeleton.text(self.subject.row) if recorded and recorded.skeleton else None

    def message_at(self, place: int) -> int | None:
        """The message that a place belongs to."""
        return self.rebuilt.message_at(place)

    def blocks(self) -> list[Span] | None:
        """The places of the template's generation blocks; None where they are not known."""
        blocks = self.recording.blocks
        return None if blocks is None else [(self.offset(one), self.offset(two)) for one, two in blocks]

    def prove(self, message: int) -> Turn:
        """The turn of an assistant message; raises Unproved with the condition that does not hold."""
        try:
            return self._planned(message, history=False)
        except _Undecided:
            return self._asked(message, history=False)

    def prove_history(self, message: int) -> Turn:
        """The turn as it stands in the history."""
        try:
            return self._planned(message, history=True)
        except _Undecided:
            return self._asked(message, history=True)

    def _asked(self, message: int, *, history: bool) -> Turn:
        """The turn by `mask.proof`; what it refuses, it refuses on a rendering and trace of its own."""
        try:
            return self.rebuilt.prove_history(message) if history else self.rebuilt.prove(message)
        except Unproved:
            return self.full.prove_history(message) if history else self.full.prove(message)

    def plan(self, message: int, *, history: bool = False) -> Plan | None:
        """The plan by which a turn is proved; None where none is known."""
        for plan in self._plans.turns.get((message, history), ()):
            if not plan.requires or all(self.recorded(form) is one for form, one in plan.requires):
                return plan
        return self._made_plan(message, history=history)

    def _planned(self, message: int, *, history: bool) -> Turn:
        plan = self.plan(message, history=history)
        if plan is None:
            raise _Undecided
        if isinstance(plan, PromptPlan):
            if self._begins_with(plan.prompt):
                raise _Undecided
            raise _HistoryForm(self, message)
        return self._turn(plan)

    def _made_plan(self, message: int, *, history: bool) -> Plan | None:
        """A plan of the turn, if this row has it, and the plan gives what the full proof does."""
        plans, key = self._plans, (message, history)
        if plans.attempts[key] >= _ATTEMPTS:
            return None
        plans.attempts[key] += 1
        try:
            planner = Planner(self, message)
            plan = planner.history_plan() if history else planner.plan()
        except Unproved:
            return None
        if plan is None or not self._agrees(plan, message, history=history):
            return None
        plans.turns.setdefault(key, []).append(plan)
        return plan

    def _agrees(self, plan: Plan, message: int, *, history: bool) -> bool:
        if not isinstance(plan, TurnPlan):
            return True
        try:
            ours = self._turn(plan, parts=True)
        except (_Undecided, Unproved):
            ours = None
        try:
            return ours == (self.full.prove_history(message) if history else self.full.prove(message))
        except Unproved:
            return ours is None

    def _turn(self, plan: TurnPlan, *, parts: bool = False) -> Turn:
        start, stop, end = self.offset(plan.start), self.offset(plan.stop), self.offset(plan.end)
        if plan.checks:
            self._check(plan)
        if plan.ended and not self._ends_alike(plan.ended, end):
            raise _HistoryForm(self, plan.message)
        if not (parts or self._with_parts):
            return Turn(plan.message, start, stop, end)
        stretches = [Stretch(self.offset(one), self.offset(two), kind) for one, two, kind in plan.parts]
        return Turn(plan.message, start, stop, end, *parts_of(self.text, start, stop, stretches))

    def _check(self, plan: TurnPlan) -> None:
        try:
            alike = all(check(self) for check in plan.checks)
        except Unproved:
            alike = False
        if not alike:
            raise _Undecided

    def _begins_with(self, prompt: Comparison) -> bool:
        if not self.text.startswith(prompt.text, self.offset(prompt.at)):
            return False
        text = self._form_text(prompt.form)
        return text is not None and self.text.startswith(text)

    def _ends_alike(self, ended: Comparison, end: int) -> bool:
        at = self.offset(ended.at)
        if not self.text.startswith(ended.text[: end - at], at):
            return False
        text = self._form_text(ended.form)
        return text is not None and text[:end] == self.text[:end]

    def _form_text(self, form: Form) -> str | None:
        """Another rendering of this row; None where the template refuses it."""
        recorded = self.recorded(form)
        if recorded is None:
            raise _Undecided
        return recorded.skeleton.text(self.subject.row) if recorded.skeleton else None


def _plans(recording: Recording, key: Any) -> Plans:
    plans = recording.plans.get(key)
    if plans is None:
        plans = Plans()
        if len(recording.plans) < _PLAN_SETS:
            recording.plans[key] = plans
    return plans
