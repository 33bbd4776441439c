"""What a row becomes on its way to tokens: pieces of text, each trained or not, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ftc.plan.account import Fate


class Piece(NamedTuple):
    """A stretch of the rendered text which carries loss as a whole, or not at all."""

    text: str
    trained: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row as text: its pieces in order; their concatenation is the rendering, byte for byte.

    `prompt` is what inference would be given before the last trained answer and `target` the answer
    without its stop token; both None where there is no answer (plain documents).
    """

    pieces: tuple[Piece, ...]
    prompt: str | None = None
    target: str | None = None

    @property
    def text(self) -> str:
        """The whole rendering."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Unrolled:
    """A conversation as several rows, each with turns as inference would produce them."""

    rows: tuple[Rendered, ...]


@dataclass(frozen=True, slots=True)
class Members:
    """Several texts that train together as one row, such as a chosen and a rejected answer to one prompt."""

    rows: tuple[Rendered, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that cannot be used: the fate it takes in the ledger, the diagnostic's code, the reason."""

    fate: Fate
    code: str
    reason: str
