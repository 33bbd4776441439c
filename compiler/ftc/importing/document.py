"""A peer's configuration as read: YAML of plain values, with the place of every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding, Source, Span, sort_findings
from ftc.recipe.files import shown_name
from ftc.recipe.layers import Key, lookup

if TYPE_CHECKING:
    import yaml

MOST_BYTES = 256 * 2**10
"""A larger file is data that was named by mistake."""
MOST_VALUES = 20_000
"""Values after aliases have been followed; more of them is a trap."""
DEEPEST = 40

PLAIN = ("null", "bool", "int", "float", "str", "timestamp")
_TAG = "tag:yaml.org,2002:"
MERGE = f"{_TAG}merge"


@dataclass(frozen=True)
class Document:
    """The values of a file and where each key stands."""

    source: Source
    values: dict[str, Any]
    spans: Mapping[Key, Span] = field(repr=False)

    def get(self, *path: str | int) -> Any:
        """The value at a path, or None where there is none."""
        return lookup(self.values, path)

    def span(self, path: Key) -> Span | None:
        """Where a key stands, or the nearest one around it."""
        return next(
            (self.spans[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.spans), None
        )

    def leaves(self) -> Iterator[Key]:
        """The path of every value that holds no other one."""
        return leaves(self.values)


def leaves(value: Any, at: Key = ()) -> Iterator[Key]:
    """The paths of the values in nested tables and lists of tables; other lists are values themselves."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*at, name))
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*at, number))
    elif at:
        yield at


def dotted(path: Key) -> str:
    """A path as people write it: `datasets[0].type`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_text(path: Path) -> Source | Finding:
    """The text of a file to import, or why there is none (FTC120)."""
    name = shown_name(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Finding("FTC120", f"`{name}` cannot be read: {reason}", place=name)
    if len(data) > MOST_BYTES:
        message = f"`{name}` is larger than {MOST_BYTES // 1024} KiB, and so no configuration"
        return Finding("FTC120", message, place=name, help=("name the YAML file, not the data it reads",))
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
    source = Source(name, data.decode("utf-8-sig", "replace"))
    span = Span(source, len(before), len(before) + 1)
    return Finding("FTC120", f"`{name}` is not UTF-8", span, "not UTF-8", help=("save the file as UTF-8",))


def read_document(path: Path) -> Document | tuple[Finding, ...]:
    """The values of a YAML or JSON file, or all that is wrong with it (FTC120, FTC121)."""
    source = read_text(path)
    if isinstance(source, Finding):
        return (source,)
    root = _composed(source)
    if isinstance(root, Finding):
        return (root,)
    reader = _Reader(source)
    values = reader.mapping(root, ())
    if reader.findings:
        return sort_findings(reader.findings)
    return Document(source, values, reader.spans)


def _composed(source: Source) -> yaml.MappingNode | Finding:
    import yaml

    try:
        root = yaml.compose(source.text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "it cannot be read"
        return _wrong(source, said, (mark.index, mark.index + 1) if mark else (0, 0))
    except yaml.reader.ReaderError as error:
        character = f"the character U+{error.character:04X} may not stand in YAML"
        return _wrong(source, character, (error.position, error.position + 1))
    except RecursionError:
        return _wrong(source, f"values nest more than {DEEPEST} deep", (0, 1))
    if isinstance(root, yaml.MappingNode):
        return root
    said = "it is empty" if root is None else "it is no table of keys and values"
    return _wrong(source, said, (0, 1), "name the YAML file that you give to the other tool")


def _wrong(source: Source, said: str, at: tuple[int, int], help_line: str = "") -> Finding:
    end = len(source.text)
    span = Span(source, min(at[0], end), min(at[1], end))
    helps = (help_line,) if help_line else ()
    return Finding("FTC121", f"`{source.name}` is not valid YAML: {said}", span, help=helps)


class _Reader:
    """Nodes to plain values; nothing but text, numbers, truth values, dates, lists and tables is made."""

    def __init__(self, source: Source) -> None:
        import yaml

        self.source = source
        self.findings: list[Finding] = []
        self.spans: dict[Key, Span] = {}
        self.made = 0
        self._constructor = yaml.constructor.SafeConstructor()

    def mapping(self, node: yaml.MappingNode, at: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                merged = self._merged(value, at) | merged
                continue
            name = self._name(key)
            path = (*at, name)
            if name in values:
                self._refuse(f"the key `{name}` stands here a second time", key, "remove one of the two")
            else:
                self.spans[path] = self._span(key)
            values[name] = self._value(value, path)
        return merged | values

    def _merged(self, node: yaml.Node, at: Key) -> dict[str, Any]:
        """The tables that a merge key `<<` lays beneath."""
        import yaml

        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for part in parts:
            value = self._value(part, at)
            if isinstance(value, dict):
                found = value | found
            else:
                self._refuse("`<<` merges tables alone", node)
        return found

    def _name(self, key: yaml.Node) -> str:
        """A key as it is written: YAML would take `on` for a truth value."""
        import yaml

        if isinstance(key, yaml.ScalarNode):
            return str(key.value)
        self._refuse("a key is a single word", key)
        return ""

    def _value(self, node: yaml.Node, at: Key) -> Any:
        import yaml

        self.made += 1
        if self.made > MOST_VALUES or len(at) > DEEPEST:
            if not self.findings:
                self._refuse(
                    f"more than {MOST_VALUES} values, or more than {DEEPEST} tables in each other", node
                )
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self._refuse(f"the tag `{node.tag}` is not taken", node, "write a plain value")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, at)
        return [self._value(one, (*at, number)) for number, one in enumerate(node.value)]

    def _scalar(self, node: yaml.Node) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind not in PLAIN:
            self._refuse(f"the tag `{node.tag}` is not taken", node, "write a plain value")
            return None
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, OverflowError) as error:
            self._refuse(f"the value cannot be read ({error})", node)
            return None
        return value.isoformat() if kind == "timestamp" else value

    def _refuse(self, said: str, node: yaml.Node, help_line: str = "") -> None:
        at = (node.start_mark.index, node.end_mark.index)
        self.findings.append(_wrong(self.source, said, at, help_line))

    def _span(self, node: yaml.Node) -> Span:
        return Span(self.source, node.start_mark.index, node.end_mark.index)
