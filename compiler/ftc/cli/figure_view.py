"""The figures of several plans side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.cli.layout import clip, display_width, number, table
from ftc.plan.figures import Figure, Value

NONE = "–"
SAME = "="
MINUS = "\N{MINUS SIGN}"
NARROWEST = 14
"""Columns below which a plan's own column says too little: then fewer plans stand side by side."""

GROUPS = {"rows": "rows", "tokens": "tokens", "sequences": "packing", "train": "train"}
GROUPS |= {"differs": "differs", "forecast": "forecast"}
"""Beginnings of figures' names, and the label that they stand under; all others stand under `model`."""

WORDS = {
    "rows.read": "read",
    "rows.kept": "kept",
    "rows.more": "more, by splitting or unrolling",
    "rows.train": "to train on",
    "rows.train.repeats": "trained on again",
    "rows.eval": "held out",
    "rows.eval.repeats": "held out again",
    "rows.unrolled": "of the kept, unrolled",
    "rows.redacted": "of the kept, redacted",
    "rows.truncated": "of the kept, truncated",
    "rows.split": "of the kept, split",
    "tokens.train": "to train on",
    "tokens.train.loss": "with loss",
    "tokens.train.longest": "longest row",
    "tokens.eval": "held out",
    "tokens.eval.loss": "held out, with loss",
    "tokens.eval.longest": "longest held out",
    "sequences": "sequences a pass",
    "sequences.capacity": "tokens a sequence",
    "train.steps": "steps",
    "train.epochs": "epochs",
    "train.tokens": "tokens in all",
    "train.batch": "batch",
    "train.micro_batch": "micro batch",
    "train.learning_rate": "learning rate",
    "objective": "objective",
    "tune.method": "method",
    "tune.parameters": "parameters trained",
    "model": "base",
    "model.dtype": "precision",
    "device": "device",
    "forecast.device": "on",
    "forecast.memory": "memory, GiB",
    "forecast.hours": "hours, likely",
    "forecast.cost": "US dollars, likely",
}


def group_of(figure: Figure) -> str:
    """The label that a figure stands under."""
    return GROUPS.get(figure.name.partition(".")[0], "model")


def words_of(figure: Figure) -> str:
    """What a figure counts, in words that follow its label."""
    group, _, name = figure.name.partition(".")
    return WORDS.get(figure.name) or (name if group == "differs" else name.replace("_", " "))


def shown(value: Value) -> str:
    """A figure's value."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value)
    return f"{value:.4g}" if isinstance(value, float) else value


def changed(old: Value, new: Value) -> tuple[str, str]:
    """The change of a number with its sign, and in percent of the old; empty for what is no number."""
    if isinstance(old, str | bool) or isinstance(new, str | bool) or (old is None and new is None):
        return "", ""
    by = (new or 0) - (old or 0)
    sign = "+" if by > 0 else MINUS
    share = f"{sign}{100 * abs(by) / old:.3g} %" if old else ""
    return f"{sign}{shown(abs(by))}", share


def change_table(figures: Sequence[Figure]) -> list[str]:
    """Two plans' figures, with the change from the first to the second."""
    if not figures:
        return []
    rows = [("", "old", "new", "change", "")]
    for figure in figures:
        old, new = figure.values
        rows.append((words_of(figure), shown(old), shown(new), *changed(old, new)))
    return table(rows, right=(1, 2, 3, 4))


def blocks(titles: Sequence[str], figures: Sequence[Figure], width: int) -> list[list[tuple[str, list[str]]]]:
    """Labels with lines, a column a plan; where they do not all fit, several blocks below each other.

    The first plan stands in every block, as the others are compared with it. Where all plans have one value
    it stands in the first column, and `=` in the others.
    """
    label = max((display_width(words_of(figure)) for figure in figures), default=0)
    fitting = max(2, (width - label) // (NARROWEST + 2))
    others = range(1, len(titles))
    parts = [others[start : start + fitting - 1] for start in range(0, len(others), fitting - 1)]
    return [_block(titles, figures, (0, *part), width - label) for part in parts]


def _block(
    titles: Sequence[str], figures: Sequence[Figure], which: Sequence[int], room: int
) -> list[tuple[str, list[str]]]:
    most = room // len(which) - 2
    rows = [("", *(_ending(titles[place], most) for place in which))]
    rows += [(words_of(figure), *_cells(figure, which, most)) for figure in figures]
    lines = table(rows, right=range(1, len(which) + 1))
    found = [("", lines[:1])]
    for figure, line in zip(figures, lines[1:], strict=True):
        group = group_of(figure)
        if found[-1][0] != group:
            found.append((group, []))
        found[-1][1].append(line)
    return found


def _cells(figure: Figure, which: Sequence[int], most: int) -> list[str]:
    if not figure.differs:
        return [clip(shown(figure.values[0]), most), *(SAME for _ in which[1:])]
    return [clip(shown(figure.values[place]), most) for place in which]


def _ending(title: str, most: int) -> str:
    """A title, cut at its beginning where it is too long: the ends of paths tell them apart."""
    if display_width(title) <= most:
        return title
    while display_width(title) > most - 1:
        title = title[1:]
    return f"…{title}"
