"""A comparison of two plans on the screen, in words: what differs, what it costs, what is made anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import unified_diff
from typing import Any

from ftc.cli.build_view import metric_rows
from ftc.cli.figure_view import MINUS, change_table, group_of
from ftc.cli.layout import LABEL, clip, number, plural, table, wrap
from ftc.cli.plan_view import SHORT_DIGEST, Section, labelled, value_text
from ftc.cli.terminal import Terminal
from ftc.data.kept.row_differences import UNKNOWN, Ids, RowDifferences
from ftc.jobs.results import DiffResult, Side
from ftc.plan.compare import Change, ChoiceChange, Comparison, QueryChange, SourceChange
from ftc.plan.figures import Figure
from ftc.plan.redone import STAGES, Redone

COUNTED = ("rows", "tokens", "sequences", "train.steps", "train.epochs", "train.tokens", "forecast")
"""Beginnings of the names of figures that a table shows; the others stand among the settings."""

FOLLOWING = {
    "train.steps": "train.arguments.max_steps",
    "train.micro_batch": "train.arguments.per_device_train_batch_size",
    "train.accumulation": "train.arguments.gradient_accumulation_steps",
    "train.save_every": "train.arguments.save_steps",
}
"""Settings that the trainer's arguments repeat."""

PLACES = {
    "tuning": ("tune",),
    "schedule": ("train", "packing"),
    "model": ("model", "tokenizer", "objective"),
    "masks": ("render",),
    "limits": ("limits",),
    "selection": ("selection", "split"),
    "query": ("query",),
    "sources": ("sources",),
    "evaluation": ("eval",),
    "machine": ("environment",),
}
"""Labels, and the parts of the plan whose settings stand under each; others stand under their own name."""

PARTS = {
    "sources": "the sources",
    "queries": "the query",
    "tokenizer": "the tokenizer",
    "tokenizer_sha256": "the tokenizer's file",
    "render": "the rendering",
    "limits": "the limits",
    "split": "the split",
    "selection": "the selection",
    "rows": "the rows",
    "tune": "the tuning",
    "train": "the schedule",
    "eval": "the evaluation",
    "environment": "the machine",
    "data": "the compiled data",
    "name": "the name",
    "seed": "the seed",
    "model": "the model",
    "objective": "the objective",
    "packing": "the packing",
}
PLURAL = ("sources", "limits", "rows")
LONG = 60
"""Characters beyond which a text is shown as a diff of its lines."""


def diff_screen(result: DiffResult, found: Comparison, terminal: Terminal) -> list[str]:
    """All lines of `ftc diff`."""
    width = terminal.width - LABEL
    sides = zip(("old", "new"), (result.old, result.new), found.digests, strict=True)
    lines = [line for name, side, digest in sides for line in labelled(name, [_side(side, digest)], terminal)]
    if found.same:
        return [
            *lines,
            "",
            *wrap("They are one and the same plan: nothing would be made anew.", terminal.width),
        ]
    lines += ["", *wrap(summary(found), terminal.width)]
    for group in (_data(result, found, width), _settings(found, width), _redone(found, width)):
        shown = [line for label, texts in group if texts for line in labelled(label, texts, terminal)]
        lines += ["", *shown] if shown else []
    choices = _choices(found, terminal)
    return [
        *lines,
        *(["", "Chosen otherwise, where the recipe leaves it open:", *choices] if choices else []),
    ]


def _side(side: Side, digest: str) -> str:
    name = f", {side.plan.name}" if side.plan is not None else ""
    return f"{side.path} ({side.kind}{name}, plan {digest[:SHORT_DIGEST]})"


def summary(found: Comparison) -> str:
    """What matters most, in a sentence or two."""
    figures = {figure.name: figure for figure in found.figures}
    told = [
        text
        for name, what in (("rows.train", "rows train"), ("train.tokens", "tokens are trained on in all"))
        if (text := _by(figures.get(name), what))
    ]
    steps = _by(figures.get("train.steps"), "steps")
    told += [steps] if steps else []
    first = "; ".join(told) or "No count of rows, tokens or steps differs"
    return f"{first[0].upper()}{first[1:]}. {_work(found.redone)}"


def _by(figure: Figure | None, what: str) -> str:
    """`120 more rows train (100 instead of 80)`."""
    if figure is None or not figure.differs:
        return ""
    old, new = (value if isinstance(value, int) else 0 for value in figure.values)
    return (
        f"{number(abs(new - old))} {'more' if new > old else 'fewer'} {what} ({number(old)} → {number(new)})"
    )


def _work(redone: Iterable[Redone]) -> str:
    stages = [one.stage for one in redone]
    if "rows" in stages:
        return "The rows are compiled anew, and the model is trained from the beginning."
    if "sequences" in stages:
        return "No row is compiled anew; the sequences are, and the model is trained from the beginning."
    return "No row is compiled anew; the model is trained from the beginning."


def _data(result: DiffResult, found: Comparison, width: int) -> Iterator[Section]:
    yield "sources", [line for source in found.sources for line in _source(source, width)]
    for query in found.queries:
        yield _query_label(query), text_diff(query.old, query.new, width)
    for label in ("rows", "tokens", "packing", "train", "forecast"):
        listed = [one for one in found.figures if _told(one) and group_of(one) == label]
        unknown = _unforecast(result, width) if label == "forecast" else []
        yield label, [*change_table(listed), *unknown]
    if result.old.measured is not None and result.new.measured is not None:
        metrics = metric_rows(result.old.measured, result.new.measured)
        yield "measured", table([("after training", "old", "new", "change"), *metrics]) if metrics else []
    if result.rows is not None:
        yield "row ids", list(_row_lines(result.rows, width))
    elif found.data:
        said = "which rows differ cannot be told: the compiled rows of one side are not at hand"
        yield "row ids", wrap(said, width)


def _unforecast(result: DiffResult, width: int) -> list[str]:
    """Why memory, time or money of a side is not known: once, where it is so of both."""
    sides = (result.old, result.new)
    if result.old.unforecast == result.new.unforecast:
        whys = [f"of both, not all is known: {result.old.unforecast}"] if result.old.unforecast else []
    else:
        whys = [f"of {one.path}, not all is known: {one.unforecast}" for one in sides if one.unforecast]
    return [line for why in whys for line in wrap(why, width)]


def _query_label(query: QueryChange) -> str:
    return "query" if not query.name else clip(query.name, LABEL - 1)


def _counted(figure: Figure) -> bool:
    return figure.name.startswith(COUNTED)


def _told(figure: Figure) -> bool:
    """Whether a table of what differs has the figure; of a forecast it has what is known of both sides."""
    known = None not in figure.values or not figure.name.startswith("forecast")
    return figure.differs and _counted(figure) and known


def _source(change: SourceChange, width: int) -> Iterator[str]:
    old, new = change.old, change.new
    rows = [f"{plural(count, 'row')}" for count in change.rows if count is not None]
    if old is None or new is None:
        only = new or old
        assert only is not None  # noqa: S101 - one of the two has it
        said = "is new" if old is None else "is gone"
        yield from wrap(f"{change.name} {said}: {only.location}{f' ({rows[0]})' if rows else ''}", width)
        return
    told = []
    if old.sha256 != new.sha256:
        told.append("has other content")
    if old.location != new.location:
        told.append(f"is now {new.location}, was {old.location}")
    if (old.format, old.options) != (new.format, new.options):
        told.append("is read otherwise")
    counts = f" ({' → '.join(dict.fromkeys(rows))})" if rows else ""
    yield from wrap(f"{change.name} {', '.join(told) or 'has files of other names'}{counts}", width)
    if old.sha256 != new.sha256:
        yield f"  {MINUS}{old.sha256}"
        yield f"  +{new.sha256}"


def text_diff(old: str | None, new: str | None, width: int) -> list[str]:
    """The lines that differ of two texts, with their surroundings, in the form of `diff -u`."""
    before, after = ((text or "").strip("\n").split("\n") if text is not None else [] for text in (old, new))
    head, body = 2, list(unified_diff(before, after, lineterm="", n=2))
    lines = [line[0] + clip(line[1:], width - 1, strip=False) for line in body[head:]]
    return lines or ["only blank lines at its ends differ"]


def _row_lines(rows: RowDifferences, width: int) -> Iterator[str]:
    if not rows.any:
        yield f"all {plural(rows.same, 'compiled row')} are the same"
        return
    yield f"{number(rows.same)} the same in both"
    yield from _ids("came", rows.came, _fates(rows.came_from, "before: "), width)
    yield from _ids("went", rows.went, _fates(rows.went_to, "now: "), width)
    yield from _ids("changed", rows.changed, "other tokens or loss mask", width)
    yield from _ids("moved", rows.moved, "to the other side of the split", width)
    if rows.elsewhere:
        said = f"of those that came or changed, {number(rows.elsewhere)} were there before under another id"
        yield from wrap(said, width)


def _ids(word: str, ids: Ids, note: str, width: int) -> Iterator[str]:
    if not ids.rows:
        return
    yield from wrap(f"{number(ids.rows)} {word}{f' ({note})' if note else ''}", width)
    more = ", …" if ids.rows > len(ids.first) else ""
    yield f"  {clip(', '.join(ids.first) + more, width - 2)}"


def _fates(fates: Mapping[str, int], before: str) -> str:
    words = [
        f"{number(rows)} {'not among the rows' if fate == UNKNOWN else fate.replace('_', ' ')}"
        for fate, rows in fates.items()
    ]
    return before + ", ".join(words) if words else ""


def _settings(found: Comparison, width: int) -> Iterator[Section]:
    changes = list(settings_told(found.settings))
    labels = dict.fromkeys(_label(change) for change in changes)
    for label in sorted(labels, key=lambda label: [*PLACES, label].index(label)):
        lines = [line for one in changes if _label(one) == label for line in change_lines(one, width)]
        yield label, lines


def _label(change: Change) -> str:
    part = change.path.partition(".")[0]
    return next((label for label, parts in PLACES.items() if part in parts), clip(part, LABEL - 1))


def settings_told(changes: Iterable[Change]) -> Iterator[Change]:
    """The changes, without those that only repeat another one or a figure of the tables."""
    listed = tuple(changes)
    values = {(one.path, str(one.old), str(one.new)) for one in listed}
    repeats = {
        (path, old, new) for first, path in FOLLOWING.items() for where, old, new in values if where == first
    }
    seeds = {(old, new) for path, old, new in values if path == "seed"}
    for one in listed:
        pair = (str(one.old), str(one.new))
        a_seed = one.path != "seed" and one.path.endswith("seed") and pair in seeds
        if (one.path, *pair) not in repeats and not a_seed and one.path not in COUNTED:
            yield one


def change_lines(change: Change, width: int) -> Iterator[str]:
    """A setting with its old and new value; of long texts the lines that differ."""
    name = change.path.partition(".")[2].removeprefix("arguments.").removeprefix("peft.") or change.path
    if any(isinstance(value, str) and len(value) > LONG for value in (change.old, change.new)):
        yield f"{name}:"
        old, new = (value if isinstance(value, str) else None for value in (change.old, change.new))
        yield from (f"  {line}" for line in text_diff(old, new, width - 2))
        return
    text = f"{name}: {_one(change.old, change, 'new')} → {_one(change.new, change, 'old')}"
    yield from wrap(text, width)


def _one(value: Any, change: Change, other: str) -> str:
    """A value as it stands in the recipe's words; unset where only the other plan has one."""
    if change.only == other or value is None:
        return "unset"
    if isinstance(value, dict):
        return (
            ", ".join(f"{key} {value_text(one)}" for key, one in value.items() if one is not None) or "none"
        )
    return value_text(value)


def _redone(found: Comparison, width: int) -> Iterator[Section]:
    lines = [line for one in found.redone for line in wrap(_redone_words(one), width)]
    made = {one.stage for one in found.redone}
    kept = [stage for stage in STAGES if stage in ("sources", "rows") and stage not in made]
    if kept:
        lines.append(f"kept as they are: {', '.join(kept)}")
    yield "made anew", lines


def _redone_words(one: Redone) -> str:
    parts = _and(dict.fromkeys(PARTS.get(part, part) for part in one.because if part != "choices"))
    verb = "differ" if len(one.because) > 1 or one.because[0] in PLURAL else "differs"
    return {
        "sources": f"sources: read in {parts}",
        "model": f"model: converted {parts}",
        "rows": f"rows: all compiled, as {parts} {verb}",
        "sequences": f"sequences: laid out, as {parts} {verb}",
        "training": "training: from the first step, as the plan is another" + f" ({parts})" * bool(parts),
    }[one.stage]


def _and(words: Iterable[str]) -> str:
    *most, last = tuple(words) or ("",)
    return f"{', '.join(most)} and {last}" if most else last


def _choices(found: Comparison, terminal: Terminal) -> list[str]:
    width, lines = terminal.width - 4, []
    shown = [one for one in found.choices if terminal.verbose or not one.only_reason]
    for one in shown:
        lines += [f"  {clip(_chosen(one), terminal.width - 2)}"]
        reason = one.new or one.old
        if reason is not None and one.new is not None:
            lines += [f"      {text}" for text in wrap(reason.reason, width - 2)]
    return lines


def _chosen(one: ChoiceChange) -> str:
    if one.only_reason and one.new is not None:
        return f"{one.key} = {value_text(one.new.value)}, for another reason"
    if one.new is None and one.old is not None:
        return f"{one.key}: no longer chosen, was {value_text(one.old.value)}"
    if one.old is None and one.new is not None:
        return f"{one.key} = {value_text(one.new.value)}, not left open before"
    assert one.old is not None  # noqa: S101 - a change has a side
    assert one.new is not None  # noqa: S101
    return f"{one.key} = {value_text(one.old.value)} → {value_text(one.new.value)}"
