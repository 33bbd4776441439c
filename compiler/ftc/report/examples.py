"""Compiled rows as the model reads them: pieces of text that are trained or not, cut where tokens are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from ftc.cli.layout import clip, number, plural
from ftc.cli.lineage_view import plain
from ftc.data.kept.lookup import Order, Side
from ftc.data.kept.shown import ShownExample, Token, Viewer
from ftc.report.svg import element
from ftc.report.text import WIDEST_ID, clipped, shown, visible

HEAD, TAIL = 420, 220
"""Tokens of a text that a page shows at most: from its beginning and up to its end."""
WIDEST = 400
"""Characters of one piece that are shown: a token may stand for many."""
CARRIED = 400
"""Characters of a carried value that are shown."""
LOOKAHEAD = 4
"""Characters, such as a space, that may stand in the text before a token's own."""
WANTED: tuple[tuple[Side, Order, int], ...] = (
    ("train", "random", 8),
    ("train", "longest", 1),
    ("eval", "random", 4),
)
"""Rows that a page shows: of which side, how they are picked, how many."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text that one token stands for, or several that have no text of their own."""

    text: str
    ids: tuple[int, ...]
    trained: bool


@dataclass(frozen=True, slots=True)
class PageText:
    """A text of a row: its name where the row has several, its markup, what is counted, what is left out."""

    name: str
    body: Markup
    facts: str
    cut: str


@dataclass(frozen=True, slots=True)
class PageExample:
    """A row on the page; `shared` is what its texts have in common at their beginning."""

    id: str
    side: Side
    picked: str
    facts: str
    share: float
    shared: PageText | None
    texts: tuple[PageText, ...]
    carried: tuple[tuple[str, str], ...]


def page_examples(viewer: Viewer) -> tuple[PageExample, ...]:
    """The rows that the page shows, each once, however often it was picked."""
    found: dict[str, PageExample] = {}
    for side, order, rows in WANTED:
        for example in viewer.some(side, order, rows):
            words = "the longest" if order == "longest" else ""
            found.setdefault(f"{side} {example.id}", page_example(example, words))
    return tuple(found.values())


def page_example(example: ShownExample, picked: str) -> PageExample:
    """One row with its texts marked."""
    texts = [list(pieces(*one)) for one in _texts(example)]
    common = _common(texts) if len(texts) > 1 else 0
    names = [member.name for member in example.members] or [""]
    told = [f"{plural(one.length, 'token')}, {number(one.trained)} with loss" for one in example.members]
    shared = _text("", texts[0][:common], "") if common else None
    return PageExample(
        id=clip(example.id, WIDEST_ID),
        side=example.part,
        picked=picked,
        facts=f"{plural(example.length, 'token')}, {number(example.trained)} with loss",
        share=example.trained / max(example.length, 1),
        shared=shared,
        texts=tuple(
            _text(name, each[common:], said)
            for name, each, said in zip(names, texts, told or [""], strict=True)
        ),
        carried=_carried(example),
    )


def _texts(example: ShownExample) -> Iterator[tuple[Sequence[tuple[str, bool]], Sequence[Token]]]:
    """The stretches of each text of a row, with the tokens of that text."""
    if not example.members:
        yield example.tokens, example.each
    end = 0
    for member in example.members:
        start, end = end, end + member.length
        yield member.tokens, example.each[start:end]


def pieces(stretches: Iterable[tuple[str, bool]], tokens: Sequence[Token]) -> Iterator[Piece]:
    """The text of stretches, cut where tokens end; put together again it is the same text.

    Tokens that are no text of their own, such as the bytes of a character, stand together in one piece.
    """
    groups = groupby(tokens, key=lambda token: token.trained)
    for (text, trained), (_, group) in zip(stretches, groups, strict=True):
        yield from _aligned(text, list(group), trained=trained)


def _aligned(text: str, tokens: Sequence[Token], *, trained: bool) -> Iterator[Piece]:
    at, waiting = 0, list[int]()
    for token in tokens:
        found = text.find(token.text, at, at + LOOKAHEAD + len(token.text)) if token.text else -1
        if found < 0:
            waiting.append(token.id)
            continue
        if waiting:
            yield Piece(text[at:found], tuple(waiting), trained)
            at, waiting = found, []
        end = found + len(token.text)
        yield Piece(text[at:end], (token.id,), trained)
        at = end
    if waiting or at < len(text):
        yield Piece(text[at:], tuple(waiting), trained)


def _common(texts: Sequence[Sequence[Piece]]) -> int:
    """How many pieces all texts begin with that carry no loss."""
    count = 0
    for here in zip(*texts, strict=False):
        if len({(piece.text, piece.ids) for piece in here}) > 1 or any(piece.trained for piece in here):
            break
        count += 1
    return count


def _text(name: str, of: Sequence[Piece], facts: str) -> PageText:
    """A text of at most so many pieces, with what is left out of its middle counted."""
    hidden = len(of) - HEAD - TAIL
    if hidden <= 0:
        return PageText(name, _marked(of), facts, "")
    cut = f"{plural(hidden, 'token')} in the middle {'is' if hidden == 1 else 'are'} not shown"
    gap = element("span", f"\n… {cut} …\n", class_="gap")
    return PageText(name, _marked(of[:HEAD]) + gap + _marked(of[-TAIL:]), facts, cut)


def _marked(of: Sequence[Piece]) -> Markup:
    """The pieces one behind the other, trained ones within marks."""
    found = Markup()
    for trained, group in groupby(of, key=lambda piece: piece.trained):
        inner = Markup().join(map(_piece, group))
        found += element("mark", inner) if trained else element("span", inner)
    return found


def _piece(piece: Piece) -> Markup:
    text, left = clipped(piece.text, WIDEST)
    body = shown(text) + (f"… {number(left)} more characters" if left else "")
    return element("i", body, title=" ".join(map(str, piece.ids[:8])) or None)


def _carried(example: ShownExample) -> tuple[tuple[str, str], ...]:
    """The columns that travel with a row's tokens, as text of bounded length."""
    if example.carried is None:
        return () if example.label is None else (("label", example.label),)
    return tuple((name, _value(value)) for name, value in json.loads(example.carried).items())


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    text, left = clipped(text, CARRIED)
    return visible(text) + (f"… {number(left)} more characters" if left else "")
