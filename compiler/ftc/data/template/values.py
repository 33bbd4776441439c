"""Messages as a template sees them: plain JSON values, or traced ones which know their message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftc.data.template.provenance import FIRST_SOURCE, Traced, TracedFloat, TracedInt

Message = Mapping[str, Any]
Path = tuple[str | int, ...]

REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""The names under which a message's reasoning is handed in; the first is the usual one."""

_LOOP_BITS = 32


def mark(loop: int, message: int | None) -> int:
    """The number of the mark which a loop leaves where it turns to a message, or ends (None)."""
    return loop << _LOOP_BITS | (0 if message is None else message + 1)


def read_mark(number: int) -> tuple[int, int | None]:
    """The loop and the message of a mark."""
    loop, message = number >> _LOOP_BITS, number & ((1 << _LOOP_BITS) - 1)
    return loop, message - 1 if message else None


class MessageDict(dict[str, Any]):
    """A message handed to a template, which knows its place in the conversation."""

    index: int = -1


@dataclass(frozen=True, slots=True)
class Origin:
    """A string that was handed in: its message (None: a tool's description), its path there, its text.

    A key of a table is a string too; its path is the one of its value.
    """

    message: int | None
    path: Path
    text: str
    key: bool = False

    @property
    def field(self) -> str:
        """The key of the message it is under; every name of the reasoning counts as the first."""
        name = str(self.path[0]) if self.path else ""
        return REASONING_FIELDS[0] if name in REASONING_FIELDS else name


def plain_value(value: Any) -> Any:
    """A value rebuilt of plain JSON types, as transformers does before a template may see it.

    Raises TypeError, naming the type, for a value that JSON does not have.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {plain_value(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    raise TypeError(f"a value of type {type(value).__name__}")


def plain_message(message: Message) -> dict[str, Any]:
    """A message as transformers hands it to a template: no nulls, reasoning under each of its names."""
    plain: dict[str, Any] = {key: plain_value(value) for key, value in message.items() if value is not None}
    reasoning = next((plain[key] for key in REASONING_FIELDS if key in plain), None)
    if reasoning is None:
        return plain
    return {"thinking": reasoning, **plain, REASONING_FIELDS[0]: reasoning}


class Wrapper:
    """Wraps plain values into traced ones, and remembers where each string came from."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []

    def _new(self, origin: Origin) -> int:
        self.origins.append(origin)
        return FIRST_SOURCE + len(self.origins) - 1

    def _text(self, origin: Origin) -> Traced:
        text = origin.text
        return Traced(text, ((len(text), self._new(origin), 0),) if text else ())

    def wrap(self, value: Any, message: int | None, path: Path = ()) -> Any:
        """The value with every string and number in it traced."""
        if isinstance(value, str):
            return self._text(Origin(message, path, value))
        if isinstance(value, dict):
            return dict(self._pair(key, item, message, (*path, key)) for key, item in value.items())
        if isinstance(value, list):
            return [self.wrap(item, message, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            traced = TracedInt(value) if isinstance(value, int) else TracedFloat(value)
            traced.source = self._new(Origin(message, path, str(value)))
            return traced
        return value

    def _pair(self, key: Any, value: Any, message: int | None, path: Path) -> tuple[Any, Any]:
        wrapped = self._text(Origin(message, path, key, key=True)) if isinstance(key, str) else key
        return wrapped, self.wrap(value, message, path)

    def message(self, plain: dict[str, Any], index: int) -> MessageDict:
        """A message with its place; the names of its reasoning share one origin."""
        wrapped = MessageDict()
        wrapped.index = index
        reasoning: Any = None
        for key, value in plain.items():
            if key in REASONING_FIELDS:
                if reasoning is None:
                    reasoning = self.wrap(value, index, (key,))
                wrapped[key] = reasoning
            else:
                wrapped[key] = self.wrap(value, index, (key,))
        return wrapped

    def messages(self, plain: Sequence[dict[str, Any]]) -> list[MessageDict]:
        """A conversation with every string traced."""
        return [self.message(message, index) for index, message in enumerate(plain)]
