"""The parts of the recordings: expressions, shapes, skeletons, trees, and the limits on what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_cases import CHATML_STOP, CHATML_WITH_DEFAULT_SYSTEM, SPECIAL, assistant, user
from specialised_rows import TRICKY, eager, replayed

from ftc.data.mask.masks import Policy, audit_recording, mask_conversation
from ftc.data.mask.proof import Conversation
from ftc.data.rendering.conversation import Chat
from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate
from ftc.data.template.limits import Limits
from ftc.data.template.provenance import FIRST_SOURCE, Traced
from ftc.data.template.specialise import replay as replaying
from ftc.data.template.specialise import specialiser as specialising
from ftc.data.template.specialise.bounds import longest
from ftc.data.template.specialise.environment import RecordingEnvironment
from ftc.data.template.specialise.expression import (
    Applied,
    Fixed,
    Given,
    cut_of,
    joined,
    plain,
    stripped,
    traced,
)
from ftc.data.template.specialise.recording import RecordedNumber, RecordedText, Recorder, Unspecialised
from ftc.data.template.specialise.shape import UnusualError, conversation_shape, places, surroundings
from ftc.data.template.specialise.skeleton import Skeleton
from ftc.data.template.specialise.tree import InconsistentError, Tree

texts = st.one_of(st.sampled_from(TRICKY), st.text(alphabet='aB \n<>ß"\\é👩', max_size=12))


def fixed(text: str) -> Fixed:
    return Fixed(text, ((len(text), 0, 0),) if text else ())


def op(name: str, *arguments: Any) -> Applied:
    return Applied(name, (Given(0), *[fixed(a) if isinstance(a, str) else a for a in arguments]))


def longer(text: str) -> str:
    return text.replace("a", "aaa").replace("aa", "bbbbb")


EXPRESSIONS: list[tuple[Any, Callable[[str], Any]]] = [
    (Given(0), lambda s: s),
    (op("strip"), str.strip),
    (op("lstrip", "aB"), lambda s: s.lstrip("aB")),
    (op("rstrip", None), str.rstrip),
    (op("removeprefix", "a"), lambda s: s.removeprefix("a")),
    (op("upper"), str.upper),
    (op("title"), str.title),
    (op("casefold"), str.casefold),
    (op("replace", "a", "xyz", -1), lambda s: s.replace("a", "xyz")),
    (op("replace", "", "-", -1), lambda s: s.replace("", "-")),
    (op("replace", "aa", "xyz", -1), lambda s: s.replace("aa", "xyz")),
    (Applied("replace", (op("replace", "a", "aaa", -1), fixed("aa"), fixed("bbbbb"), -1)), longer),
    (op("slice", 1, -1, None), lambda s: s[1:-1]),
    (op("slice", None, None, -2), lambda s: s[::-2]),
    (Applied("item", (op("split", "a"), -1)), lambda s: s.split("a")[-1]),
    (Applied("item", (op("partition", "a"), 2)), lambda s: s.partition("a")[2]),
    (Applied("item", (op("rsplit", None, 1), 0)), lambda s: s.rsplit(None, 1)[0] if s.split() else None),
    (Applied("join", (fixed("+"), op("split", "a"))), lambda s: "+".join(s.split("a"))),
    (op("json", False), lambda s: json.dumps(s, ensure_ascii=False)[1:-1]),
    (op("json", True), lambda s: json.dumps(s)[1:-1]),
    (joined([fixed("<"), op("strip"), fixed(""), Given(0)]), lambda s: f"<{s.strip()}{s}"),
    (Applied("strip", (joined([fixed(" "), Given(0)]),)), lambda s: f" {s}".strip()),
]


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS, ids=range(len(EXPRESSIONS)))
@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_an_expression_is_what_python_makes_of_the_text(
    expression: Any, expected: Callable[[str], Any], text: str
) -> None:
    wanted = expected(text)
    if wanted is None:
        return
    assert plain(expression)([text]) == wanted
    given = Traced(text, ((len(text), FIRST_SOURCE, 0),) if text else ())
    found = traced(expression, [given])
    assert str.__str__(found) == wanted
    assert sum(run[0] for run in found.runs) == len(wanted)
    assert len(wanted) <= longest([expression])(len(text))
    if cut_of(expression) is not None and wanted:
        [(length, source, offset)] = found.runs
        assert (source, text[offset : offset + length]) == (FIRST_SOURCE, wanted)


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(st.one_of(st.just(Given(0)), st.just(Given(1)), texts.map(fixed)), min_size=1, max_size=4),
    method=st.sampled_from(["strip", "lstrip", "rstrip"]),
    chars=st.sampled_from([(), (None,), (fixed("a<"),), (fixed(" "),), (fixed(""),)]),
    row=st.tuples(texts, texts),
)
def test_a_chain_stripped_at_its_ends_is_the_chain_stripped(
    parts: list[Any], method: str, chars: tuple[Any, ...], row: tuple[str, str]
) -> None:
    chain = joined(parts)
    short, long = stripped(chain, method, chars), Applied(method, (chain, *chars))
    assert plain(short)(row) == plain(long)(row)
    given = [Traced(text, ((len(text), FIRST_SOURCE + n, 0),) if text else ()) for n, text in enumerate(row)]
    runs = [[run for run in traced(one, given).runs if run[0]] for one in (short, long)]
    assert [(run[0], run[1]) for run in runs[0]] == [(run[0], run[1]) for run in runs[1]]


TINY = [1, True, 1.0, 0, False, -0.0, "1", "", None, [], {}, [[]], [""], {"a": 1}, {"a": "1"}, ["a", "b"]]
TALKS = [
    *[[{"role": "user", "content": value}] for value in TINY],
    *[
        [{"role": "user", "content": "", key: value}]
        for key, value in product(("x", "type", "content"), TINY)
    ],
    *[[{"role": role, "content": ""}] for role in ("user", "assistant", "content")],
    [{"content": "", "role": "user"}],
    [{"role": "user"}, {"content": ""}],
    [{"role": "user", "content": "", "a": {"b": "", "c": ""}}],
    [{"role": "user", "content": "", "a": {"b": "", "d": ""}}],
    [{"role": "user", "content": "", "a": {"c": "", "b": ""}}],
    [{"role": "user", "content": "", "a": ["", {"b": ""}]}],
    [{"role": "user", "content": "", "a": [["", {"b": ""}]]}],
    [{"role": "user", "content": "", "a": ["", [{"b": ""}]]}],
]


def exactly(value: Any) -> Any:
    """A value such that only values of the same types, order and content are equal."""
    if isinstance(value, dict):
        return "table", [(key, exactly(item)) for key, item in value.items()]
    return [exactly(item) for item in value] if isinstance(value, list) else (type(value), repr(value))


def without_nulls(talk: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in message.items() if value is not None} for message in talk]


def test_conversations_of_one_shape_differ_in_nothing_but_what_is_free() -> None:
    for one, other in product(TALKS, TALKS):
        same = conversation_shape(one) == conversation_shape(other)
        assert same == (exactly(without_nulls(one)) == exactly(without_nulls(other))), (one, other)


@pytest.mark.parametrize("talk", TALKS)
def test_free_strings_have_places(talk: list[dict[str, Any]]) -> None:
    assert list(places(talk).values()) == conversation_shape(talk)[1]


@pytest.mark.parametrize(
    "talk",
    [
        [{"role": "user", "content": b"x"}],
        [{"role": "user", "content": ("x",)}],
        [{"role": "user", "content": [{1: "x"}]}],
        [{"role": "user", "content": float("nan")}],
        [{"role": "user", "content": 10**5000}],
        [{"role": "assistant", "content": "", "thinking": "a", "reasoning": "b"}],
    ],
)
def test_what_is_not_plain_json_has_no_shape(talk: list[dict[str, Any]]) -> None:
    with pytest.raises(UnusualError):
        conversation_shape(talk)


def test_surroundings_tell_types_and_order() -> None:
    tools: list[Any] = [None, [], [{}], [{"a": 1}], [{"a": True}], [{"a": 1.0}], [{"a": "1"}]]
    tools += [[{"a": 1, "b": 2}], [{"b": 2, "a": 1}]]
    found = [surroundings(one, own) for one, own in product(tools, ({}, {"x": 1}, {"x": True}))]
    assert len(set(found)) == len(found)
    name = "weather"
    shared = [{"a": name, "b": name}]
    assert surroundings(shared, {}) == surroundings(json.loads(json.dumps(shared)), {})
    with pytest.raises(UnusualError):
        surroundings([{"a": object()}], {})


def test_how_far_skeletons_agree() -> None:
    whole = Skeleton(joined([fixed("a"), Given(0), fixed("bc"), Given(1)]))
    cases: list[tuple[list[Any], tuple[int, int], bool, bool]] = [
        ([fixed("a"), Given(0), fixed("b")], (2, 1), True, True),
        ([fixed("a"), Given(0)], (2, 0), True, True),
        ([fixed("a"), Given(0), fixed("bx")], (2, 1), False, True),
        ([fixed("a"), Given(1)], (1, 0), False, False),
        ([fixed("a"), Given(0), fixed("bcd")], (2, 2), False, False),
        ([fixed("a"), Given(0), fixed("b"), Given(1)], (2, 1), False, False),
        ([fixed("a"), Given(0), fixed("bc"), Given(1), fixed("d")], (4, 0), False, True),
    ]
    for parts, end, complete, surely in cases:
        found = Skeleton(joined(parts)).agreement(whole)
        assert ((found.end.piece, found.end.offset), found.whole, found.surely) == (end, complete, surely)


def test_recordings_that_contradict_each_other_are_refused() -> None:
    tree: Tree[str] = Tree()
    question, other = op("truth"), op("isspace")
    tree.add([(question, True)], "full")
    tree.add([(question, False), (other, True)], "blank")
    assert tree.find(["x"]) == "full"
    assert tree.find([""]) is None
    for asked in ([], [(question, True)], [(other, True)], [(question, True), (other, True)]):
        with pytest.raises(InconsistentError):
            tree.add(asked, "again")


ENDING = [
    *(str, repr, hash, len, iter, int, float, list, tuple, bytes, reversed, abs, ascii, sorted, set, complex),
    *(lambda s: f"{s}", lambda s: "%s" % s, lambda s: {s: 1}, lambda s: {"a": 1}[s], lambda s: s * 2),  # noqa: UP031
    *(lambda s: "x" * s, lambda s: "abc"[s], lambda s: s.upper(), lambda s: json.dumps({1: s}), lambda s: -s),
    *(lambda s: "".join([s]), lambda s: s in "abc", "abc".find, "x".join),
    *(lambda s: s["a"], lambda s: s % 1, lambda s: s.nothing, lambda s: s(), lambda s: bytes(s, "ascii")),
]


@pytest.mark.parametrize("look", ENDING, ids=range(len(ENDING)))
def test_a_stand_in_cannot_be_read(look: Callable[[Any], Any]) -> None:
    recorder = Recorder(["text"], {})
    with pytest.raises((Unspecialised, TypeError, AttributeError)):
        look(RecordedText(recorder, Given(0)))
    assert not recorder.asked


def test_a_stand_in_tells_only_what_is_noted() -> None:
    recorder = Recorder(["text", ""], {})
    one, none = RecordedText(recorder, Given(0)), RecordedText(recorder, Given(1))
    assert isinstance(one, str)
    assert one
    assert not none
    assert "x" in one
    assert one == "text"
    assert one != none
    assert one is not None
    assert (one == 3) is False
    assert one in ["a", "text"]
    assert RecordedNumber(recorder, op("length")) > 3
    noted = [(question.operation, answer) for question, answer in recorder.asked]
    assert noted == [
        *[("truth", True), ("truth", False), ("contains", True), ("eq", True), ("eq", False), ("eq", False)],
        ("gt", True),
    ]
    with pytest.raises(Unspecialised):
        _ = RecordedNumber(recorder, op("length")) == 4.0
    assert recorder.failure


ON_TEXTS = {"trim", "lower", "upper", "capitalize", "replace", "string", "safe", "length", "count"}
HANDED_ON = {
    "length",
    "count",
    "first",
    "last",
    "list",
    "join",
    "tojson",
    "default",
    "d",
    "items",
    "dictsort",
}
HANDED_ON |= {
    "map",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "ftc mark",
    "ftc concat",
    "ftc turn",
    "ftc nest",
}


def test_a_filter_that_is_not_known_is_handed_no_stand_in() -> None:
    """Nor is a new one of Jinja, before its code has been read."""
    environment = RecordingEnvironment(Limits())
    passing = set()
    for name, wrap in product(environment.filters, (lambda s: s, lambda s: [s], lambda s: {"a": s})):
        with suppress(Exception):
            environment.call_filter(name, wrap(RecordedText(Recorder(["text"], {}), Given(0))))
            passing.add(name)
    assert passing <= ON_TEXTS | HANDED_ON


TALK = [user("Who?"), assistant("Me.")]
POLICY = Policy("assistant", CHATML_STOP)


def chatml(**options: Any) -> ChatTemplate:
    return ChatTemplate(CHATML_WITH_DEFAULT_SYSTEM, special_tokens=SPECIAL, **options)


def test_a_shape_is_recorded_when_it_comes_again() -> None:
    template = chatml()
    assert [replayed(template, Chat(TALK), CHATML_STOP) is None for _ in range(3)] == [True, False, False]


def test_shapes_and_characters_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specialising, "_SHAPES", 3)
    template = chatml()
    found = eager(template)
    for extra in range(9):
        talk = [{**TALK[0], f"field{extra}": "x"}, TALK[1]]
        assert replayed(template, Chat(talk), CHATML_STOP) is not None
    assert len(found._shapes) == 3
    monkeypatch.setattr(specialising, "_CHARACTERS", 150)
    assert replayed(template, Chat([*TALK, *TALK]), CHATML_STOP) is not None
    assert len(found._shapes) == 1


def test_recordings_and_plans_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specialising, "_RECORDINGS", 2)
    monkeypatch.setattr(replaying, "_PLAN_SETS", 2)
    body = CHATML_WITH_DEFAULT_SYSTEM.replace(
        "+ '<|im_end|>'", "+ ('!' if '!' in message.content else '') + '<|im_end|>'"
    )
    template = ChatTemplate(body, special_tokens=SPECIAL)
    eager(template)
    served = []
    for one, two in product(("", "a", "!", "b!"), repeat=2):
        chat = Chat([user(one), assistant(two)])
        served.append(replayed(template, chat, CHATML_STOP) is not None)
        assert mask_conversation(template, chat, POLICY) == mask_conversation(
            template, chat, POLICY, full=True
        )
    assert any(served)
    assert not all(served)


def test_a_row_that_could_reach_the_limit_is_rendered_itself() -> None:
    template = chatml(limits=Limits(characters=1_424))
    eager(template)
    for length, recorded in ((5, True), (100, True), (390, False), (1_000, False)):
        chat = Chat([user("x" * length), assistant("Me.")])
        assert (replayed(template, chat, CHATML_STOP) is not None) == recorded
        assert mask_conversation(template, chat, POLICY) == mask_conversation(
            template, chat, POLICY, full=True
        )


def test_the_audit_finds_a_wrong_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    template, chat = chatml(), Chat(TALK)
    eager(template)
    ours = mask_conversation(template, chat, POLICY)
    full = mask_conversation(template, chat, POLICY, full=True)
    assert isinstance(ours, Rendered)
    assert audit_recording(ours, full) is None
    other = mask_conversation(template, Chat([TALK[0], assistant("You.")]), POLICY, full=True)
    for wrong in (other, Refusal("unproved", "FTC305", "no")):
        found = audit_recording(ours, wrong)
        assert found is not None
        assert (found.fate, found.code) == ("unproved", "FTC305")
        assert "the recording of the template is wrong" in found.reason


def test_a_plan_that_the_full_proof_contradicts_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    template, chat = chatml(), Chat(TALK)
    eager(template)
    replay = replayed(template, chat, CHATML_STOP)
    assert replay is not None
    right = Conversation(template, template.prepared(TALK), None, CHATML_STOP).prove(1)
    monkeypatch.setattr(replaying.Replay, "offset", lambda self, position: 7)  # noqa: ARG005
    assert replay.plan(1) is None
    assert replay.prove(1) == right
