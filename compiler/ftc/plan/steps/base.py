"""Digests, choices, and the machine: what other steps are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.recipe.base import Frozen

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileDigest(Frozen):
    """One input or output file: its portable name, its size in bytes, its SHA-256."""

    name: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Digest


class Choice(Frozen):
    """A value the compiler picked where the recipe left it open, with the reason."""

    key: str
    value: JsonValue
    reason: str


class EnvironmentStep(Frozen):
    """What of the machine decides the weights: the device, its thread count aside, and package versions."""

    device: Literal["cpu", "cuda", "mps"]
    packages: dict[str, str]
