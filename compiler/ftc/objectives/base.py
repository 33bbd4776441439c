"""What an objective declares: the columns it wants, and how training settings become its trainer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Shape:
    """One set of columns an objective can train on, and the form in which they are rendered.

    `identity` names the columns that identify an example for the split: rows equal in them always fall
    on the same side.
    """

    columns: tuple[str, ...]
    identity: tuple[str, ...]
    chat: bool


@dataclass(frozen=True, slots=True)
class Objective:
    """A row of the objectives' table.

    `trainer` and `config` name classes of TRL as `module:Class`, imported by the runtime alone.
    `arguments` gives the config's own arguments which this objective needs for compiled data.
    `owned` are the config's fields which ftc sets itself, with the recipe key to use instead.
    """

    name: str
    title: str
    shapes: tuple[Shape, ...]
    trainer: str
    config: str
    arguments: Callable[[], dict[str, JsonValue]]
    owned: Mapping[str, str]
