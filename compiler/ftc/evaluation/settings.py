"""What a recipe may say to a metric: the same keys in a suite of [eval] and in a reward."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, Strict

from ftc.evaluation.base import Form, Normalise, Unit
from ftc.recipe.base import Table, Text


class MetricSettings(Table):
    """The keys that metrics read, named as in `ftc.evaluation.Options`."""

    normalise: Normalise | None = None
    """How answers and references are made alike before they are compared."""

    pattern: Text | None = None
    """The regular expression of metrics that match one."""

    json_schema: dict[str, JsonValue] | None = None
    """The JSON Schema that answers must satisfy."""

    form: Form | None = None
    """The form that answers must have."""

    starts_with: Text | None = None
    """What answers must begin with."""

    ends_with: Text | None = None
    """What answers must end with."""

    unit: Unit | None = None
    """What the length of an answer is counted in."""

    at_least: Annotated[int, Field(ge=0)] | None = None
    """Shortest answer that is right, in `unit`."""

    at_most: Annotated[int, Field(ge=0)] | None = None
    """Longest answer that is right, in `unit`."""

    tolerance: Annotated[float, Field(ge=0)] | None = None
    """How far a number may be from the reference, as a share of it."""

    tests: Text | Annotated[tuple[Text, ...], Strict(strict=False)] | None = None
    """Python that is run behind the code of each answer, such as assertions; each row may have its own."""

    seconds: Annotated[float, Field(gt=0, le=600)] | None = None
    """Time that the code of an answer has with all its tests."""

    memory: Annotated[int, Field(ge=64)] | None = None
    """MiB that the code of an answer may take."""

    @property
    def metric_options(self) -> dict[str, JsonValue]:
        """What is stated of them."""
        stated = {key: getattr(self, key) for key in MetricSettings.model_fields}
        lists = {key: list(value) for key, value in stated.items() if isinstance(value, tuple)}
        return {key: value for key, value in (stated | lists).items() if value is not None}
