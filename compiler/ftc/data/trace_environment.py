"""Jinja as transformers sets it up for chat templates, once plain and once tracing provenance.

Both are sandboxed, immutable and limited. They run the same template; the tracing one rewrites its
syntax tree so that the template's own texts are known as such, `~` keeps provenance, and the turns of
a loop over messages leave marks of no width in the output.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import BuiltinMethodType, MethodType
from typing import Any, NoReturn, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.ext import loopcontrols as loop_controls
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from ftc.data.provenance import LITERAL, MARK, Traced, concatenate, join, lose
from ftc.data.trace_json import traced_json
from ftc.data.trace_limits import (
    Budget,
    Limits,
    check_arguments,
    check_operands,
    check_replacement,
    check_size,
)
from ftc.data.trace_values import MessageDict, mark

# Names with a blank cannot be written in a template, so none can reach or replace these.
BUDGET = "ftc budget"
TURN, CONCAT, MARK_FILTER = "ftc turn", "ftc concat", "ftc mark"
_COUNTS = frozenset({"length", "count", "wordcount"})


_Node = TypeVar("_Node", bound=nodes.Node)


class GenerationTag(Extension):
    """The tag `{% generation %}` of transformers: its body is written as it stands, its place is noted."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """The body between the tag and its end."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @jinja2.pass_context
    def _body(self, context: Context, caller: Callable[[], str]) -> str:
        body = caller()
        context.parent[BUDGET].generated(body)
        return body


class TemplateDict:
    """`dict` for templates, without the attributes of the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """`dict(…)`."""
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """`dict.fromkeys`."""
        return dict.fromkeys(*args)


class TemplateNamespace(Namespace):
    """`namespace` for templates: names that start with an underscore are refused."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # no `self`, so that it may be a keyword
        self, rest = args[0], args[1:]
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(
            f"a namespace cannot hold {name!r}: names must not start with an underscore"
        )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.exceptions.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # local time, as in transformers


@jinja2.pass_context
def _count_turn(context: Context, _value: Any) -> str:
    context.parent[BUDGET].turn()
    return ""


def _guarded(function: Callable[..., Any], limits: Limits) -> Callable[..., Any]:
    first = 2 if hasattr(function, "jinja_pass_arg") else 1  # behind the value that is filtered

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        check_arguments((*args[first:], *kwargs.values()), limits)
        return function(*args, **kwargs)

    return guarded


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Jinja for chat templates, byte for byte as transformers has it, with limits."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, limits: Limits, **options: Any) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loop_controls], **options
        )
        self.limits = limits
        self.filters["tojson"] = _tojson
        for name, function in self.filters.items():
            self.filters[name] = _guarded(function, limits)
        self.filters[TURN] = _count_turn
        self.filters[CONCAT] = self._concat
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["dict"] = TemplateDict()
        self.globals["namespace"] = TemplateNamespace

    def _concat(self, parts: Iterable[Any]) -> str:
        texts = [str(part) for part in parts]
        check_size(sum(map(len, texts)), self.limits)
        return "".join(texts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator whose result might be too large."""
        check_operands(operator, left, right, self.limits)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A call from the template; methods of strings may not be asked for enormous results."""
        if isinstance(__obj, (BuiltinMethodType, MethodType)) and isinstance(__obj.__self__, str):
            check_arguments((*args, *kwargs.values()), __self.limits)
            if __obj.__name__ == "replace":
                check_replacement(__obj.__self__, args, __self.limits)
        return super().call(__context, __obj, *args, **kwargs)

    def instrumented(self, tree: nodes.Template) -> nodes.Template:
        """The tree with every loop and macro counting its turns."""
        return _Counting().visit(tree)  # type: ignore[no-any-return]


def _placed(node: _Node, line: int) -> _Node:
    node.set_lineno(line)
    return node


def _filtered(name: str, value: nodes.Expr, args: list[nodes.Expr], line: int) -> nodes.Filter:
    return _placed(nodes.Filter(value, name, args, [], None, None), line)


class _Counting(NodeTransformer):
    def _count(self, node: Any) -> Any:
        self.generic_visit(node)
        turn = _placed(nodes.ExprStmt(_filtered(TURN, nodes.Const(0), [], node.lineno)), node.lineno)
        node.body.insert(0, turn)
        return node

    visit_For = visit_Macro = visit_CallBlock = _count  # noqa: N815

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802  the visitor's naming
        self.generic_visit(node)
        return _filtered(CONCAT, _placed(nodes.List(node.nodes), node.lineno), [], node.lineno)


class _Marking(_Counting):
    """Besides counting: literals become traced values, and loops leave marks."""

    def __init__(self) -> None:
        self.literals: list[Traced] = []
        self._loops = 0

    def visit_Const(self, node: nodes.Const) -> nodes.Node:  # noqa: N802
        if not isinstance(node.value, str):
            return node
        self.literals.append(Traced.literal(node.value))
        table = _placed(nodes.EnvironmentAttribute("literals"), node.lineno)
        index = _placed(nodes.Const(len(self.literals) - 1), node.lineno)
        return _placed(nodes.Getitem(table, index, "load"), node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        node.node = self.visit(node.node)
        if not isinstance(node.arg, nodes.Const):  # a constant key selects, it does not flow
            node.arg = self.visit(node.arg)
        return node

    def visit_For(self, node: nodes.For) -> Any:  # noqa: N802
        self._loops += 1
        loop = self._loops
        self._count(node)
        if not isinstance(node.target, nodes.Name):
            return node
        item = nodes.Name(node.target.name, "load")
        node.body.insert(0, _mark_output(item, loop, node.lineno))
        return [node, _mark_output(nodes.Const(None), loop, node.lineno)]


def _mark_output(item: nodes.Expr, loop: int, line: int) -> nodes.Output:
    call = _filtered(MARK_FILTER, _placed(item, line), [_placed(nodes.Const(loop), line)], line)
    return _placed(nodes.Output([call]), line)


@jinja2.pass_context
def _mark(context: Context, item: Any, loop: int) -> Traced:
    """The mark of a loop that turns to a message, or ends after it did; nothing in any other loop."""
    marked = context.parent[BUDGET].marked
    if isinstance(item, MessageDict):
        marked.add(loop)
        return Traced("", ((0, MARK, mark(loop, item.index)),))
    return Traced("", ((0, MARK, mark(loop, None)),)) if item is None and loop in marked else Traced("", ())


def finalize(value: Any) -> str:
    """What is written of a value: its text, with the origin of its characters."""
    text = str(value)
    if isinstance(text, Traced):
        return text
    computed = value is None or isinstance(value, (int, float, jinja2.Undefined))
    return Traced(text, ((len(text), LITERAL, 0),)) if computed else Traced(text)


def _losing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def losing(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return result if name in _COUNTS else lose(result)

    return losing


def _traced_join(value: Iterable[Any], d: str = "", attribute: Any = None) -> Traced:
    if attribute is not None:
        return Traced(str(d).join(str(item[attribute]) for item in value))
    return join(d if isinstance(d, Traced) else Traced.literal(d), (finalize(item) for item in value))


def _same(value: Any) -> Any:
    return lose(str(value)) if not isinstance(value, (str, int, float)) else str(value)


class TracingEnvironment(TemplateEnvironment):
    """The same Jinja over traced strings; it gives the same text, and where each character came from."""

    concat = staticmethod(concatenate)

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, finalize=finalize)
        self.literals: list[Traced] = []
        for name, function in self.filters.items():
            self.filters[name] = _losing(name, function)
        understood = {"tojson": traced_json, "join": _traced_join, "safe": _same, "string": _same}
        self.filters.update(understood)
        self.filters[TURN] = _count_turn
        self.filters[CONCAT] = self._concat
        self.filters[MARK_FILTER] = _mark

    def _concat(self, parts: Iterable[Any]) -> str:
        texts = [finalize(part) for part in parts]
        check_size(sum(map(len, texts)), self.limits)
        return join("", texts)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A call from the template; a plain string that comes out of it has lost its origin."""
        return lose(super().call(__context, __obj, *args, **kwargs))

    def instrumented(self, tree: nodes.Template) -> nodes.Template:
        """The tree with marks, counted turns and traced literals, which this environment then holds."""
        marking = _Marking()
        tree = marking.visit(tree)
        self.literals = marking.literals
        return tree


def generate(
    template: jinja2.Template, variables: Mapping[str, Any], limits: Limits, budget: Budget | None = None
) -> Iterator[str]:
    """The chunks a template gives out, until it is done or reaches a limit; `budget` keeps the account."""
    budget = budget or Budget(limits)
    for chunk in template.generate(dict(variables, **{BUDGET: budget})):
        budget.give(len(chunk))
        yield chunk
