"""A first recipe for a file of rows: guess from its columns what can be trained, and write that down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ftc.recipe.toml_text import to_toml

DEFAULT_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"

BESIDE = ("tools", "chat_template_kwargs")
CONVERSATIONS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog", "turns")
PROMPTS = ("prompt", "question", "instruction", "query", "input", "user", "source", "text", "sentence")
ANSWERS = (
    "completion",
    "response",
    "answer",
    "output",
    "reply",
    "assistant",
    "target",
    "summary",
    "label",
    "category",
    "class",
)
TEXTS = ("text", "content", "document", "body", "article", "passage")
CONTEXTS = {"instruction": ("input", "context"), "question": ("context", "passage"), "query": ("context",)}
"""Columns which belong in front of, or behind, a prompt of that name."""

SCALARS = re.compile(
    r"^(VARCHAR|ENUM|BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL|DATE)\b"
)
SHAREGPT = """\
[
    {{
      'role': case m."from"
        when 'human' then 'user'
        when 'gpt' then 'assistant'
        else m."from"
      end,
      'content': m."value"
    }}
    for m in {column}
  ] as messages"""

PLAIN_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_WORDS = """
all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast
check collate collation column concurrently constraint create cross default deferrable desc describe
distinct do else end except false fetch for foreign freeze from full glob group having ilike in initially
inner intersect into is isnull join lambda lateral leading left like limit natural not notnull null offset
on only or order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify references
returning right select semi show similar some summarize symmetric table tablesample then to trailing true
union unique unpack unpivot using variadic verbose when where window with
"""
RESERVED = frozenset(_WORDS.split())
"""Words that DuckDB does not take as the name of a column or a table without quotes."""

Columns = Mapping[str, str]


@dataclass(frozen=True)
class Guess:
    """What the columns seem to be: a phrase about it, the select list that says so in SQL, a caution."""

    says: str
    select: tuple[str, ...]
    note: str = ""


def quoted(name: str) -> str:
    """A column or table name as DuckDB's SQL takes it."""
    if PLAIN_NAME.match(name) and name.lower() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def table_name(stem: str) -> str:
    """A plain name for a source, made of a file's name."""
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "rows"
    return f"rows_{name}" if name[0].isdigit() or name in RESERVED else name


def _find(columns: Columns, names: Iterable[str], fits: Callable[[str], bool]) -> str | None:
    """The first of `names` that is a column, in any case, of a fitting type."""
    lowered = {column.lower().strip(): column for column in reversed(list(columns))}
    found = (lowered[name] for name in names if name in lowered)
    return next((column for column in found if fits(columns[column])), None)


def _is_text(kind: str) -> bool:
    return kind == "VARCHAR"


def _is_scalar(kind: str) -> bool:
    return bool(SCALARS.match(kind)) and not kind.endswith("[]")


def _fields(kind: str) -> set[str]:
    """Names of the fields of a list of structs; empty for any other type."""
    if not (kind.startswith("STRUCT(") and kind.endswith("[]")):
        return set()
    return {name for name in ("role", "content", "from", "value") if re.search(rf'[(\s]"?{name}"? ', kind)}


def _is_chat(kind: str) -> bool:
    return {"role", "content"} <= _fields(kind)


def _is_sharegpt(kind: str) -> bool:
    return {"from", "value"} <= _fields(kind)


def _named(expression: str, name: str) -> str:
    return expression if expression == name else f"{expression} as {name}"


def _as_text(column: str, columns: Columns) -> str:
    return quoted(column) if _is_text(columns[column]) else f"{quoted(column)}::varchar"


def _conversation(columns: Columns) -> Guess | None:
    """A list of messages, or of ShareGPT's turns, with what a conversation has beside them."""
    beside = tuple(quoted(name) for name in BESIDE if name in columns)
    chat = _find(columns, CONVERSATIONS, _is_chat)
    if chat is not None:
        return Guess(f"conversations in `{chat}`", (_named(quoted(chat), "messages"), *beside))
    turns = _find(columns, CONVERSATIONS, _is_sharegpt)
    if turns is not None:
        return Guess(f"ShareGPT conversations in `{turns}`", (SHAREGPT.format(column=quoted(turns)), *beside))
    json = _find(columns, ("messages",), lambda kind: kind in ("JSON", "VARCHAR"))
    return (
        None
        if json is None
        else Guess(f"conversations as JSON in `{json}`", (_named(quoted(json), "messages"), *beside))
    )


def _preference(columns: Columns) -> Guess | None:
    """Chosen and rejected answers: only the chosen ones can be trained on, so far."""
    good = _find(columns, ("chosen",), lambda kind: _is_text(kind) or _is_chat(kind))
    bad = _find(columns, ("rejected",), lambda _: True)
    if good is None or bad is None:
        return None
    note = "preference training (DPO) is not there yet: this trains on the chosen answers alone"
    says = f"preference pairs in `{good}` and `{bad}`"
    if _is_chat(columns[good]):
        prompt = _find(columns, ("prompt",), _is_chat)
        messages = f"list_concat({quoted(prompt)}, {quoted(good)})" if prompt else quoted(good)
        return Guess(says, (f"{messages} as messages",), note)
    asked = _find(columns, PROMPTS, _is_text)
    if asked is None:
        return Guess(says, (f"{quoted(good)} as text",), note)
    return Guess(says, (_named(quoted(asked), "prompt"), f"{quoted(good)} as completion"), note)


def _chat_pair(columns: Columns) -> Guess | None:
    """A prompt and a completion which are lists of messages themselves."""
    asked, answered = _find(columns, ("prompt",), _is_chat), _find(columns, ("completion",), _is_chat)
    if asked is None or answered is None:
        return None
    messages = f"list_concat({quoted(asked)}, {quoted(answered)}) as messages"
    return Guess(f"conversations in `{asked}` and `{answered}`", (messages,))


def _prompt(asked: str, context: str | None) -> str:
    """SQL of the prompt: the question, and what it is about where there is such a column."""
    if context is None:
        return _named(quoted(asked), "prompt")
    gap = "chr(10) || chr(10) ||"
    if asked.lower() != "instruction":
        return f"{quoted(context)} || {gap} {quoted(asked)} as prompt"
    more = f"case when {quoted(context)} <> '' then {gap} {quoted(context)} else '' end"
    return f"{quoted(asked)} || {more} as prompt"


def _pair(columns: Columns) -> Guess | None:
    """A prompt and its answer under one of their many names."""
    asked = _find(columns, PROMPTS, _is_text)
    if asked is None:
        return None
    answered = _find(columns, ANSWERS, _is_scalar)
    if answered is None:
        return None
    near = [name for name in CONTEXTS.get(asked.lower(), ()) if name != answered.lower()]
    context = _find(columns, near, _is_text)
    select = (_prompt(asked, context), _named(_as_text(answered, columns), "completion"))
    with_context = f" (about `{context}`)" if context else ""
    return Guess(f"prompts in `{asked}`{with_context}, answers in `{answered}`", select)


def _documents(columns: Columns) -> Guess | None:
    """Plain text."""
    text = _find(columns, TEXTS, _is_text)
    return None if text is None else Guess(f"plain documents in `{text}`", (_named(quoted(text), "text"),))


def _any_text(columns: Columns) -> Guess | None:
    """Nothing but types to go by: two columns of text are taken for a pair, one for documents."""
    texts = [name for name, kind in columns.items() if _is_text(kind)]
    if not texts:
        return None
    first, last = texts[0], texts[-1]
    note = "the names of the columns say nothing, so look at the query"
    if first == last:
        return Guess(f"plain documents in `{first}`", (_named(quoted(first), "text"),), note)
    select = (_named(quoted(first), "prompt"), _named(quoted(last), "completion"))
    return Guess(f"prompts in `{first}`, answers in `{last}`", select, note)


GUESSES: tuple[Callable[[Columns], Guess | None], ...] = (
    _conversation,
    _preference,
    _chat_pair,
    _pair,
    _documents,
    _any_text,
)
"""What columns may be, the most telling first."""


def guess(columns: Columns) -> Guess | None:
    """What can be trained on columns, given as names with DuckDB types; None if none holds text."""
    return next((found for look in GUESSES if (found := look(columns)) is not None), None)


def _query(select: Sequence[str], table: str) -> str:
    return "  select\n    " + ",\n    ".join(select) + f"\n  from {table}\n"


def _setting(key: str, value: object) -> str:
    """One `key = value` line; a text of several lines keeps them."""
    return to_toml({key: value}).strip("\n")


def _comments(origin: Origin, found: Guess, columns: Columns) -> list[str]:
    lines = [f"# Columns: {', '.join(f'{_printable(name)} {kind}' for name, kind in columns.items())}"]
    lines += [f"# Mind: {_printable(note)}." for note in (origin.note, found.note) if note]
    return [_fold(line) for line in lines]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _fold(comment: str, longest: int = 110) -> str:
    return comment if len(comment) <= longest else comment[: longest - 1] + "…"


@dataclass(frozen=True)
class Origin:
    """Where the rows are: the path from the recipe, options of reading it, a word of caution."""

    path: str
    stem: str
    options: Mapping[str, str | bool]
    note: str = ""


def _source(origin: Origin, table: str) -> str:
    if not origin.options:
        return _setting("sources", origin.path).replace("sources", f"sources.{table}", 1)
    options = ", ".join(
        _setting(key, value) for key, value in {"path": origin.path, **origin.options}.items()
    )
    return f"sources.{table} = {{ {options} }}"


def starter_recipe(
    origin: Origin, columns: Columns, found: Guess, *, base: str = DEFAULT_BASE, schema: str | None = None
) -> str:
    """The text of a commented recipe; `schema` is a JSON Schema's path for editors."""
    table = table_name(origin.stem)
    lines = [f"#:schema {schema}"] if schema else []
    lines += [
        f"# A first recipe for {_printable(origin.path)}: {_printable(found.says)}.",
        "# `ftc plan` on this file shows what would happen and why; `ftc build` does it.",
        "",
        "[model]",
        _setting("base", base) + "  # hub id, local directory or .gguf file",
        "",
        "[data]",
        _source(origin, table),
        *_comments(origin, found, columns),
        "# One SELECT in DuckDB's SQL: rename, filter, join; a row of its result is an example.",
        _setting("query", _query(found.select, table)),
        'split = { eval = 0.1 }  # held out and never trained on; group = "COLUMN" keeps rows together',
        '# too_long = "drop"     # a row longer than the model\'s context is an error otherwise',
        "",
        "[tune]",
        'method = "lora"  # or "full"',
        "",
        "[train]",
        "epochs = 3",
        "# batch, learning_rate, …: `ftc plan` prints every default with its reason",
    ]
    return "\n".join(lines) + "\n"
