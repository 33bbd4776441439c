"""The way of a row on a screen: from the row of its source to its tokens, or to why it went."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ftc.cli.example_view import example_lines, facts, marked_lines, visible
from ftc.cli.layout import LABEL, clip, display_width, number, pad, plural, wrap
from ftc.cli.terminal import Terminal, escape

if TYPE_CHECKING:
    from ftc.data.kept.lineage import Lineage
    from ftc.data.kept.lookup import Accounted
    from ftc.data.kept.shown import PackedIn, ShownExample, Token
    from ftc.data.query.origin import SourceRow

WIDEST_NAME = 20
LOSS, SPACE = "loss", "␣"
NEIGHBOURS = 2
"""Rows of a sequence that are named on either side of one."""


def plain(value: Any) -> Any:
    """A value as JSON has it: what JSON lacks becomes text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def _cut(text: str, width: int) -> str:
    """A text cut to a width; unlike `clip` it keeps the white space at the ends, which is trained on."""
    return text if display_width(text) <= width else clip(f"|{text}", width + 1)[1:]


def value_lines(values: Mapping[str, Any], width: int, *, full: bool) -> list[str]:
    """Columns and their values: a line for each, or as many as it takes where all is wanted."""
    room = min(max(map(len, values), default=0), WIDEST_NAME)
    lines = []
    for name, value in values.items():
        head, text = pad(clip(name, room), room), _text(value)
        shown = visible(text, brackets=False)
        if not full:
            lines.append(f"{head}  {_cut(shown.replace(chr(10), ''), width - room - 2)}")
            continue
        first, *rest = [part for line in shown.split("\n") for part in wrap(line, width - room - 2) or [""]]
        lines += [f"{head}  {first}", *(f"{' ' * room}  {part}" for part in rest)]
    return lines


def _source_lines(source: SourceRow, width: int, *, full: bool) -> list[str]:
    place = f"{source.source}, row {number(source.number)}" if source.number else source.source
    if source.values is None:
        text = [] if source.text is None else visible(source.text, brackets=False).split("\n")
        return [
            place,
            *(part for line in text for part in (wrap(line, width) if full else [clip(line, width)])),
        ]
    return [place, *value_lines(source.values, width, full=full)]


def _packed_lines(packed: PackedIn, example: str, width: int) -> list[str]:
    room = f" of {number(packed.capacity)}" if packed.capacity else ""
    held = f"{number(packed.tokens)}{room} tokens, {plural(len(packed.rows), 'row')}"
    head = f"{number(packed.number + 1)} of {number(packed.of)}: {held}"
    if packed.also:
        head += f"; and in {', '.join(number(other + 1) for other in packed.also)}, as it is repeated"
    if len(packed.rows) == 1:
        return [head]
    at = packed.rows.index(example)
    first, last = max(at - NEIGHBOURS, 0), at + NEIGHBOURS + 1
    around = [f"[{row}]" if row == example else row for row in packed.rows[first:last]]
    before, after = ["…"] * (first > 0), ["…"] * (last < len(packed.rows))
    return [head, *wrap(", ".join([*before, *around, *after]), width)]


def _fields(row: Lineage, width: int, *, full: bool) -> Iterator[tuple[str, list[str]]]:
    if row.source is not None:
        yield "source", _source_lines(row.source, width, full=full)
    same = row.source is not None and row.values == row.source.values
    if row.values is not None:
        yield "row", ["as in the source"] if same else value_lines(row.values, width, full=full)
    if row.fate is not None:
        yield "went", wrap(f"{row.fate.replace('_', ' ')}: {row.reason}", width)
    if row.side is not None:
        words = "held out" if row.side == "eval" else "trained on"
        yield "side", wrap(f"{words}: {row.why}", width)
    for change in row.changes:
        named = f" ({change.id})" if change.id != row.id else ""
        yield "changed", wrap(f"{change.fate}: {change.reason}{named}", width)
    for example in row.examples:
        if example.packed is not None:
            yield "sequence", _packed_lines(example.packed, example.id, width)


def _labelled(label: str, texts: Sequence[str], terminal: Terminal) -> list[str]:
    head, rest = terminal.style(pad(label, LABEL), "dim"), " " * LABEL
    return [((rest if index else head) + escape(text)).rstrip() for index, text in enumerate(texts)]


def token_lines(tokens: Sequence[Token], terminal: Terminal) -> list[str]:
    """A line for each token: its place, its id, whether it carries loss, its text."""
    places, ids = len(str(len(tokens))), max((len(str(token.id)) for token in tokens), default=1)
    lines = []
    for place, token in enumerate(tokens):
        loss = LOSS if token.trained else " " * len(LOSS)
        text = visible(token.text, brackets=False).replace("\n", "").replace(" ", SPACE)
        shown = terminal.style(text, "trained") if token.trained else escape(text)
        lines.append(f"{place:>{places}}  {token.id:>{ids}}  {loss}  {shown}")
    return lines


def _example_lines(
    row: Lineage, example: ShownExample, terminal: Terminal, *, full: bool, tokens: bool
) -> list[str]:
    name = "" if example.id == row.id else f"{terminal.style(example.id, 'strong')}  "
    head = f"{name}{terminal.style(facts(example), 'dim')}"
    if tokens:
        return [head, *token_lines(example.each, terminal)]
    return [head, *example_lines(example, terminal, full=full)[1:]]


def lineage_lines(row: Lineage, terminal: Terminal, *, full: bool = False, tokens: bool = False) -> list[str]:
    """Everything about a row, from its source to its tokens or to the reason why it went."""
    lines = [terminal.style(row.id, "strong")]
    for label, texts in _fields(row, terminal.width - LABEL, full=full):
        lines += _labelled(label, texts, terminal)
    for example in row.examples:
        lines += ["", *_example_lines(row, example, terminal, full=full, tokens=tokens)]
    if row.text:
        lines += ["", terminal.style("it would have been", "dim")]
        lines += marked_lines(row.text, terminal, full=full)
    return lines


def account_lines(rows: Sequence[Accounted], total: int, terminal: Terminal) -> list[str]:
    """Rows of the ledger: id, fate and reason, on a line or two each."""
    if not total:
        return ["no row went that way"]
    lines = []
    for row in rows:
        lines.append(terminal.style(row.id, "strong"))
        lines += [
            f"    {escape(part)}"
            for part in wrap(f"{row.fate.replace('_', ' ')}: {row.reason}", terminal.width - 4)
        ]
    if total > len(rows):
        lines += ["", f"and {number(total - len(rows))} more; --rows shows more of them"]
    return lines


def source_json(source: SourceRow | None) -> dict[str, Any] | None:
    """A source's row in a JSON document."""
    if source is None:
        return None
    return {
        "name": source.source,
        "number": source.number,
        "values": plain(source.values),
        "text": source.text,
    }
