"""The tracing environment over stand-ins: a rendering becomes a recording.

Where Jinja would hand a stand-in to code that is not known to ask it properly, the recording ends. What
is known is listed: filters and tests that are done here, those which only pass values on, and objects
that may be called.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from types import BuiltinMethodType, MethodType
from typing import Any

import jinja2
from jinja2.runtime import Context, Macro, Undefined
from jinja2.utils import Cycler, Joiner, Namespace

from ftc.data.template.environment import (
    CONCAT,
    MARK_FILTER,
    NEST,
    TURN,
    GenerationTag,
    TemplateEnvironment,
    TracingEnvironment,
    finalize,
)
from ftc.data.template.limits import Limits
from ftc.data.template.names import TemplateDict, TemplateNamespace
from ftc.data.template.provenance import LITERAL, Traced, concatenate, lose
from ftc.data.template.specialise.expression import METHODS, Applied, Fixed, joined
from ftc.data.template.specialise.recording import (
    Method,
    Recorded,
    RecordedList,
    RecordedNumber,
    RecordedScalar,
    RecordedText,
    Unspecialised,
    called,
)
from ftc.data.template.trace_json import encoded, layout_of, traced_string

UNSTEADY = frozenset({"lipsum", "strftime_now"})
"""Global functions whose result is another each time."""
UNSTEADY_FILTERS = frozenset({"random"})

# These hand their values on, or look at them through the environment, through `==` and through truth.
_PASSING = frozenset(
    {TURN, MARK_FILTER, NEST, "default", "d", "first", "last", "list", "length", "count", "items", "map"}
    | {"dictsort"}
    | {"select", "reject", "selectattr", "rejectattr"}
)
_TYPE_TESTS = frozenset(
    {"string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean"}
)
_PASSING_TESTS = _TYPE_TESTS | frozenset(
    {"defined", "undefined", "none", "true", "false", "eq", "==", "equalto", "ne", "!=", "in"}
    | {"lt", "<", "lessthan", "le", "<=", "gt", ">", "greaterthan", "ge", ">="}
)
_TAKES_ANYTHING = (Macro, Namespace, TemplateNamespace, TemplateDict, Cycler, Joiner, Method)
_METHODS_OF_TABLES = frozenset({"get", "items", "keys", "values"})
_METHODS_OF_LISTS = frozenset({"count", "index"})
_OF_JINJA = ("_loop_vars", "_block_vars")
_PLAIN_TYPES = (str, int, float, bool, type(None))


class TemplateRaised(jinja2.TemplateError):
    """The template says that it cannot write the conversation."""


class _Chunk(str):
    """A stand-in on its way to the output; no code reads its characters."""

    __slots__ = ("recorded",)
    recorded: RecordedText

    def __new__(cls, recorded: RecordedText) -> _Chunk:
        self = super().__new__(cls, "<stand-in>")
        self.recorded = recorded
        return self

    def __str__(self) -> str:
        return self


def _raise(_message: Any = "") -> Any:
    raise TemplateRaised


def _holds(value: Any) -> bool:
    """Whether there may be a stand-in in a value; of what is not known, there may."""
    kind = type(value)
    if kind in _PLAIN_TYPES or kind is Traced:
        return False
    if issubclass(kind, (str, int, float, Undefined, Macro)):
        return issubclass(kind, _Chunk)
    if issubclass(kind, Mapping):
        return any(_holds(key) or _holds(item) for key, item in value.items())
    if issubclass(kind, (list, tuple)):
        return any(map(_holds, value))
    return kind is not range


def _finalize(value: Any) -> str:
    if type(value) in (RecordedText, RecordedScalar):
        return _Chunk(value if type(value) is RecordedText else value.text())
    return finalize(value)


def _part(value: Any) -> Any:
    """What goes into a text: a stand-in or a string with its origins."""
    if type(value) is _Chunk:
        return value.recorded
    if type(value) is RecordedScalar:
        return value.text()
    return value if type(value) is RecordedText else finalize(value)


def chain(parts: Iterable[Any]) -> Any:
    """Strings and stand-ins, one after the other."""
    items = list(parts)
    recorded = next((item for item in items if type(item) is RecordedText), None)
    if recorded is None:
        return concatenate(items)
    recorder = recorded.recorder
    return recorder.text(joined([_fixed(item) for item in items]))


def _fixed(part: Any) -> Any:
    if type(part) is RecordedText:
        return part.expression
    if type(part) is str:
        return Fixed(part, ((len(part), LITERAL, 0),) if part else ())
    if type(part) is Traced:
        return Fixed(str.__str__(part), part.runs)
    raise Unspecialised(f"a text of type {type(part).__name__}")


def concat(chunks: Iterable[Any]) -> Any:
    """The chunks a template gives out, in one."""
    return chain(chunk.recorded if type(chunk) is _Chunk else chunk for chunk in chunks)


def _joined(value: Iterable[Any], d: Any = "", attribute: Any = None) -> Any:
    items = list(value)
    if attribute is not None or type(d) is RecordedText:
        raise Unspecialised("joined by an attribute")
    parts: list[Any] = []
    for number, item in enumerate(items):
        parts += [d if isinstance(d, Traced) else Traced.literal(d)] if number else []
        parts.append(_part(item))
    return chain(parts)


def _json_string(value: Any, ensure_ascii: bool) -> Any:
    if type(value) is not RecordedText:
        return traced_string(value, ensure_ascii=ensure_ascii)
    quote, recorder = Traced.literal('"'), value.recorder
    inner = recorder.text(Applied("json", (value.expression, ensure_ascii)))
    return chain([quote, inner, quote])


def _json_other(value: Any) -> Any:
    return value.text() if type(value) is RecordedScalar else json.dumps(value)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> Any:
    if _holds([ensure_ascii, indent, separators, sort_keys]):
        raise Unspecialised("JSON laid out by a message")
    layout = layout_of(ensure_ascii, indent, separators, sort_keys, _json_string, _json_other)
    return chain(encoded(value, layout))


def _trim(value: Any, chars: Any = None) -> Any:
    return called(value, "strip") if chars is None else called(value, "strip", chars)


def _replace(_eval_ctx: Any, s: Any, old: Any, new: Any, count: Any = None) -> Any:
    return called(s, "replace", old, new, -1 if count is None else count)


def _length(value: Any) -> Any:
    return RecordedNumber(value.recorder, value.derive("length"))


def _end(_environment: Any, value: Any, *, index: int) -> Any:
    try:
        return value[index]
    except IndexError:
        return _environment.undefined("No item, sequence was empty.")


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if boolean and not value else value


# How filters are done on a stand-in.
_ON_TEXTS: dict[str, Callable[..., Any]] = {
    "trim": _trim,
    "lower": lambda value: called(value, "lower"),
    "upper": lambda value: called(value, "upper"),
    "capitalize": lambda value: called(value, "capitalize"),
    "replace": _replace,
    "string": lambda value: value,
    "safe": lambda value: value,
    "length": _length,
    "count": _length,
    "first": functools.partial(_end, index=0),
    "last": functools.partial(_end, index=-1),
    "default": _default,
    "d": _default,
}
_ON_SCALARS = {"string": lambda value: value.text(), "default": _default, "d": _default}
_ON_LISTS = {name: _ON_TEXTS[name] for name in ("length", "count", "first", "last", "default", "d")}
_SPECIAL: dict[type, Mapping[str, Callable[..., Any]]] = {
    RecordedText: _ON_TEXTS,
    RecordedScalar: _ON_SCALARS,
    RecordedList: _ON_LISTS,
}
# How they are done on whatever holds one.
_ON_ALL: dict[str, Callable[..., Any]] = {"tojson": _tojson, "join": _joined}


def _filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def recording(*args: Any, **kwargs: Any) -> Any:
        values = args[skipped:]
        if not _holds(values) and not _holds(kwargs):
            return function(*args, **kwargs)
        if name in _ON_ALL:
            return _ON_ALL[name](*values, **kwargs)
        special = _SPECIAL.get(type(values[0]), {})
        if name in special:
            values[0].recorder.look(values[0].expression)
            return special[name](*args, **kwargs)
        if type(values[0]) is RecordedList and name in _PASSING:
            return function(*args[:skipped], list(values[0]), *values[1:], **kwargs)
        if name in _PASSING and (name == MARK_FILTER or not isinstance(values[0], Recorded)):
            return function(*args, **kwargs)
        raise Unspecialised(f"the filter {name}")

    return recording


def _test(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def recording(*args: Any, **kwargs: Any) -> Any:
        values = args[skipped:]
        if name in ("iterable", "sequence") and type(values[0]) in (RecordedText, RecordedList):
            return True
        if name in ("iterable", "sequence") and type(values[0]) is RecordedScalar:
            return False
        if type(values[0]) in (RecordedNumber, Method) and name in _TYPE_TESTS:
            raise Unspecialised(f"the test {name}")
        if name in _PASSING_TESTS or not (_holds(values) or _holds(kwargs)):
            return function(*args, **kwargs)
        raise Unspecialised(f"the test {name}")

    return recording


def _takes(function: Any) -> bool:
    """Whether a callable may be handed stand-ins."""
    if isinstance(function, _TAKES_ANYTHING) or function is TemplateNamespace or function is _raise:
        return True
    if isinstance(function, MethodType):
        return isinstance(function.__self__, (Cycler, Joiner, GenerationTag))
    if not isinstance(function, BuiltinMethodType):
        return False
    owner, name = function.__self__, function.__name__
    if isinstance(owner, dict):
        return name in _METHODS_OF_TABLES
    return isinstance(owner, list) and name in _METHODS_OF_LISTS


def _sum(left: Any, right: Any) -> Any:
    texts = [side for side in (left, right) if type(side) is RecordedText]
    if not texts:
        return left + right
    added = texts[0].chained(left, right)
    if added is NotImplemented:
        raise Unspecialised("a sum that is no text")
    return added


class RecordingEnvironment(TracingEnvironment):
    """Jinja over stand-ins for free strings; all other strings are traced."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.finalize = _finalize
        for name, function in self.filters.items():
            self.filters[name] = _filter(name, function)
        for name, test in list(self.tests.items()):
            self.tests[name] = _test(name, test)  # type: ignore[arg-type]
        self.filters[CONCAT] = self._concat
        self.globals["raise_exception"] = _raise

    def concat(self, chunks: Iterable[Any]) -> Any:
        """What a macro or a block of a template comes to."""
        return self._paid(concat(chunks))

    def _concat(self, parts: Iterable[Any]) -> Any:
        return self._paid(chain(map(_part, parts)))

    def _paid(self, text: Any) -> Any:
        """A text, whose length is counted; a stand-in's is bounded in `bounds`."""
        if not isinstance(text, Recorded):
            self.budget.text(len(text))
        return text

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A call from the template."""
        given = [*args, *(value for name, value in kwargs.items() if name not in _OF_JINJA)]
        if _holds(given):
            if _is_join(__obj) and len(given) == 1:
                return _joined(given[0], d=__obj.__self__)
            if not _takes(__obj):
                raise Unspecialised("a function that is not known")
        return lose(TemplateEnvironment.call(__self, __context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator."""
        if not (isinstance(left, Recorded) or isinstance(right, Recorded)):
            return super().call_binop(context, operator, left, right)
        if operator == "+":
            return _sum(left, right)
        raise Unspecialised(f"the operator {operator}")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A subscript."""
        if isinstance(argument, Recorded):
            raise Unspecialised("a message's text as a key")
        if not isinstance(obj, Recorded):
            return super().getitem(obj, argument)
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        try:
            return obj[argument]  # type: ignore[index]
        except IndexError:
            return self.undefined(obj=obj, name=argument)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An attribute."""
        if not isinstance(obj, Recorded):
            return super().getattr(obj, attribute)
        if type(obj) is RecordedText and attribute in METHODS:
            return Method(obj, str.__str__(attribute))
        if type(obj) is RecordedText and attribute not in dir(str):
            return self.undefined(obj=obj, name=attribute)
        raise Unspecialised(f"the attribute {attribute}")


def _is_join(function: Any) -> bool:
    named = isinstance(function, MethodType) and function.__name__ == "join"
    return named and isinstance(function.__self__, Traced)
