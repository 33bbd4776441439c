"""Other tools whose configurations become recipes: one file each, one line each in this table."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftc.importing.peer import Peer

PEERS: dict[str, str] = {
    "axolotl": "ftc.importing.axolotl",
    "llamafactory": "ftc.importing.llamafactory",
    "trl": "ftc.importing.trl",
}


def load(name: str) -> Peer:
    """The peer called `name`, a key of `PEERS`."""
    peer: Peer = import_module(PEERS[name]).PEER
    return peer


__all__ = ["PEERS", "load"]
