"""The classes that a classifier tells apart: their order, and rows that have none of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ftc.data.problems import RowProblem

SHOWN = 5


def in_order(classes: Iterable[str]) -> tuple[str, ...]:
    """The classes in the order of their scores: by number where all are numbers, else as texts."""
    found = set(classes)
    numbers = all(one.removeprefix("-").isdecimal() for one in found)
    return tuple(sorted(found, key=int) if numbers else sorted(found))


def class_problems(train: Mapping[str, int], held_out: Mapping[str, int]) -> tuple[RowProblem, ...]:
    """Too few classes to tell apart, or held-out rows of a class that no training row has.

    Both are empty where rows have no classes.
    """
    if train and len(train) == 1:
        message = f"all training rows have the label `{next(iter(train))}`, so there is nothing to tell apart"
        helps = ("see that the query returns rows of every class",)
        return (RowProblem("FTC516", message, ("data", "query"), help=helps),)
    unseen = in_order(set(held_out) - set(train)) if train else ()
    if not unseen:
        return ()
    some = ", ".join(f"`{one}`" for one in unseen[:SHOWN]) + (", …" if len(unseen) > SHOWN else "")
    labels = "the label" if len(unseen) == 1 else "the labels"
    message = f"held-out rows have {labels} {some}, which no training row has"
    helps = ('hold out rows of each class in proportion: stratify = "label"',)
    rows = sum(held_out[one] for one in unseen)
    return (RowProblem("FTC516", message, ("data", "split"), help=helps, rows=rows),)
