"""The figures of a plan by which plans are compared: rows, tokens, the schedule, what trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ftc.estimate.forecast import Forecast
from ftc.plan.account import Ledger
from ftc.plan.steps import DataStep, Part, Plan, Sequences

Value = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of several plans: its name, such as `tokens.train`, and its value in each; None has none."""

    name: str
    values: tuple[Value, ...]

    @property
    def differs(self) -> bool:
        """Whether the plans disagree."""
        return len({(type(value), value) for value in self.values}) > 1


def figures_of(plans: Sequence[Plan], forecasts: Sequence[Forecast | None] = ()) -> tuple[Figure, ...]:
    """The figures of some plans, each with one value a plan; those that no plan has are left out.

    `forecasts` are those of the plans, in their order, where there are any.
    """
    of_builds = [dict(_forecast(one)) for one in forecasts] or [{} for _ in plans]
    found = [{**figures(plan), **more} for plan, more in zip(plans, of_builds, strict=True)]
    names = sorted({name for one in found for name in one}, key=_rank)
    return tuple(Figure(name, tuple(one.get(name) for one in found)) for name in names)


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name), "") if name in ORDER else (ORDER.index("rows.kept"), name)


def figures(plan: Plan) -> Mapping[str, Value]:
    """A plan's own figures by name; counts are of rows, tokens (of one pass) and optimizer steps."""
    return dict(_figures(plan))


def _figures(plan: Plan) -> Iterator[tuple[str, Value]]:
    if plan.data is not None:
        yield from _rows(plan.data.ledger)
        yield from _tokens("train", plan.data.train)
        if plan.data.eval is not None:
            yield from _tokens("eval", plan.data.eval)
        yield from _sequences(plan.data.sequences)
    yield from _run(plan)
    if plan.model is not None:
        yield "model", plan.model.location
        yield "model.dtype", plan.model.dtype
    if plan.environment is not None:
        yield "device", plan.environment.device


def fates(ledger: Ledger) -> Mapping[str, int]:
    """How many rows have each fate, of all reasons together."""
    rows: Counter[str] = Counter()
    for line in ledger.lines:
        rows[line.fate] += line.rows
    return rows


def _rows(ledger: Ledger) -> Iterator[tuple[str, int]]:
    yield "rows.read", ledger.read
    yield from ((f"rows.{fate}", rows) for fate, rows in fates(ledger).items())
    if ledger.more:
        yield "rows.more", ledger.more
    yield "rows.kept", ledger.train + ledger.eval
    yield "rows.train", ledger.train
    yield "rows.eval", ledger.eval


def _tokens(side: str, part: Part) -> Iterator[tuple[str, int]]:
    yield f"tokens.{side}", part.tokens
    yield f"tokens.{side}.loss", part.trained_tokens
    yield f"tokens.{side}.longest", part.longest
    if part.repeats:
        yield f"rows.{side}.repeats", part.repeats


def _sequences(sequences: Sequences | None) -> Iterator[tuple[str, int | None]]:
    if sequences is not None:
        yield "sequences", sequences.count
        yield "sequences.capacity", sequences.capacity


def _run(plan: Plan) -> Iterator[tuple[str, Value]]:
    if plan.train is not None:
        yield "train.steps", plan.train.steps
        yield "train.epochs", plan.train.epochs
        yield "train.batch", plan.train.batch
        yield "train.micro_batch", plan.train.micro_batch
        yield "train.learning_rate", plan.train.arguments.get("learning_rate")  # type: ignore[misc]
        if plan.data is not None:
            yield "train.tokens", trained_on(plan.data, plan.train.epochs)
    if plan.objective is not None:
        yield "objective", plan.objective.name
    if plan.tune is not None:
        yield "tune.method", plan.tune.method
        if plan.tune.parameters is not None:
            yield "tune.parameters", plan.tune.parameters


def _forecast(build: Forecast | None) -> Iterator[tuple[str, Value]]:
    """What a build takes, by the likely figures: GiB, hours, US dollars."""
    if build is None:
        return
    yield "forecast.device", build.device
    if build.memory is not None:
        yield "forecast.memory", build.memory.needed / (1 << 30)
    if build.hours is not None:
        yield "forecast.hours", build.hours.likely
    if build.cost is not None:
        yield "forecast.cost", build.cost.likely


def trained_on(data: DataStep, epochs: float) -> int:
    """Tokens that go through the model in all steps of training, the last batch of a pass taken as full."""
    tokens = data.train.tokens if data.sequences is None else data.sequences.tokens
    return round(epochs * tokens)


ORDER = (
    "rows.read",
    "rows.invalid",
    "rows.filtered",
    "rows.sampled_out",
    "rows.duplicate",
    "rows.unmixed",
    "rows.untrained",
    "rows.unproved",
    "rows.too_long",
    "rows.more",
    "rows.kept",
    "rows.unrolled",
    "rows.redacted",
    "rows.truncated",
    "rows.split",
    "rows.train",
    "rows.train.repeats",
    "rows.eval",
    "rows.eval.repeats",
    "tokens.train",
    "tokens.train.loss",
    "tokens.train.longest",
    "tokens.eval",
    "tokens.eval.loss",
    "tokens.eval.longest",
    "sequences",
    "sequences.capacity",
    "train.steps",
    "train.epochs",
    "train.tokens",
    "train.batch",
    "train.micro_batch",
    "train.learning_rate",
    "objective",
    "tune.method",
    "tune.parameters",
    "model",
    "model.dtype",
    "device",
    "forecast.device",
    "forecast.memory",
    "forecast.hours",
    "forecast.cost",
)
"""The order in which figures are told: as the rows go, then what is made of them."""
