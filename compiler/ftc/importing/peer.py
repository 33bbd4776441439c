"""What a peer declares: its keys, what is done with each, and by which keys its files are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ftc.importing.draft import Draft
from ftc.importing.rules import Rule


@dataclass(frozen=True)
class Peer:
    """A row of the peers' table.

    `steps` look at several keys together, in their order, before `rules` look at single ones; `known` are all
    names of keys at the top of its files. `tells` finds the objective of a file, where the file has it, or
    None; `commands` are the objectives that the command line may name instead.
    """

    name: str
    title: str
    steps: tuple[Callable[[Draft], None], ...]
    rules: Mapping[str, Rule]
    known: frozenset[str]
    commands: tuple[str, ...] = ()
