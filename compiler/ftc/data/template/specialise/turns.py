"""Where a proved turn stands in every row of a shape, found from one row's proof.

`mask.proof` proves a turn of one row. What it decides depends on the order of fixed texts and slots, on
which slots are empty, and on little else; a plan is made only where that little is the same in every
row with these answers and these empty slots, or can be checked for each row:

1. The rendering is filled in from the recording of the template itself.
2. The turn's stretch lies between marks, which are places of the skeleton. Whether a stretch counts (it
   is not empty) follows from fixed texts and from which slots are empty.
3. The prompt's skeleton is a start of the text's, piece by piece. Where it is not, each row's texts are
   compared: a prompt that does not fit makes history form, and one that fits by chance is left to
   `mask.proof`.
4. The message's slots in the stretch are, in every row, one stretch of one of its strings, as it stands
   or with JSON's escapes. A string with several slots there has the same expression in each.
5. A string that stands in the turn whole, but for white space at its ends, is complete in every row.
   Any other is checked for each row by `check_origin`, on what its slots come to.
6. From the message's last character to the end of the stop token, and as far behind as a stop token
   that begins no later could reach, there is fixed text only.
7. The skeleton of the conversation that ends here agrees with the text's to the end of the turn, or
   each row's texts are compared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftc.data.mask.content import check_origin, is_call, must_stand_once
from ftc.data.mask.parts import Kind, Span
from ftc.data.mask.proof import Turn
from ftc.data.template.provenance import FIRST_SOURCE, Run
from ftc.data.template.specialise.expression import (
    STRIPS,
    Applied,
    Expression,
    Fixed,
    Given,
    cut_of,
    strings_of,
    traced,
)
from ftc.data.template.specialise.record import Form
from ftc.data.template.specialise.skeleton import Agreement, Position, Skeleton, normalised
from ftc.data.template.values import Origin

if TYPE_CHECKING:
    from ftc.data.template.specialise.replay import Recording, Replay


@dataclass(frozen=True, slots=True)
class Check:
    """What each row must show of one string: its slots in the turn, and those in the stretch behind it.

    With `ordered`, each slot is one stretch of the string and goes on behind the slots before it.
    """

    number: int
    inside: tuple[Expression, ...]
    behind: tuple[Expression, ...]
    ordered: bool

    def __call__(self, replay: Replay) -> bool:
        """Whether the row is like the one that the plan was made of; Unproved by condition 5."""
        source = replay.layout.sources[self.number]
        found: list[Span] = []
        for slot in (*self.inside, *self.behind):
            runs = normalised(traced(slot, replay.traced).runs)
            if self.ordered and not _goes_on(runs, source, found):
                return False
            found += [
                (offset, offset + length) for length, of, offset in runs if of == source and offset >= 0
            ]
        check_origin(
            replay.origins[source - FIRST_SOURCE], found[: len(self.inside)] if self.behind else found
        )
        return True


def _goes_on(runs: list[Run], source: int, found: list[Span]) -> bool:
    """Whether a slot is one stretch of a string, which reaches further than all before."""
    if len(runs) != 1 or runs[0][1] != source or runs[0][2] < 0:
        return False
    return runs[0][2] + runs[0][0] > max((end for _, end in found), default=0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Another rendering that each row's text is compared with.

    In every row the two agree up to `at`. There the other one goes on with `text`, which mostly decides.
    """

    form: Form
    at: Position
    text: str


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """A turn of every row: its places, what to check in each row, and the form it is compared with.

    It holds for rows of which each of `requires` has the recording given there.
    """

    message: int
    start: Position
    stop: Position
    end: Position
    checks: tuple[Check, ...]
    parts: tuple[tuple[Position, Position, Kind], ...]
    requires: tuple[tuple[Form, Recording], ...]
    ended: Comparison | None = None


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """A turn in history form in every row, unless the row's text has the prompt by chance."""

    prompt: Comparison
    requires: tuple[tuple[Form, Recording], ...]


Plan = TurnPlan | PromptPlan


class Planner:
    """Plans one turn from the proof of one row; a plan is None where there can be none.

    Raises Unproved where that row's turn cannot be proved.
    """

    def __init__(self, replay: Replay, message: int) -> None:
        self._replay, self._message = replay, message
        self._proof = replay.rebuilt
        self._pieces = replay.skeleton.pieces
        self._ends = replay.ends
        self._requires: list[tuple[Form, Recording]] = []

    def plan(self) -> Plan | None:
        """The plan of the turn as inference would produce it."""
        stretch = self._proof.stretch(self._message)
        form = (self._message, True)
        prompt = self._recorded(form)
        if prompt is None:
            return None
        agreement = prompt.skeleton.agreement(self._replay.skeleton) if prompt.skeleton else None
        if agreement is None or not agreement.whole:
            return PromptPlan(_comparison(form, prompt.skeleton, agreement), tuple(self._requires))
        return self._bounded(self._replay.offset(agreement.end), stretch, compared=True)

    def _recorded(self, form: Form) -> Recording | None:
        """The recording of a form, on which the plan rests if rows can have others."""
        recording = self._replay.recorded(form)
        if recording is not None and self._replay.may_differ(form):
            self._requires.append((form, recording))
        return recording

    def history_plan(self) -> TurnPlan | None:
        """The plan of the turn as it stands in the history."""
        stretch = self._proof.stretch(self._message)
        turn = self._proof.prove_history(self._message)
        first_own = self._proof.first_own(self._message, stretch)
        if not (self._fixed(stretch[0], first_own) and self._steady_start(stretch[0], first_own)):
            return None
        return self._bounded(turn.start, stretch, compared=False)

    def _steady_start(self, stretch_start: int, first_own: int) -> bool:
        """Whether every row's turn in history form starts by the same rule, at the same place.

        It is where text and prompt part, but no later than where the message's own text begins.
        """
        prompt = self._recorded((self._message, True))
        if prompt is None:
            return False
        if prompt.skeleton:
            agreement = prompt.skeleton.agreement(self._replay.skeleton)
            agreed = self._replay.offset(agreement.end)
            if not agreement.surely and agreed < first_own:
                return False
            if agreed >= stretch_start:
                return True
        asked = self._recorded((self._replay.layout.count, True))
        if asked is None or asked.skeleton is None or not self._pieces:
            return False
        added = asked.skeleton.pieces[len(self._pieces) - 1 :]
        whole = self._replay.skeleton.agreement(asked.skeleton).whole
        return whole and all(isinstance(piece, str) for piece in added[1:])

    def _bounded(self, start: int, stretch: Span, *, compared: bool) -> TurnPlan | None:
        turn = self._proof.bounds(self._message, start, stretch)
        own_end = self._proof.last_own(self._message, start, stretch[1])
        places = [self._position(at) for at in (turn.start, turn.stop, turn.end)]
        checks, parts = self._checks(turn, stretch[1]), self._parts(turn)
        if checks is None or parts is None or None in places:
            return None
        if not self._fixed(own_end, self._searched(turn)):
            return None
        first, stop, end = (place for place in places if place is not None)
        plan = TurnPlan(self._message, first, stop, end, checks, parts, tuple(self._requires))
        return self._compared(plan) if compared else plan

    def _searched(self, turn: Turn) -> int:
        """The end of what is looked at for a stop token that begins no later than the one found."""
        tokens = self._replay.stop_tokens
        if not tokens:
            return turn.end
        limit = self._proof.foreign_from(turn.stop, self._message)
        return min(limit, turn.stop + max(map(len, tokens)))

    def _compared(self, plan: TurnPlan) -> TurnPlan | None:
        """The plan with the form to compare rows with, if rows can differ; None where it is not recorded."""
        form = (self._message + 1, False)
        if form[0] == self._replay.layout.count:
            return plan
        ended = self._recorded(form)
        if ended is None:
            return None
        agreement = ended.skeleton.agreement(self._replay.skeleton) if ended.skeleton else None
        plan = replace(plan, requires=tuple(self._requires))
        if agreement and self._replay.offset(agreement.end) >= self._replay.offset(plan.end):
            return plan
        return replace(plan, ended=_comparison(form, ended.skeleton, agreement))

    def _slots(self, start: int, end: int) -> Iterator[Expression]:
        """The slots, not empty, between two places."""
        for number, piece in enumerate(self._pieces):
            at, after = self._ends[number], self._ends[number + 1]
            if not isinstance(piece, str) and at < after and at < end and start < after:
                yield piece

    def _fixed(self, start: int, end: int) -> bool:
        return not any(self._slots(start, end))

    def _checks(self, turn: Turn, stretch_end: int) -> tuple[Check, ...] | None:
        """What to check of the message's strings in each row; None where a slot mixes strings."""
        inside = list(self._slots(turn.start, turn.end))
        behind = list(self._slots(turn.end, stretch_end))
        layout = self._replay.layout
        own = {number for number, message in enumerate(layout.messages) if message == self._message}
        if any(len(strings_of(slot)) > 1 and strings_of(slot) & own for slot in (*inside, *behind)):
            return None
        checks = []
        for number in sorted(own):
            first = tuple(slot for slot in inside if number in strings_of(slot))
            then = tuple(slot for slot in behind if number in strings_of(slot))
            ordered = len({*first, *then}) > 1 or any(_stretch_of(slot) is None for slot in (*first, *then))
            origin = layout.origins[layout.sources[number] - FIRST_SOURCE]
            if ordered or not _is_complete(origin, first):
                checks.append(Check(number, first, then if ordered else (), ordered))
        return tuple(checks)

    def _parts(self, turn: Turn) -> tuple[tuple[Position, Position, Kind], ...] | None:
        if turn.start == 0:  # `mask.parts` takes 0 for no place yet
            return None
        found: list[tuple[int, int, Kind]] = []
        for part in self._proof.parts(turn.start, turn.stop):
            if found and found[-1][1:] == (part.start, part.kind):
                found[-1] = (found[-1][0], part.end, part.kind)
            else:
                found.append((part.start, part.end, part.kind))
        placed = [(self._position(start), self._position(end), kind) for start, end, kind in found]
        kept = tuple((start, end, kind) for start, end, kind in placed if start and end)
        return kept if len(kept) == len(found) else None

    def _position(self, at: int) -> Position | None:
        """A place of this row as a place of every row; None inside a slot."""
        piece = bisect_right(self._ends, at) - 1
        if piece == len(self._pieces):
            return Position(piece, 0)
        offset = at - self._ends[piece]
        return Position(piece, offset) if offset == 0 or isinstance(self._pieces[piece], str) else None


def _comparison(form: Form, skeleton: Skeleton | None, agreement: Agreement | None) -> Comparison:
    if skeleton is None or agreement is None:
        return Comparison(form, Position(0, 0), "")
    at = agreement.end
    piece = skeleton.pieces[at.piece] if at.piece < len(skeleton.pieces) else ""
    return Comparison(form, at, piece[at.offset :] if isinstance(piece, str) else "")


def _is_complete(origin: Origin, slots: tuple[Expression, ...]) -> bool:
    """Whether slots have, in every row, what condition 5 wants of a string."""
    if is_call(origin):
        return any(_whole(slot) for slot in slots)
    return not must_stand_once(origin) or (len(slots) == 1 and _complete(slots[0]))


def _stretch_of(slot: Expression) -> int | None:
    """The string of which a slot is one stretch in every row, as it stands or with JSON's escapes."""
    escaped = isinstance(slot, Applied) and slot.operation == "json"
    return cut_of(slot.arguments[0] if escaped else slot)  # type: ignore[union-attr]


def _whole(slot: Expression) -> bool:
    """Whether a slot is a whole string in every row."""
    if isinstance(slot, Applied) and slot.operation == "json":
        return isinstance(slot.arguments[0], Given)
    return isinstance(slot, Given)


def _complete(slot: Expression) -> bool:
    """Whether a slot is a whole string in every row, but for white space at its ends."""
    if isinstance(slot, Applied) and slot.operation in STRIPS:
        inner, *chars = slot.arguments
        blank = not chars or chars[0] is None or (isinstance(chars[0], Fixed) and not chars[0].text.strip())
        return blank and isinstance(inner, (Given, Applied)) and not _json(inner) and _complete(inner)
    return _whole(slot)


def _json(expression: Expression) -> bool:
    return isinstance(expression, Applied) and expression.operation == "json"
