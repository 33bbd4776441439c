"""Did-you-mean: the known names nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def closest(name: str, known: Iterable[str], *, most: int = 1) -> tuple[str, ...]:
    """The names of `known` which `name` may be a slip for, nearest first; often none."""
    wanted = _plain(name)
    ranked = sorted((_distance(wanted, _plain(other)), other) for other in set(known))
    return tuple(other for distance, other in ranked if distance <= _tolerance(wanted, _plain(other)))[:most]


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A help line naming the nearest known name, or nothing."""
    return tuple(f"did you mean `{other}`?" for other in closest(name, known))


def listed(names: Iterable[str], *, most: int = 24) -> str:
    """Names in their order as a readable list in backticks, cut where it gets too long."""
    names = [f"`{name}`" for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def either(names: Sequence[str]) -> str:
    """Alternatives in words: `a`, `b` or `c`, each as given."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def _tolerance(name: str, other: str) -> float:
    """How many slips may lie between two names; a word that continues the other counts as near."""
    if len(name) >= 4 and (other.startswith(name) or name.startswith(other)) and len(other) >= 4:
        return abs(len(name) - len(other))
    return max(1, max(len(name), len(other)) // 3) if len(name) > 1 else 0


def _distance(a: str, b: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours between two words (optimal alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, right in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
