"""Jinja as transformers sets it up for chat templates, once plain and once tracing provenance.

Both are sandboxed, immutable and limited. They run the same template; the tracing one rewrites its
syntax tree so that the template's own texts are known as such, `~` keeps provenance, and the turns of
a loop over messages leave marks of no width in the output.
"""

from __future__ import annotations

import functools
import json
import re
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
from jinja2.visitor import NodeTransformer

from ftc.data.template.limits import (
    LARGEST_INDENT,
    Budget,
    Limits,
    TemplateLimit,
    check_format,
    check_join,
    check_json,
    check_method,
    check_numbers,
    check_operands,
    check_replacement,
)
from ftc.data.template.names import TemplateDict, TemplateNamespace
from ftc.data.template.provenance import LITERAL, MARK, Traced, concatenate, join, lose
from ftc.data.template.trace_json import traced_json
from ftc.data.template.values import MessageDict, mark

# Names with a blank cannot be written in a template, so none can reach or replace these.
BUDGET = "ftc budget"
TURN, CONCAT, MARK_FILTER, NEST = "ftc turn", "ftc concat", "ftc mark", "ftc nest"
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
    if len(form) > LARGEST_INDENT or any(letter.isdigit() for letter in form):
        raise TemplateLimit("the template asks for the time in an enormous form")
    return datetime.now().strftime(form)  # local time, as in transformers


@jinja2.pass_context
def _count_turn(context: Context, weight: int) -> str:
    context.parent[BUDGET].turn(weight)
    return ""


_COMPUTED_WIDTH = re.compile(r"\{[^{}]*:[^{}]*\{")
_LISTING = frozenset({"list", "sort", "unique", "batch", "slice", "reverse", "map", "select", "reject"})
_SIZED = frozenset({"batch", "center", "indent", "round", "slice", "truncate", "urlize", "wordwrap"})
_WHOLE = frozenset({"tojson", "string", "pprint", "join", "sum", "groupby", "unique", "sort"})


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Jinja for chat templates, byte for byte as transformers has it, with limits.

    `budget` is that of the rendering that goes on, which `generate` sets.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, limits: Limits, **options: Any) -> None:
        self.budget = Budget(limits)
        options = {"finalize": self._written, **options}
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loop_controls], **options
        )
        self.limits = limits
        self.filters["tojson"] = _tojson
        for name, function in self.filters.items():
            self.filters[name] = self._guarded(name, function)
        self.filters[TURN] = _count_turn
        self.filters[CONCAT] = self._concat
        self.filters[NEST] = self._nested
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["dict"] = TemplateDict()
        self.globals["namespace"] = TemplateNamespace
        del self.globals["lipsum"]  # text at random, and as much as is asked for

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter which pays for its work, and is refused what it could not carry out."""
        first = 1 if hasattr(function, "jinja_pass_arg") else 0  # where the value is that is filtered

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if len(args) > first:
                self._check_filter(name, args[first], (*args[first + 1 :], *kwargs.values()))
            return function(*args, **kwargs)

        return guarded

    def _check_filter(self, name: str, value: Any, arguments: tuple[Any, ...]) -> None:
        budget = self.budget
        budget.value(value)
        if name in _SIZED:
            check_numbers(arguments)
        if name in _LISTING and isinstance(value, str):
            budget.items(len(value))
        if name in _WHOLE:
            budget.nested(value)
        if name == "tojson":
            check_json(arguments)
        elif name == "join":
            check_join(next((a for a in arguments if isinstance(a, str)), ""), value, budget)
        elif name == "replace" and isinstance(value, str):
            check_replacement(value, arguments, budget)
        elif name == "format" and isinstance(value, str):
            check_format(value, arguments, budget)
        elif name in ("indent", "wordwrap", "center") and isinstance(value, str):
            widths = [len(a) if isinstance(a, str) else a for a in arguments if isinstance(a, (int, str))]
            lines = len(value) if name == "wordwrap" else value.count("\n") + 1
            budget.text(len(value) + lines * max([1, *widths]))

    def _written(self, value: Any) -> Any:
        """What is written out: a list in it must not be larger than it looks."""
        return value if isinstance(value, str) else self.budget.nested(value)

    def _nested(self, value: Any) -> Any:
        return self.budget.nested(value)

    def _concat(self, parts: Iterable[Any]) -> str:
        texts = [str(self._written(part)) for part in parts]
        self.budget.text(sum(map(len, texts)))
        return "".join(texts)

    def concat(self, chunks: Iterable[str]) -> str:
        """What a macro or a block of a template comes to."""
        texts = list(chunks)
        self.budget.text(sum(map(len, texts)))
        return "".join(texts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator whose result might be too large."""
        check_operands(operator, left, right, self.budget)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A call from the template; methods of strings may not be asked for enormous results."""
        if isinstance(__obj, (BuiltinMethodType, MethodType)):
            owner = __obj.__self__
            if isinstance(owner, (str, bytes)):
                text = owner if isinstance(owner, str) else owner.decode("latin-1")
                check_method(__obj.__name__, text, (*args, *kwargs.values()), __self.budget)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` within the sandbox, whose fields may not be enormous."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        text, fill = value.__self__, wrapped

        @functools.wraps(value)
        def limited(*args: Any, **kwargs: Any) -> str:
            given = [*args, *kwargs.values()]
            given += [item for one in given if isinstance(one, Mapping) for item in one.values()]
            if _COMPUTED_WIDTH.search(text):
                check_numbers(given)
            check_format(text, given, self.budget)
            return fill(*args, **kwargs)

        return limited

    def instrumented(self, tree: nodes.Template) -> nodes.Template:
        """The tree with every loop and macro counting its turns."""
        return _Counting().visit(tree)  # type: ignore[no-any-return]


def _placed(node: _Node, line: int) -> _Node:
    node.set_lineno(line)
    return node


def _filtered(name: str, value: nodes.Expr, args: list[nodes.Expr], line: int) -> nodes.Filter:
    return _placed(nodes.Filter(value, name, args, [], None, None), line)


_MACRO = 10
"""What a call of a macro costs, in turns of a loop."""


class _Counting(NodeTransformer):
    def _count(self, node: Any) -> Any:
        self.generic_visit(node)
        weight = nodes.Const(1 if isinstance(node, nodes.For) else _MACRO)
        turn = _placed(nodes.ExprStmt(_filtered(TURN, weight, [], node.lineno)), node.lineno)
        node.body.insert(0, turn)
        return node

    visit_For = visit_Macro = visit_CallBlock = _count  # noqa: N815

    def _nest(self, node: Any) -> Any:
        """A list that holds what might be lists is counted, so that none doubles without end."""
        values = [pair.value for pair in node.items] if isinstance(node, nodes.Dict) else node.items
        plain = all(isinstance(value, nodes.Const) for value in values)
        self.generic_visit(node)
        if plain or getattr(node, "ctx", "load") != "load":
            return node
        return _filtered(NEST, node, [], node.lineno)

    visit_List = visit_Dict = visit_Tuple = _nest  # noqa: N815

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

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, finalize=lambda value: finalize(self._written(value)))
        self.literals: list[Traced] = []
        for name, function in self.filters.items():
            self.filters[name] = _losing(name, function)
        understood: dict[str, Callable[..., Any]] = {
            "tojson": traced_json,
            "join": _traced_join,
            "safe": _same,
            "string": _same,
        }
        self.filters.update({name: self._guarded(name, function) for name, function in understood.items()})
        self.filters[TURN] = _count_turn
        self.filters[CONCAT] = self._concat
        self.filters[MARK_FILTER] = _mark

    def concat(self, chunks: Iterable[str]) -> str:
        """What a macro or a block of a template comes to."""
        texts = list(chunks)
        self.budget.text(sum(map(len, texts)))
        return concatenate(texts)

    def _concat(self, parts: Iterable[Any]) -> str:
        texts = [finalize(self._written(part)) for part in parts]
        self.budget.text(sum(map(len, texts)))
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


def generate(template: jinja2.Template, variables: Mapping[str, Any], budget: Budget) -> Iterator[str]:
    """The chunks a template gives out, until it is done or reaches a limit; `budget` keeps the account."""
    environment = template.environment
    if isinstance(environment, TemplateEnvironment):
        environment.budget = budget
    for chunk in template.generate(dict(variables, **{BUDGET: budget})):
        budget.give(len(chunk))
        yield chunk
