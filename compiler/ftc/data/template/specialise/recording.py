"""Stand-ins for the free strings of a conversation while a template is recorded.

A stand-in is no `str`: it holds no characters that code in C could read. All that can be learnt of it
goes through the methods here and the hooks of `environment`. Each does one of three things:

- it derives a new stand-in, whose expression says how (`strip`, `split`, `+`);
- it asks the recorder, which notes question and answer (truth, `==`, `in`, `startswith`, a length);
- it gives the recording up, for good, also where the template would go on regardless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from ftc.data.template.provenance import Traced, runs_of
from ftc.data.template.specialise.expression import (
    FLAGS,
    METHODS,
    NUMBERS,
    PIECES,
    STRIPS,
    TEXTS,
    Applied,
    Expression,
    Fixed,
    Joined,
    joined,
    plain,
    stripped,
)

Answer = bool | int

_OF_STR = frozenset(dir(str))
_WITH_CHARS = 3  # arguments, the text and one more than a strip may have


class Unspecialised(Exception):  # noqa: N818  not an error of the program
    """What a template does to a free string cannot be noted."""


class Recorder:
    """Notes what a template learns of one row's free strings.

    `known` are answers that need not be noted again; `asked` are the questions in order, with their
    answers. `looks` are all expressions that were asked about or derived, as often as they were.
    """

    def __init__(self, row: Sequence[str], known: dict[Expression, Answer]) -> None:
        self.row = row
        self.known = dict(known)
        self.asked: list[tuple[Expression, Answer]] = []
        self.looks: list[Expression] = []
        self.failure: str | None = None

    def give_up(self, reason: str) -> NoReturn:
        """End the recording, even if the template carries on."""
        self.failure = self.failure or reason
        raise Unspecialised(reason)

    def ask(self, operation: str, *arguments: Any) -> Any:
        """The answer to a question, which every row must answer alike to be rendered alike."""
        question = Applied(operation, arguments)
        self.look(question)
        if question not in self.known:
            self.known[question] = plain(question)(self.row)
            self.asked.append((question, self.known[question]))
        return self.known[question]

    def look(self, expression: Expression) -> None:
        """Count an expression among those that a rendering has to work for."""
        self.looks.append(expression)

    def text(self, expression: Expression) -> Any:
        """The stand-in of an expression; a fixed text stands for itself."""
        if isinstance(expression, Fixed):
            return Traced(expression.text, expression.runs)
        self.look(expression)
        return RecordedText(self, expression)

    def argument(self, value: Any) -> Any:
        """An argument of an operation, as an expression or a constant."""
        if isinstance(value, Recorded):
            return value.expression
        if value is None or type(value) in (bool, int):
            return value
        if type(value) is str or isinstance(value, Traced):
            return Fixed(str.__str__(value), runs_of(value))
        return self.give_up(f"an argument of type {type(value).__name__}")


class Recorded:
    """A stand-in: anything that is not defined below ends the recording."""

    __slots__ = ("expression", "recorder")

    def __init__(self, recorder: Recorder, expression: Expression) -> None:
        self.recorder = recorder
        self.expression = expression

    def unknown(self, *_arguments: object, **_keywords: object) -> Any:
        """End the recording."""
        self.recorder.give_up("an operation that is not understood")

    def ask(self, operation: str, *arguments: Any) -> Any:
        """The noted answer to a question about this."""
        recorder = self.recorder
        return recorder.ask(operation, self.expression, *map(recorder.argument, arguments))

    def derive(self, operation: str, *arguments: Any) -> Applied:
        """The expression of an operation on this."""
        recorder = self.recorder
        return Applied(operation, (self.expression, *map(recorder.argument, arguments)))

    def __getattr__(self, name: str) -> Any:
        # Code of Jinja looks for attributes of its own, which no string has.
        if name in _OF_STR:
            self.unknown()
        raise AttributeError(name)


_ENDING = (
    *("__str__", "__repr__", "__format__", "__hash__", "__bytes__", "__bool__", "__contains__"),
    *("__int__", "__float__", "__complex__", "__index__", "__round__", "__trunc__"),
    *("__iter__", "__len__", "__reversed__", "__getitem__", "__reduce_ex__", "__copy__", "__deepcopy__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__mod__", "__rmod__"),
    *("__truediv__", "__rtruediv__", "__floordiv__", "__rfloordiv__", "__pow__", "__rpow__"),
    *("__and__", "__rand__", "__or__", "__ror__", "__xor__", "__rxor__", "__matmul__", "__rmatmul__"),
    *("__neg__", "__pos__", "__abs__", "__invert__", "__fspath__", "__enter__", "__await__"),
)
for _name in _ENDING:
    setattr(Recorded, _name, Recorded.unknown)


class RecordedText(Recorded):
    """The stand-in of a text."""

    __slots__ = ()
    __hash__ = Recorded.__hash__

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` is told, as the real value is a string in every row."""
        return str

    def __bool__(self) -> bool:
        if isinstance(self.expression, Joined) and any(map(_is_text, self.expression.parts)):
            return True
        return bool(self.ask("truth"))

    def _compare(self, operation: str, other: object) -> Any:
        return self.ask(operation, other) if isinstance(other, str) else NotImplemented

    def __eq__(self, other: object) -> Any:
        return self._compare("eq", other)

    def __ne__(self, other: object) -> Any:
        return not self.ask("eq", other) if isinstance(other, str) else NotImplemented

    def __lt__(self, other: object) -> Any:
        return self._compare("lt", other)

    def __le__(self, other: object) -> Any:
        return self._compare("le", other)

    def __gt__(self, other: object) -> Any:
        return self._compare("gt", other)

    def __ge__(self, other: object) -> Any:
        return self._compare("ge", other)

    def __contains__(self, other: object) -> bool:
        return bool(self.ask("contains", other) if isinstance(other, str) else self.unknown())

    def __add__(self, other: object) -> Any:
        return self.chained(self, other)

    def __radd__(self, other: object) -> Any:
        return self.chained(other, self)

    def chained(self, *parts: object) -> Any:
        """Strings one after the other; NotImplemented where one is no string."""
        if not all(isinstance(part, str) for part in parts):
            return NotImplemented
        recorder = self.recorder
        return recorder.text(joined([recorder.argument(part) for part in parts]))

    def __getitem__(self, key: object) -> Any:
        if isinstance(key, slice):
            return self.recorder.text(self.derive("slice", key.start, key.stop, key.step))
        return _picked(self, key, 0)


class RecordedScalar(Recorded):
    """The stand-in of a number of a message: it can be written, and nothing else."""

    __slots__ = ("_kind",)
    __hash__ = Recorded.__hash__

    def __init__(self, recorder: Recorder, expression: Expression, kind: type) -> None:
        super().__init__(recorder, expression)
        self._kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` is told."""
        return self._kind

    def text(self) -> RecordedText:
        """The number as it is written."""
        return RecordedText(self.recorder, self.expression)


class RecordedList(Recorded):
    """The stand-in of a list of texts, of which there are at least `least`."""

    __slots__ = ("_least",)
    __hash__ = Recorded.__hash__

    def __init__(self, recorder: Recorder, expression: Expression, least: int) -> None:
        super().__init__(recorder, expression)
        self._least = least

    def __bool__(self) -> bool:
        return self._least > 0 or bool(self.ask("truth"))

    def __len__(self) -> int:
        return int(self.ask("length"))

    def __iter__(self) -> Iterator[Any]:
        return iter([self.recorder.text(self.derive("item", number)) for number in range(len(self))])

    def __contains__(self, wanted: object) -> bool:
        return any(wanted is item or wanted == item for item in self)

    def __getitem__(self, key: object) -> Any:
        if isinstance(key, slice):
            sliced = self.derive("slice", key.start, key.stop, key.step)
            return RecordedList(self.recorder, sliced, 0)
        return _picked(self, key, self._least)


class RecordedNumber(Recorded):
    """The stand-in of a length or a place in a text."""

    __slots__ = ()
    __hash__ = Recorded.__hash__

    def __bool__(self) -> bool:
        return bool(self.ask("truth"))

    def _compare(self, operation: str, other: object) -> Any:
        if isinstance(other, (RecordedNumber, int)):
            return self.ask(operation, _number(other))
        return self.unknown() if isinstance(other, (float, complex)) else NotImplemented

    def __eq__(self, other: object) -> Any:
        return self._compare("eq", other)

    def __ne__(self, other: object) -> Any:
        found = self._compare("eq", other)
        return found if found is NotImplemented else not found

    def __lt__(self, other: object) -> Any:
        return self._compare("lt", other)

    def __le__(self, other: object) -> Any:
        return self._compare("le", other)

    def __gt__(self, other: object) -> Any:
        return self._compare("gt", other)

    def __ge__(self, other: object) -> Any:
        return self._compare("ge", other)

    def _sum(self, operation: str, other: object) -> Any:
        if not isinstance(other, (RecordedNumber, int)):
            return self.unknown()
        return RecordedNumber(self.recorder, self.derive(operation, _number(other)))

    def __add__(self, other: object) -> Any:
        return self._sum("plus", other)

    def __radd__(self, other: object) -> Any:
        return self._sum("plus", other)

    def __sub__(self, other: object) -> Any:
        return self._sum("minus", other)


class Method(Recorded):
    """A method of a free string, not yet called."""

    __slots__ = ("_name",)
    __hash__ = Recorded.__hash__

    def __init__(self, text: RecordedText, name: str) -> None:
        super().__init__(text.recorder, text.expression)
        self._name = name

    def __bool__(self) -> bool:
        return True

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the method on the stand-in."""
        return called(RecordedText(self.recorder, self.expression), self._name, *arguments, **keywords)


def called(text: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
    """What `text.name(*arguments)` is; `text` is the stand-in of a text."""
    recorder = text.recorder
    if keywords or name not in METHODS:
        recorder.give_up(f"the method {name}")
    if name in FLAGS:
        return text.ask(name, *arguments)
    derived = text.derive(name, *arguments)
    recorder.look(derived)
    if name in NUMBERS:
        return RecordedNumber(recorder, derived)
    if name in PIECES:
        return RecordedList(recorder, derived, _least(name, arguments))
    if name in STRIPS and len(derived.arguments) < _WITH_CHARS:
        return recorder.text(stripped(text.expression, name, derived.arguments[1:]))
    if name not in TEXTS or (name == "replace" and not isinstance(derived.arguments[2], Fixed)):
        recorder.give_up(f"the method {name} with a text of unknown length")
    return recorder.text(derived)


def _least(name: str, arguments: Sequence[Any]) -> int:
    if name in ("partition", "rpartition"):
        return 3
    return 1 if name in ("split", "rsplit") and arguments and arguments[0] is not None else 0


def _is_text(part: Expression) -> bool:
    return isinstance(part, Fixed) and part.text != ""


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, int) else value


def _picked(sequence: Any, key: object, least: int) -> Any:
    if not isinstance(key, int):
        return sequence.unknown()
    index = int(key)
    needed = index + 1 if index >= 0 else -index
    if needed > least and not sequence.ask("at_least", needed):
        raise IndexError(index)
    return sequence.recorder.text(sequence.derive("item", index))
