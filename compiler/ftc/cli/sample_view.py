"""A plan from a sample of the rows on the screen: which counts are estimates, and how good they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.cli.layout import number, percent, plural, table
from ftc.estimate.sampling import Estimate, unseen
from ftc.plan.account import LedgerLine
from ftc.plan.steps import DataStep, Part

if TYPE_CHECKING:
    from ftc.plan.sampled import Sampling

ABOUT = "≈"


def sample_lines(sampling: Sampling) -> list[str]:
    """What was looked at, and what that means for the figures."""
    compiled = (
        f"{number(sampling.looked_at)} of the {plural(sampling.rows, 'row')} that go on were compiled, those "
        f"with the smallest hashes of their ids. What is marked {ABOUT} is scaled from them; ± and ranges "
        "hold with a confidence of 95 %. Lengths, packing, memory, labels and lints are those of the sample."
    )
    beyond = (
        f"What none of them met, such as a fate that is not named below, is true of at most "
        f"{percent(sampling.unseen, 1)} of the rows. The plan has no digest: `ftc build` compiles all rows."
    )
    return [compiled, beyond]


def is_estimated(line: LedgerLine, sampling: Sampling | None) -> bool:
    """Whether a line of the ledger is scaled."""
    return sampling is not None and (line.fate, line.reason) in sampling.lines


def fate_range(line: LedgerLine, sampling: Sampling | None) -> str:
    """` (2 to 31)` behind a fate that is scaled; nothing for one that is counted."""
    if sampling is None or not is_estimated(line, sampling):
        return ""
    found = sampling.lines[line.fate, line.reason]
    return f" ({number(int(found.low))} to {number(-int(-found.high // 1))})"


def estimated_tokens(data: DataStep, sampling: Sampling) -> list[str]:
    """Rows, tokens and trained tokens of both sides with their errors, and how sure the longest row is."""
    parts = [(name, part) for name, part in (("train", data.train), ("eval", data.eval)) if part is not None]
    columns = [_column(name, part, sampling) for name, part in parts]
    words = ("", "rows", "tokens", "with loss", "compiled", "longest of those", "longer than that")
    return table(list(zip(words, *columns, strict=True)), right=range(1, len(columns) + 1))


def _column(side: str, part: Part, sampling: Sampling) -> tuple[str, ...]:
    names = (f"rows.{side}", f"tokens.{side}", f"tokens.{side}.loss")
    counts = (part.rows, part.tokens, part.trained_tokens)
    compiled = sampling.compiled[side]
    return (
        side,
        *(about(count, sampling.figures[name]) for name, count in zip(names, counts, strict=True)),
        plural(compiled, "row"),
        plural(part.longest, "token"),
        f"at most {percent(unseen(compiled), 1)}",
    )


def about(count: int, estimate: Estimate) -> str:
    """`≈ 212,400 ± 1.2 %`; a count whose range is just itself is exact."""
    if not estimate.margin:
        return number(count)
    return f"{ABOUT} {number(count)} ± {100 * estimate.margin:.2g} %"


def sample_json(sampling: Sampling | None) -> dict[str, Any] | None:
    """How far the figures are known; None where all rows were compiled."""
    if sampling is None:
        return None
    figures = sampling.figures.items()
    return {
        "rows": sampling.rows,
        "looked_at": sampling.looked_at,
        "compiled": dict(sampling.compiled),
        "unseen": sampling.unseen,
        "figures": {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in figures},
    }
