"""The part of Go's text/template that a Modelfile's TEMPLATE needs, evaluated as Ollama evaluates it.

Written after the documentation of text/template: actions with string literals, fields, variables, `if`,
`else if`, `range`, `eq`, `ne`, `and`, `or`, `not`, `index`, and `-` that trims white space. A test holds
it to Go itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ACTION = re.compile(r'\{\{(- )?\s*((?:"(?:\\.|[^"\\])*"|[^"}]|\}(?!\}))*?)\s*( -)?\}\}', re.DOTALL)
WORD = re.compile(r'"(?:\\.|[^"\\])*"|:=|=|[()]|,|[^\s()",=]+')
SPACE = " \t\r\n"


class GoTemplateError(ValueError):
    """A template that is not of the part that is known here, or fails."""


@dataclass
class Block:
    """An `if` or `range`: branches with their conditions (None for `else`)."""

    kind: str
    branches: list[tuple[list[str] | None, list[Any]]] = field(default_factory=list)


def parse(source: str) -> list[Any]:
    """Text, actions (as words) and blocks, in order. Raises GoTemplateError."""
    root: list[Any] = []
    open_blocks: list[Block] = []
    into, at, trim = root, 0, False
    for match in ACTION.finditer(source):
        text = source[at : match.start()]
        text = text.lstrip(SPACE) if trim else text
        into.append(text.rstrip(SPACE) if match[1] else text)
        at, trim = match.end(), bool(match[3])
        into = _opened(WORD.findall(match[2]), into, root, open_blocks)
    rest = source[at:]
    into.append(rest.lstrip(SPACE) if trim else rest)
    if open_blocks or "{{" in rest:
        raise GoTemplateError("a block is not closed")
    return root


def _opened(words: list[str], into: list[Any], root: list[Any], stack: list[Block]) -> list[Any]:
    """Where what follows an action goes."""
    match words:
        case [("if" | "range") as kind, *condition]:
            block = Block(kind, [(condition, [])])
            into.append(block)
            stack.append(block)
        case ["else", "if", *condition] if stack:
            stack[-1].branches.append((condition, []))
        case ["else"] if stack:
            stack[-1].branches.append((None, []))
        case ["end"] if stack:
            stack.pop()
        case _:
            into.append(words)
    return stack[-1].branches[-1][1] if stack else root


@dataclass
class Scope:
    """The dot, and the variables; a block sees and sets those of the blocks around it."""

    dot: Any
    variables: list[dict[str, Any]]

    def find(self, name: str) -> dict[str, Any]:
        """The innermost scope that has a variable."""
        for one in reversed(self.variables):
            if name in one:
                found: dict[str, Any] = one
                return found
        raise GoTemplateError(f"undefined variable {name}")


def execute(source: str, values: Mapping[str, Any]) -> str:
    """The text that a template makes of values. Raises GoTemplateError."""
    return "".join(_run(parse(source), Scope(values, [{"$": values}])))


def _run(nodes: Sequence[Any], scope: Scope) -> list[str]:
    found: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, Block):
            found += _range(node, scope) if node.kind == "range" else _if(node, scope)
        else:
            found.append(_action(node, scope))
    return found


def _action(words: list[str], scope: Scope) -> str:
    match words:
        case [name, ":=", *rest]:
            scope.variables[-1][name] = value(rest, scope)
            return ""
        case [name, "=", *rest]:
            scope.find(name)[name] = value(rest, scope)
            return ""
    return str(value(words, scope))


def _if(block: Block, scope: Scope) -> list[str]:
    for condition, body in block.branches:
        if condition is None or _truth(value(condition, scope)):
            return _run(body, Scope(scope.dot, [*scope.variables, {}]))
    return []


def _range(block: Block, scope: Scope) -> list[str]:
    words, body = block.branches[0]
    assert words is not None  # noqa: S101 - a range has a condition
    names = [word for word in words[: words.index(":=")] if word != ","] if ":=" in words else []
    items = value(words[words.index(":=") + 1 :] if names else words, scope)
    found: list[str] = []
    for number, item in enumerate(items):
        own = dict(zip(reversed(names), (item, number), strict=False))
        found += _run(body, Scope(item, [*scope.variables, own]))
    return found


def _truth(found: Any) -> bool:
    return bool(found)


FUNCTIONS = {
    "eq": lambda first, *rest: any(first == one for one in rest),
    "ne": lambda first, second: first != second,
    "not": lambda one: not one,
    "and": lambda *all_of: next((one for one in all_of if not one), all_of[-1]),
    "or": lambda *all_of: next((one for one in all_of if one), all_of[-1]),
    "index": lambda items, number: items[number],
    "len": len,
}


def value(words: Sequence[str], scope: Scope) -> Any:
    """What a command with its arguments gives."""
    terms, rest = _terms(list(words), scope)
    if rest or not terms:
        raise GoTemplateError(f"cannot read {' '.join(words)}")
    if callable(terms[0]):
        return terms[0](*terms[1:])
    if len(terms) != 1:
        raise GoTemplateError(f"cannot read {' '.join(words)}")
    return terms[0]


def _terms(words: list[str], scope: Scope) -> tuple[list[Any], list[str]]:
    terms: list[Any] = []
    while words:
        word = words.pop(0)
        if word == ")":
            return terms, [word, *words]
        if word == "(":
            inner, words = _terms(words, scope)
            if words[:1] != [")"]:
                raise GoTemplateError("a parenthesis is not closed")
            found = inner[0](*inner[1:]) if callable(inner[0]) else inner[0]
            words.pop(0)
            if words and words[0].startswith("."):
                found = _fields(found, words.pop(0))
            terms.append(found)
        else:
            terms.append(_term(word, scope))
    return terms, []


def _term(word: str, scope: Scope) -> Any:
    if word.startswith('"'):
        return unquoted(word)
    if word.lstrip("-").isdigit():
        return int(word)
    if word.startswith("$"):
        name, dot, rest = word.partition(".")
        return _fields(scope.find(name)[name], dot + rest)
    if word.startswith("."):
        return _fields(scope.dot, word)
    if word in FUNCTIONS:
        return FUNCTIONS[word]
    raise GoTemplateError(f"{word} is not known")


def _fields(found: Any, path: str) -> Any:
    for name in path.split("."):
        if not name:
            continue
        if name not in found:
            raise GoTemplateError(f"there is no field {name}")
        found = found[name]
    return found


def quoted(text: str) -> str:
    """A text as a string literal of Go, in one line and without a quotation mark inside."""
    return (
        json.dumps(text, ensure_ascii=False)
        .replace("\\/", "/")
        .replace('\\"', "\\x22")
        .replace("\x7f", "\\x7f")
    )


def unquoted(literal: str) -> str:
    """The text of a string literal of Go."""
    body = re.sub(r"\\x([0-9a-f]{2})", lambda match: f"\\u00{match[1]}", literal)
    found: str = json.loads(body)
    return found


def collated(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What Ollama hands to a template: neighbours of one role together, and all system messages apart."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    found: list[dict[str, Any]] = []
    for message in messages:
        if found and found[-1]["Role"] == message["role"]:
            found[-1]["Content"] += "\n\n" + message["content"]
        else:
            found.append({"Role": message["role"], "Content": message["content"]})
    return {"System": "\n\n".join(system), "Messages": found, "Tools": [], "Response": ""}
