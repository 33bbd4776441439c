"""The account of every row as a picture: from the sources through what went to the sequences that train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ftc.cli.layout import clip, number, percent, plural
from ftc.plan.account import STAYING, Ledger
from ftc.plan.steps import DataStep, Sequences
from ftc.report.svg import NARROW, WIDE, drawing, element, rect, text

WORDS = {
    "invalid": "invalid",
    "filtered": "filtered by the query",
    "sampled_out": "sampled out",
    "duplicate": "duplicates",
    "unmixed": "not used by the mix",
    "untrained": "nothing to train on",
    "unproved": "without a proved mask",
    "too_long": "too long",
    "unrolled": "unrolled",
    "redacted": "redacted",
    "truncated": "truncated",
    "split": "split",
}
"""What the picture says of each fate."""

TALL = 250.0
"""Height of all rows in the wide picture."""
BAR = 12.0
LABEL = 38.0
"""Height that a node with its label takes at least."""
LEAST = 1.5
"""Height of a flow of any rows at all."""
MOST_SOURCES = 6


@dataclass(frozen=True, slots=True)
class Flow:
    """Rows of one name in the picture; `kind` is a class of the style sheet."""

    name: str
    rows: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Node:
    """A flow at its place; `at` is how much of it already has bands on its left and on its right."""

    flow: Flow
    x: float
    y: float
    height: float

    @property
    def end(self) -> float:
        """Its lower edge."""
        return self.y + self.height


def went(ledger: Ledger) -> tuple[Flow, ...]:
    """What went, in the order in which it happens, with a sum for each fate."""
    fates = dict.fromkeys(line.fate for line in ledger.lines if line.fate not in STAYING)
    rows = {fate: sum(line.rows for line in ledger.lines if line.fate == fate) for fate in fates}
    return tuple(Flow(WORDS[fate], count, "lost") for fate, count in rows.items() if count)


def changed(ledger: Ledger) -> tuple[Flow, ...]:
    """Rows that are kept and were changed."""
    fates = dict.fromkeys(line.fate for line in ledger.lines if line.fate in STAYING)
    return tuple(
        Flow(WORDS[fate], sum(line.rows for line in ledger.lines if line.fate == fate), "changed")
        for fate in fates
    )


def sources_of(ledger: Ledger) -> tuple[Flow, ...]:
    """The sources by their rows; those beyond a few share one."""
    found = [Flow(clip(one.name, 30), one.rows, "source") for one in ledger.sources]
    if len(found) <= MOST_SOURCES:
        return tuple(found)
    rest = found[MOST_SOURCES - 1 :]
    other = Flow(f"{len(rest)} more sources", sum(one.rows for one in rest), "source")
    return (*found[: MOST_SOURCES - 1], other)


def equation(ledger: Ledger) -> str:
    """The sum in words: what was read, what went, what is kept, and that nothing is unexplained."""
    parts = [f"{number(ledger.read)} read"]
    if ledger.more:
        parts.append(f"+ {number(ledger.more)} made by splitting or unrolling")
    parts += [f"− {number(flow.rows)} {flow.name}" for flow in went(ledger)]
    kept = ledger.train + ledger.eval
    held = f" = {number(ledger.train)} to train on + {number(ledger.eval)} held out" if ledger.eval else ""
    return " ".join(parts) + f" = {number(kept)} kept{held}; {number(ledger.unexplained)} unexplained"


def flow_picture(data: DataStep) -> Markup:
    """Both drawings of the account, the wide and the narrow one."""
    return wide(data.ledger, data.sequences) + narrow(data.ledger, data.sequences)


def _heights(flows: Sequence[Flow], rows: int) -> list[float]:
    return [max(LEAST, flow.rows / max(rows, 1) * TALL) if flow.rows else 0.0 for flow in flows]


def _column(
    flows: Sequence[Flow], x: float, rows: int, top: float = 0.0, *, tight: bool = False
) -> list[_Node]:
    """Flows one below the other with room for their labels; `tight` ones stand edge to edge."""
    nodes, y = [], top
    for flow, height in zip(flows, _heights(flows, rows), strict=True):
        nodes.append(_Node(flow, x, y, height))
        y += height if tight else max(height + 10.0, LABEL)
    return nodes


def _band(left: _Node, right: _Node, kind: str, starts: tuple[float, float], height: float) -> Markup:
    """A flow between two nodes, which begins at `starts` in either, and is as high at both ends."""
    x0, x1 = left.x + BAR, right.x
    y0, y1 = starts
    middle = (x0 + x1) / 2
    told = (
        f"M{x0:.2f},{y0:.2f} C{middle:.2f},{y0:.2f} {middle:.2f},{y1:.2f} {x1:.2f},{y1:.2f} "
        f"V{y1 + height:.2f} C{middle:.2f},{y1 + height:.2f} {middle:.2f},{y0 + height:.2f} "
        f"{x0:.2f},{y0 + height:.2f} Z"
    )
    return element("path", d=told, class_=f"band {kind}")


def _shown(node: _Node, said: str, *, before: bool = False) -> Markup:
    """A node with its count and its name beside it."""
    flow = node.flow
    x, anchor = (node.x - 8, "end") if before else (node.x + BAR + 8, None)
    y = node.y + (14.0 if node.height > LABEL else node.height / 2)
    count = text(x, y, number(flow.rows), "count", anchor)
    title = f"{plural(flow.rows, 'row')}: {flow.name}"
    bar = rect(node.x, node.y, BAR, node.height, f"node {flow.kind}", title)
    return bar + count + text(x, y + 14, said, "said", anchor)


def _comparable(ledger: Ledger) -> bool:
    """Whether rows of the sources are the rows read, so that both can be drawn on one scale."""
    return sum(source.rows for source in ledger.sources) == ledger.read


def wide(ledger: Ledger, sequences: Sequences | None) -> Markup:
    """The account from left to right."""
    whole = max(ledger.read + ledger.more, 1)
    read = _column([Flow("rows read", ledger.read, "read")], 170.0, whole)[0]
    sources = _sources(ledger, whole)
    lost, kept = went(ledger), Flow("kept", ledger.train + ledger.eval, "kept")
    middle = _column([kept, *lost], 352.0, whole)
    if len(middle) > 1:  # what went stands clear below what is kept
        middle = [middle[0], *_column(lost, 352.0, whole, max(middle[0].end + 26, 58.0))]
    sides = [Flow("to train on", ledger.train, "train")]
    sides += [Flow("held out", ledger.eval, "eval")] if ledger.eval else []
    ends = _column(sides, 520.0, whole)
    parts = [*_between(sources, read, comparable=_comparable(ledger)), *_from_read(read, middle, ledger)]
    parts += _to_sides(middle[0], ends)
    parts += [_shown(node, clip(node.flow.name, 22), before=True) for node in sources]
    made = _made(read, ledger, whole)
    parts += _from_made(made, middle[0])
    parts += [_shown(node, node.flow.name) for node in (read, *made, *middle)]
    parts += [_shown(node, _share(node.flow, ledger)) for node in ends]
    parts += _packed(ends[0], sequences)
    nodes = (*sources, read, *made, *middle, *ends)
    height = max(node.y + max(node.height, LABEL) for node in nodes) + 8
    return drawing(WIDE, height, equation(ledger), *parts)


def _made(read: _Node, ledger: Ledger, whole: int) -> list[_Node]:
    """Rows made by splitting and unrolling, below those read; none where none are."""
    flow = Flow("made by splitting", ledger.more, "changed")
    return _column([flow], 170.0, whole, max(read.end, LABEL) + 14) if ledger.more else []


def _from_made(made: Sequence[_Node], kept: _Node) -> Iterator[Markup]:
    for node in made:
        yield _band(node, kept, "changed", (node.y, kept.end - node.height), node.height)


def _share(flow: Flow, ledger: Ledger) -> str:
    return f"{flow.name} ({percent(flow.rows, ledger.train + ledger.eval)})"


def _sources(ledger: Ledger, whole: int) -> list[_Node]:
    flows = sources_of(ledger)
    if _comparable(ledger):
        return _column(flows, 128.0 - BAR, whole)
    most = max((flow.rows for flow in flows), default=1)
    return _column(flows, 128.0 - BAR, max(most * len(flows), 1))


def _between(sources: Sequence[_Node], read: _Node, *, comparable: bool) -> Iterator[Markup]:
    """The bands from the sources to the query; dotted where a query joins them, as rows are no sum then."""
    y = read.y
    for node in sources:
        height = node.height if comparable else read.height / len(sources)
        if comparable:
            yield _band(node, read, "source", (node.y, y), node.height)
        else:
            yield _band(node, read, "joined", (node.y + node.height / 2 - 1, y + height / 2), 2.0)
        y += height


def _from_read(read: _Node, middle: Sequence[_Node], ledger: Ledger) -> Iterator[Markup]:
    y = read.y
    for node in middle:
        height = node.height
        if node.flow.kind == "kept" and ledger.more:
            height = min(height, max(0.0, read.height - sum(each.height for each in middle[1:])))
        yield _band(read, node, node.flow.kind, (y, node.y), height)
        y += height


def _to_sides(kept: _Node, ends: Sequence[_Node]) -> Iterator[Markup]:
    y = kept.y
    for node in ends:
        yield _band(kept, node, node.flow.kind, (y, node.y), node.height)
        y += node.height


def _packed(train: _Node, sequences: Sequences | None) -> list[Markup]:
    """The sequences that the training rows are laid out in, where they are packed."""
    if sequences is None or sequences.capacity is None:
        return []
    flow = Flow("sequences", sequences.count, "train")
    node = _Node(flow, 668.0, train.y, train.height)
    said = f"{100 * sequences.utilisation:.1f} % full"
    y = node.y + max(11.0, min(node.height / 2, 14.0))
    return [
        _band(train, node, "train", (train.y, node.y), node.height),
        rect(node.x, node.y, BAR, node.height, "node train", plural(flow.rows, "sequence")),
        text(node.x + BAR + 6, y, number(flow.rows), "count"),
        text(node.x + BAR + 6, y + 14, "sequences", "said"),
        text(node.x + BAR + 6, y + 28, said, "said"),
    ]


def narrow(ledger: Ledger, sequences: Sequences | None) -> Markup:
    """The account from top to bottom: a bar a line, what went at the place where it went."""
    whole = max(ledger.read + ledger.more, 1)
    rows: list[tuple[Flow, float, str]] = []
    if len(ledger.sources) > 1:
        rows += [(flow, 0.0, "") for flow in sources_of(ledger)]
    rows.append((Flow("rows read", ledger.read, "read"), 0.0, ""))
    left = ledger.read
    if ledger.more:
        rows.append((Flow("more, made by splitting", ledger.more, "changed"), left, "+"))
        left += ledger.more
    for flow in went(ledger):
        left -= flow.rows
        rows.append((flow, left, "−"))
    rows.append((Flow("kept", ledger.train + ledger.eval, "kept"), 0.0, "="))
    rows.append((Flow("to train on", ledger.train, "train"), 0.0, ""))
    if ledger.eval:
        rows.append((Flow("held out", ledger.eval, "eval"), ledger.train, ""))
    parts = [part for place, row in enumerate(rows) for part in _bar(row, place, whole)]
    height = len(rows) * 38.0
    if sequences is not None and sequences.capacity is not None:
        full = f"{100 * sequences.utilisation:.1f} % full"
        parts.append(text(0, height + 14, f"{plural(sequences.count, 'sequence')}, {full}", "said"))
        height += 24
    return drawing(NARROW, height, equation(ledger), *parts)


def _bar(row: tuple[Flow, float, str], place: int, whole: int) -> Iterator[Markup]:
    flow, before, sign = row
    y, share = place * 38.0, NARROW / whole
    width = min(max(flow.rows * share, LEAST if flow.rows else 0.0), NARROW)
    yield text(0, y + 14, flow.name, "said")
    yield text(NARROW, y + 14, f"{sign} {number(flow.rows)}".strip(), "count", "end")
    yield rect(0, y + 20, NARROW, 9, "track")
    yield rect(min(before * share, NARROW - width), y + 20, width, 9, f"node {flow.kind}")
