"""The Jinja templates of [render]: one sandboxed environment, and what can be checked without a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding, Severity
from ftc.recipe.layers import Key, Origins, Values
from ftc.recipe.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from jinja2 import TemplateSyntaxError, nodes
    from jinja2.sandbox import SandboxedEnvironment

    from ftc.recipe.model import Recipe

FIELDS = ("system", "user", "assistant", "prompt", "completion", "text")
"""The keys of [render] that are templates."""

LEARNED = ("assistant", "completion", "text")
"""Those of them that make what is learned."""

LARGEST = 2**18
"""Characters of the longest template that is taken."""
DEEPEST = 100
"""How deep parts of a template may stand in each other."""
TOO_DEEP = f"the template nests more than {DEEPEST} parts in each other"


def jinja_environment() -> SandboxedEnvironment:
    """The environment in which a recipe's templates run: sandboxed, strict, and the same on every run.

    Blocks take their line's blanks and newline along, so that templates over several lines read well. What
    is written behind the last block or word is part of the text, a line end too.
    """
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["tojson"] = _to_json
    del environment.filters["random"]
    del environment.globals["lipsum"]
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON as Hugging Face's chat templates write it: no escapes for HTML or other alphabets."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def template_variables(source: str) -> tuple[tuple[str, int], ...]:
    """The variables a template needs, each with the line (from 1) of its first use; none if it is broken."""
    template = _parsed(source)
    if isinstance(template, _Broken):
        return ()
    return tuple((name, source.count("\n", 0, at) + 1) for name, at in template.variables())


def undefined_variables(recipe: Recipe, origins: Origins, columns: Sequence[str]) -> tuple[Finding, ...]:
    """A finding (FTC302) for each variable of a [render] template that is no column of the query."""
    given = {key: getattr(recipe.render, key) for key in FIELDS}
    templates = {key: _parsed(source) for key, source in given.items() if source is not None}
    return tuple(
        _undefined(name, at, _Field(("render", key), origins), columns)
        for key, template in templates.items()
        if isinstance(template, _Template)
        for name, at in template.variables()
        if name not in columns
    )


def _undefined(name: str, at: int, field: _Field, columns: Sequence[str]) -> Finding:
    message = f"the query returns no column `{name}`"
    helps = did_you_mean(name, columns) or (f"add `{name}` to the query, or name a column that it returns",)
    finding = field.finding("FTC302", message, (at, at + len(name)), *helps)
    return replace(finding, notes=(f"it returns {listed(columns)}",))


def check(values: Values, origins: Origins) -> list[Finding]:
    """What can be wrong with [render]'s templates before a row is read.

    Syntax (FTC301), unknown filters, tests and functions (FTC303), no variable where one is needed (FTC309).
    """
    render = values.get("render")
    given = render if isinstance(render, dict) else {}
    templates = {key: given[key] for key in FIELDS if isinstance(given.get(key), str) and given[key]}
    return [f for key, source in templates.items() for f in _check(source, _Field(("render", key), origins))]


def _check(source: str, field: _Field) -> Iterator[Finding]:
    template = _parsed(source)
    if isinstance(template, _Broken):
        end = template.at + len(_TOKEN.match(source, template.at)[0])  # type: ignore[index]
        yield field.finding("FTC301", template.message, (template.at, end), _syntax_help(source, template))
        return
    unknown = [
        *_includes(template, field),
        *_unknown_names(template, field),
        *_unknown_calls(template, field),
    ]
    yield from unknown or _constant(template, field)


@dataclass(frozen=True)
class _Field:
    """A template's setting, for findings that point into it."""

    path: Key
    origins: Origins

    def finding(self, code: str, message: str, place: tuple[int, int], *help_lines: str) -> Finding:
        span = self.origins.inside(self.path, *place)
        return Finding(code, message, span, help=tuple(line for line in help_lines if line))


@dataclass(frozen=True)
class _Broken:
    """A template that is no Jinja: why, and at which character."""

    message: str
    at: int
    innermost: str = ""


@dataclass(frozen=True)
class _Template:
    """A parsed template; `places` has the character at which the token of each line of the tree stands."""

    source: str
    tree: nodes.Template
    places: list[int]
    environment: SandboxedEnvironment

    def at(self, node: nodes.Node, name: str = "") -> int:
        """The character at which a node begins, or at which a name in it stands."""
        start = self.places[min(node.lineno, len(self.places)) - 1]
        return max(self.source.find(name, start), start)

    def undeclared(self) -> set[str]:
        """The names that must come from the row."""
        from jinja2 import nodes

        for kind, known in ((nodes.Filter, self.environment.filters), (nodes.Test, self.environment.tests)):
            for node in self.tree.find_all(kind):
                known.setdefault(node.name, _to_json)
        return _undeclared(self.tree)

    def variables(self) -> tuple[tuple[str, int], ...]:
        """The names that must come from the row, each with the character of its first use.

        A name that the template tests for being defined, or gives a default, may be absent.
        """
        from jinja2 import nodes

        wanted = self.undeclared() - self._optional() - set(self.calls())
        found: dict[str, int] = {}
        for node in self.tree.find_all(nodes.Name):
            if node.name in wanted and node.ctx == "load":
                at = self.at(node, node.name)
                found[node.name] = min(at, found.get(node.name, at))
        return tuple(sorted(found.items(), key=lambda item: item[1]))

    def _optional(self) -> set[str]:
        from jinja2 import nodes

        guards = [
            test.node for test in self.tree.find_all(nodes.Test) if test.name in ("defined", "undefined")
        ]
        defaults = [part.node for part in self.tree.find_all(nodes.Filter) if part.name in ("default", "d")]
        return {node.name for node in (*guards, *defaults) if isinstance(node, nodes.Name)}

    def calls(self) -> dict[str, int]:
        """The undeclared names that are called like functions, with their places."""
        from jinja2 import nodes

        called = [call.node for call in self.tree.find_all(nodes.Call)]
        names = [node for node in called if isinstance(node, nodes.Name)]
        return {node.name: self.at(node, node.name) for node in names if node.name in self.undeclared()}


def _undeclared(tree: nodes.Template) -> set[str]:
    """The names that a template uses and does not set itself.

    Jinja would work constants out on the way, however large they are; here nothing is worked out.
    """
    from jinja2 import nodes
    from jinja2.meta import TrackingCodeGenerator

    class Names(TrackingCodeGenerator):
        def _output_child_to_const(self, *_: Any) -> str:
            raise nodes.Impossible

    assert tree.environment is not None  # noqa: S101 - it was parsed in one
    names = Names(tree.environment)
    names.optimizer = None
    names.visit(tree)
    return set(names.undeclared_identifiers)


def _is_deep(tree: nodes.Node) -> bool:
    """Whether a template nests deeper than what goes through it could follow."""
    level: list[nodes.Node] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return False
    return True


def _parsed(source: str) -> _Template | _Broken:
    """The template's tree with exact places, or where and why there is none.

    Jinja tells lines only. So the template is parsed with each token on a line of its own, where nothing
    but the meaning of its texts changes; a line then is a token, and a token has a place.
    """
    from jinja2 import TemplateSyntaxError

    environment = jinja_environment()
    text = source.replace("\r", " ")
    if len(text) > LARGEST:
        return _Broken(f"the template is longer than {LARGEST:,} characters", 0)
    lines: list[str] = []
    places: list[int] = []
    at = 0
    try:
        for _, _, value in environment.lex(text):
            at = text.find(value, at)
            lines.append(value.replace("\n", " "))
            places.append(at)
            at += len(value)
    except TemplateSyntaxError as error:
        return _Broken(_message(error), _visible(text, at))
    try:
        tree = environment.parse("\n".join(lines))
    except RecursionError:
        return _Broken(TOO_DEEP, 0)
    except TemplateSyntaxError as error:
        token = min(error.lineno, len(places)) - 1
        ends = "end of template" in str(error.message)
        place = len(text.rstrip()) if ends or token < 0 else _visible(text, places[token])
        block = _INNERMOST.search(str(error.message))
        return _Broken(_message(error), place, block[1] if block else "")
    if _is_deep(tree):
        return _Broken(TOO_DEEP, 0)
    return _Template(text, tree, places or [0], environment)


_INNERMOST = re.compile(r"innermost block that needs to be closed is '(\w+)'")
_TOKEN = re.compile(r"\w+|\S?")


def _visible(text: str, at: int) -> int:
    """The first character from `at` on that is not blank; the end of the text where all are."""
    rest = text[at:]
    return at + len(rest) - len(rest.lstrip()) if rest.strip() else len(text.rstrip())


def _message(error: TemplateSyntaxError) -> str:
    sentence = str(error.message).split(". Jinja was")[0].strip().rstrip(".")
    sentence = re.sub(r"unexpected char ('.*?') at \d+", r"unexpected character \1", sentence)
    return f"the template is not valid Jinja: {sentence[:1].lower()}{sentence[1:]}"


def _syntax_help(source: str, broken: _Broken) -> str:
    opened = [mark for mark in ("{{", "{%", "{#") if source.count(mark) > source.count(_CLOSING[mark])]
    if opened:
        return f"close `{opened[0]}` with `{_CLOSING[opened[0]]}`"
    if broken.innermost:
        return f"close {{% {broken.innermost} … %}} with {{% end{broken.innermost} %}}"
    if "unknown tag" in broken.message:
        return "a value is written {{ name }}, a tag {% if … %}"
    other = [words for mark, words in _OTHER_LANGUAGES.items() if source.startswith(mark, broken.at)]
    return other[0] if other else "braces that are text and no Jinja are written {{ '{{' }}"


_OTHER_LANGUAGES = {
    "$": "a name has no `$` in Jinja",
    "&": "write `and`",
    "!": "write `not`",
    "?": "write {{ a if condition else b }}",
}
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}


def _includes(template: _Template, field: _Field) -> Iterator[Finding]:
    from jinja2 import nodes

    for node in template.tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
        word = {"FromImport": "from"}.get(type(node).__name__, type(node).__name__.lower())
        at = template.at(node, word)
        message = f"a template in a recipe cannot `{word}` another file"
        yield field.finding("FTC301", message, (at, at + len(word)), "write its text here")


_GONE = {
    "random": "a random choice gives other rows on every run: choose in the query by md5 of the row's id",
    "lipsum": "random text would give other rows on every run",
}


def _unknown_names(template: _Template, field: _Field) -> Iterator[Finding]:
    from jinja2 import nodes

    environment = template.environment
    kinds = (("filter", nodes.Filter, environment.filters), ("test", nodes.Test, environment.tests))
    for word, kind, known in kinds:
        for node in template.tree.find_all(kind):
            if node.name not in known:
                at = template.at(node, node.name)
                helps = (_GONE[node.name],) if node.name in _GONE else did_you_mean(node.name, known)
                place = (at, at + len(node.name))
                yield field.finding("FTC303", f"Jinja has no {word} `{node.name}`", place, *helps)


def _unknown_calls(template: _Template, field: _Field) -> Iterator[Finding]:
    environment = template.environment
    for name, at in template.calls().items():
        helps = did_you_mean(name, environment.globals)
        if name in _FUNCTIONS:
            helps = (f"write {_FUNCTIONS[name]}",)
        elif name in environment.filters:
            helps = (f"`{name}` is a filter: write {{{{ value | {name} }}}}",)
        helps = (_GONE[name],) if name in _GONE else helps
        yield field.finding("FTC303", f"Jinja has no function `{name}`", (at, at + len(name)), *helps)


_FUNCTIONS = {
    "len": "{{ value | length }}",
    "str": "{{ value | string }}",
    "print": "{{ value }}",
    "strip": "{{ value | trim }}",
}

_PYTHON_FIELD = re.compile(r"\$?\{\s*([A-Za-z_]\w*)\s*\}")


def _constant(template: _Template, field: _Field) -> Iterator[Finding]:
    """A template that is the same for every row, where that cannot be meant."""
    if template.undeclared():
        return
    braces = _PYTHON_FIELD.search(template.source)
    learned = field.path[-1] in LEARNED
    if not learned and not braces:
        return
    word = braces[1] if braces else template.source.strip()
    start, end = braces.span() if braces else (0, len(template.source.rstrip()))
    helps = [f"write {{{{ {word} }}}} for the value of a column"] if word.isidentifier() else []
    finding = field.finding(
        "FTC309",
        f"`render.{field.path[-1]}` names no column: it is the same for every row",
        (start, end),
        *helps,
    )
    yield finding if learned else replace(finding, severity=Severity.WARNING)
