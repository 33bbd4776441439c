"""The recordings of one chat template, by shape of conversation and by the answers of a row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import nodes

from ftc.data.rendering.conversation import Chat
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem, compiled
from ftc.data.template.environment import TemplateEnvironment
from ftc.data.template.provenance import FIRST_SOURCE, Run
from ftc.data.template.specialise.bounds import SPARE, units
from ftc.data.template.specialise.environment import UNSTEADY, UNSTEADY_FILTERS, RecordingEnvironment
from ftc.data.template.specialise.record import Form, Layout, Outcome, Subject, record
from ftc.data.template.specialise.replay import Recording, Replay
from ftc.data.template.specialise.shape import UnusualError, conversation_shape, surroundings
from ftc.data.template.specialise.skeleton import normalised
from ftc.data.template.specialise.tree import InconsistentError, Tree

_SHAPES = 1024
_RECORDINGS = 32
_CHARACTERS = 32 * 2**20
_FORMS = 8
PATIENCE = 8
"""Rows of a shape for each recording of it: a recording costs about as much as proving a few rows."""


class Shape:
    """The recordings of one shape."""

    def __init__(self, owner: Specialiser) -> None:
        self._owner = owner
        self._tree: Tree[Recording] = Tree()
        self._closed = False
        self.layout: Layout = Layout(0, (), (), ())
        self.rows = 0
        self.recordings = 0
        self.characters = 0

    def find(self, subject: Subject) -> Recording | None:
        """The recording of a row's whole conversation; None where there is none, or none is worth while."""
        if self._closed:
            return None
        self.rows += 1
        found = self._tree.find(subject.row)
        if found is None and self._is_worth_while():
            found = self._record(self._tree, (len(subject.messages), False), subject, None)
        return found if found and self._within(found, subject) else None

    def _is_worth_while(self) -> bool:
        patience = self._owner.patience
        return self.rows > patience * self.recordings + (patience > 0)

    def form(self, under: Recording, form: Form, subject: Subject) -> Recording | None:
        """The recording of another rendering of a row, whose whole conversation has the one `under`."""
        tree = under.forms.get(form)
        if tree is None:
            tree = under.forms[form] = Tree()
        found = tree.find(subject.row)
        if found is None and not self._closed and tree.size < _FORMS:
            found = self._record(tree, form, subject, under)
            if found is not None:
                under.longest, under.work = under.longest.most(found.longest), under.work.most(found.work)
                return found if self._within(under, subject) else None
        return found

    def _within(self, recording: Recording, subject: Subject) -> bool:
        """Whether no rendering can reach a limit at which a template is stopped."""
        limits, size = subject.template.limits, subject.size
        fits = recording.longest(size) + SPARE <= limits.characters
        return fits and recording.work(size) <= units(limits.turns)

    def _record(
        self, tree: Tree[Recording], form: Form, subject: Subject, under: Recording | None
    ) -> Recording | None:
        self.recordings += under is None
        outcome = None
        if self.recordings <= _RECORDINGS:
            outcome = record(subject, self._owner.jinja, form, under.known if under else {})
        if outcome is None or (under is None and not _traced_alike(subject, outcome)):
            return None
        made = Recording(outcome.skeleton, outcome.known, outcome.longest, outcome.work, outcome.blocks)
        try:
            tree.add(outcome.asked, made)
        except InconsistentError:
            self._closed = True
            return None
        if under is None:
            self.layout = outcome.layout
        self.characters += outcome.skeleton.size if outcome.skeleton else 0
        self._owner.keep_within(_CHARACTERS)
        return made


def _traced_alike(subject: Subject, outcome: Outcome) -> bool:
    """Whether a recording gives this row the origins that a traced rendering gives it."""
    if outcome.skeleton is None:
        return True
    ours = outcome.skeleton.runs(outcome.layout.traced(subject.row))
    try:
        full = subject.template.trace(subject.prepared, subject.tools)
    except TemplateProblem:
        return False
    return _named(ours, outcome.layout.origins) == _named(full.runs, full.origins)


def _named(runs: Sequence[Run], origins: Sequence[Any]) -> list[Any]:
    """Runs whose sources are named by where they are, as two tracings number them differently."""
    named = []
    for length, source, offset in normalised(runs):
        origin = origins[source - FIRST_SOURCE] if source >= FIRST_SOURCE else None
        named.append((length, (origin.message, origin.path, origin.key) if origin else source, offset))
    return named


class Specialiser:
    """Proves conversations of a template from recordings; `patience` says when to make them."""

    def __init__(self, template: ChatTemplate, patience: int = PATIENCE) -> None:
        self.patience = patience
        self._template = template
        self._shapes: OrderedDict[Any, Shape] = OrderedDict()
        self._characters = 0

    @cached_property
    def jinja(self) -> jinja2.Template:
        """The template over stand-ins."""
        return compiled(RecordingEnvironment(self._template.limits), self._template.source)

    @cached_property
    def _unsteady(self) -> bool:
        """Whether the template's text may be another each time it is rendered."""
        tree = TemplateEnvironment(self._template.limits).parse(self._template.source)
        names = {name.name for name in tree.find_all(nodes.Name)} - set(self._template.variables)
        filters = {filter_.name for filter_ in tree.find_all(nodes.Filter)}
        return bool(names & UNSTEADY or filters & UNSTEADY_FILTERS)

    def replay(
        self, template: ChatTemplate, chat: Chat, stop_tokens: Sequence[str], *, parts: bool = False
    ) -> Replay | None:
        """The conversation of a row by recordings; None where it has to be rendered and traced.

        `template` is the one that this was made for, or one that varies its variables.
        """
        if self._unsteady:
            return None
        try:
            key, row = conversation_shape(chat.messages)
            key = (key, surroundings(chat.tools, template.own))
        except UnusualError:
            return None
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._new(key)
        else:
            self._shapes.move_to_end(key)
        subject = Subject(template, chat.messages, chat.tools, row)
        recording = shape.find(subject)
        if recording is None or recording.skeleton is None:
            return None
        return Replay(shape, recording, recording.skeleton, subject, stop_tokens=stop_tokens, parts=parts)

    def _new(self, key: Any) -> Shape:
        shape = self._shapes[key] = Shape(self)
        if len(self._shapes) > _SHAPES:
            self._shapes.popitem(last=False)
        return shape

    def keep_within(self, characters: int) -> None:
        """Forget the shapes that have not been met for longest, until the recordings are small enough."""
        while len(self._shapes) > 1 and sum(s.characters for s in self._shapes.values()) > characters:
            self._shapes.popitem(last=False)
