"""What is wrong with a recipe's SQL, in DuckDB's own judgement, with offsets in characters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ftc.facts import sql_tree
from ftc.facts.sql_tree import Node
from ftc.plan.steps import ColumnType
from ftc.recipe.base import Frozen
from ftc.recipe.suggest import closest, did_you_mean, listed

if TYPE_CHECKING:
    import duckdb

TABLE_FUNCTIONS = frozenset(
    ("range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row")
)
"""Functions in place of a table that make rows of their arguments alone."""

OUTSIDE = frozenset(
    (
        "current_setting",
        "current_query",
        "current_query_id",
        "current_transaction_id",
        "current_connection_id",
        "current_database",
        "current_catalog",
        "current_schema",
        "current_schemas",
        "in_search_path",
        "getenv",
        "getvariable",
        "write_log",
        "sleep_ms",
        "pg_sleep",
        "stats",
        "version",
        "vector_type",
        "parse_duckdb_log_message",
    )
)
UNSTABLE_NAMES = frozenset(
    ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")
)
"""Keywords which read like columns and give the time of the day."""

FILE_LIKE = re.compile(
    r"[/\\*]|^\w+://|\.(csv|tsv|txt|parquet|jsonl?|ndjson|db|duckdb|sqlite|gz)$", re.IGNORECASE
)
CATALOGS = ("duckdb_", "pragma_", "pg_", "sqlite_")
NAME = "read a declared source by its name alone"
DECLARE = "declare the file under [data.sources] and read it by its name"
BY_HASH = "choose rows by the hash of a key: where md5(key::varchar) < '4' keeps a quarter of them"
BY_SAMPLE = "take a part of the query's rows in the recipe: sample = 0.1 in [data]"
MAKE_ID = "make an id of what the row has: md5(key::varchar)"
CONSTANT = "write a date as a constant: date '2025-01-31'"
CLOCK = ("now", "today", "date", "time", "stamp")
WORDS = ("select", "from", "where", "group", "order", "join", "left", "having", "limit", "union", "distinct")
"""The words of SQL that are misspelt most."""

STAND_IN = "ftc stand-in"
"""A table without a column of use, for one that the query may not read."""

MOST = 20
"""Problems after which a query is not looked at any further."""


class SqlProblem(Frozen):
    """A mistake in the SQL from character `start` to `end`, or in the source it reads if one is named.

    Of an unknown column, `name` is what stands there and `meant` the column that it is a slip for.
    """

    code: str
    message: str
    start: int = 0
    end: int = 0
    help: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str | None = None
    name: str = ""
    meant: str = ""


class Text:
    """The SQL in characters and in the bytes that DuckDB counts in."""

    def __init__(self, sql: str) -> None:
        self.sql, self._bytes = sql, sql.encode()

    def span(self, start: int, length: int) -> tuple[int, int]:
        """Characters of a stretch given in bytes; the whole text where DuckDB knows no place."""
        if not 0 <= start <= len(self._bytes):
            return 0, len(self.sql)
        first = len(self._bytes[:start].decode(errors="ignore"))
        return first, first + max(1, len(self._bytes[start : start + length].decode(errors="ignore")))

    def of(self, node: Node) -> tuple[int, int]:
        """Characters of a node of the syntax tree."""
        return self.span(node.get("query_location", -1), node.get("query_location_length", 1))


def error_details(error: Exception) -> dict[str, Any]:
    """What DuckDB says of an error as JSON; its plain words where it gave no JSON."""
    text = str(error)
    brace = text.find("{")
    try:
        details = json.loads(text[brace:]) if brace >= 0 else None
    except ValueError:
        details = None
    return details if isinstance(details, dict) else {"exception_message": text}


def place_of(details: Mapping[str, Any], text: Text, *, prefix: int = 0) -> tuple[int, int]:
    """Where an error is, `prefix` bytes of the statement standing before the recipe's SQL."""
    location = details.get("location")
    if location is not None:
        start, length = json.loads(location)
        return text.span(start - prefix, length)
    if "position" in details:
        return text.span(int(details["position"]) - prefix, 1)
    return 0, len(text.sql)


def plain_words(message: str) -> str:
    """The first sentence of DuckDB's message, without its lists of candidates."""
    first = re.split(
        r"\n\s*(?:Candidate|Did you mean|Possible|LINE)|\n\n|\.\s+(?:Either|You might)", message
    )[0]
    return " ".join(first.split()).rstrip("!.")


class SourceNames:
    """What a query may name: declared sources, their columns, DuckDB's functions, given parameters."""

    def __init__(
        self,
        sources: Mapping[str, Sequence[ColumnType]],
        functions: Mapping[str, tuple[str, str]],
        unread: Sequence[str] = (),
        parameters: Mapping[str, bool | int | float | str] | None = None,
    ) -> None:
        self.parameters = parameters or {}
        self.sources = sources
        self.functions = functions
        self.declared = (*sources, *unread)
        self.columns = sorted({column.name for columns in sources.values() for column in columns})

    def kinds(self) -> dict[str, str]:
        """The kind of each function by its name: scalar, aggregate, or something else."""
        return {name: kind for name, (kind, _) in self.functions.items()}

    def unstable(self, name: str) -> bool:
        """Whether a function's answer depends on more than its arguments."""
        return self.functions.get(name, ("", "CONSISTENT"))[1] not in ("CONSISTENT", "None")


Check = Callable[[Node, Text, SourceNames], Iterator[SqlProblem]]


def _tables(tree: Node, text: Text, names: SourceNames) -> Iterator[SqlProblem]:
    known = {name.casefold() for name in names.declared} | sql_tree.with_names(tree)
    for node in sql_tree.tables(tree):
        name, schema = str(node["table_name"]), str(node["schema_name"] or node["catalog_name"])
        if name.casefold() in known and not schema:
            continue
        start, end = text.of(node)
        if FILE_LIKE.search(name) or schema or name.casefold().startswith(CATALOGS):
            shown = f"`{schema}.{name}`" if schema else f"`{name}`"
            yield _outside(shown, start, end, names, help_=DECLARE if FILE_LIKE.search(name) else NAME)
        else:
            yield _unknown_table(name, (start, end), names)


def _unknown_table(name: str, span: tuple[int, int], names: SourceNames) -> SqlProblem:
    return SqlProblem(
        code="FTC205",
        message=f"no source is named `{name}`",
        start=span[0],
        end=span[1],
        help=did_you_mean(name, names.declared) or (f'declare it in [data]: sources.{name} = "…"',),
        notes=(f"declared in [data]: {listed(names.declared)}",),
    )


def _outside(what: str, start: int, end: int, names: SourceNames, *, help_: str = DECLARE) -> SqlProblem:
    return SqlProblem(
        code="FTC207",
        message=f"the query may read the declared sources and nothing else, not {what}",
        start=start,
        end=end,
        help=(help_,),
        notes=(f"declared: {listed(names.declared)}",),
    )


def _table_functions(tree: Node, text: Text, names: SourceNames) -> Iterator[SqlProblem]:
    for node, name in sql_tree.table_functions(tree):
        if name not in TABLE_FUNCTIONS:
            start, end = text.of(node)
            yield _outside(f"`{name}(…)`", start, end, names)


def _calls(tree: Node, text: Text, names: SourceNames) -> Iterator[SqlProblem]:
    for node in sql_tree.functions(tree):
        name = _name(node)
        start, end = text.of(node)
        if name in OUTSIDE or names.functions.get(name, ("", ""))[0] == "outside":
            yield _outside(f"`{name}(…)`", start, end, names, help_="write the value itself")
        elif name == "reservoir_quantile":
            message = "`reservoir_quantile` takes a sample by chance"
            yield _unstable(message, start, end, "write quantile_cont(…), which is exact")
        elif name == "age" and len(sql_tree.arguments(node)) == 1:
            message = "`age` of one date counts from today, which is another day tomorrow"
            yield _unstable(message, start, end, "name the day: age(date '2025-01-31', …)")
        elif names.unstable(name) and name != "error":
            help_ = MAKE_ID if "uuid" in name else ""
            yield _unstable(f"`{name}` gives another answer on every run", start, end, help_)


def forbidden_calls(tree: Node, text: Text) -> dict[tuple[int, int], str]:
    """The calls that reach outside, outermost first, with what may stand in for each to look at the rest.

    With them parameters that are positions, which have no value.
    """
    calls = {text.of(n): "NULL" for n in sql_tree.functions(tree) if _name(n) in OUTSIDE}
    calls |= {text.of(n): "NULL" for n in sql_tree.parameters(tree) if str(n["identifier"]).isdigit()}
    tables = {
        text.of(n): f'"{STAND_IN}"' for n, k in sql_tree.table_functions(tree) if k not in TABLE_FUNCTIONS
    }
    chosen: dict[tuple[int, int], str] = {}
    last = 0
    for (start, end), new in sorted({**calls, **tables}.items()):
        if start >= last:
            chosen[start, end], last = new, end
    return chosen


def _name(call: Node) -> str:
    return str(call["function_name"]).casefold()


def _clock(tree: Node, text: Text, names: SourceNames) -> Iterator[SqlProblem]:
    columns = {name.casefold() for name in names.columns}
    for node in sql_tree.walk(tree):
        path = node.get("column_names") or [""]
        name = str(path[0]).casefold()
        if len(path) == 1 and name in UNSTABLE_NAMES - columns:
            start, end = text.of(node)
            yield _unstable(f"`{name}` gives another answer on every run", start, end)


def _samples(tree: Node, text: Text, names: SourceNames) -> Iterator[SqlProblem]:
    del names
    for node in sql_tree.samples(tree):
        start, end = text.of(node)
        yield _unstable("SAMPLE takes other rows on every run", start, end, BY_SAMPLE)


def _unstable(message: str, start: int, end: int, help_: str = "") -> SqlProblem:
    known = CONSTANT if any(word in message for word in CLOCK) else BY_HASH
    return SqlProblem(code="FTC215", message=message, start=start, end=end, help=(help_ or known,))


CHECKS: tuple[Check, ...] = (_tables, _table_functions, _calls, _clock, _samples)


def tree_problems(
    tree: Node, text: Text, names: SourceNames, more: Sequence[Check] = ()
) -> tuple[SqlProblem, ...]:
    """What the query's shape alone says: every table, file and function it may not use."""
    found = (problem for check in (*CHECKS, *more) for problem in check(tree, text, names))
    return tuple(dict.fromkeys(found))


def syntax_problem(error: duckdb.Error, text: Text) -> SqlProblem:
    """A statement that does not parse."""
    details = error_details(error)
    start, end = place_of(details, text)
    message = plain_words(str(details["exception_message"]))
    return SqlProblem(
        code="FTC203",
        message=f"the query does not parse: {message}",
        start=start,
        end=end,
        help=_syntax_help(text.sql, start, text.sql[start:end]),
    )


def _syntax_help(sql: str, start: int, word: str) -> tuple[str, ...]:
    """What to type where the parser stopped: a word of SQL that is misspelt, or what stands before it."""
    if not word.isidentifier() or word.casefold() in WORDS:
        return ()
    before = sql[:start].rstrip()
    if before and not before.endswith(("(", ",")) and re.search(r"\bas\s+\w+$", before, re.IGNORECASE):
        near = closest(word, WORDS)
        return (f"did you mean `{near[0]}`?",) if near else (f"put a comma before `{word}`",)
    return did_you_mean(word, WORDS)


def bind_problem(error: duckdb.Error, text: Text, names: SourceNames, *, prefix: int = 0) -> SqlProblem:
    """A statement that parses and does not fit the sources; `prefix` bytes stand before it."""
    details = error_details(error)
    start, end = place_of(details, text, prefix=prefix)
    message = str(details["exception_message"])
    column = _column_of(details, message)
    if column is not None:
        span = _word(text.sql, column) if (start, end) == (0, len(text.sql)) else (start, end)
        return _unknown_column(column, str(details.get("candidates", "")), span, names)
    table = re.search(r'Referenced table "(.+?)" not found', message)
    if details.get("type") == "Table" or table:
        unknown = table.group(1) if table else str(details.get("name"))
        return _unknown_table(unknown, (start, end), names)
    if details.get("exception_type") == "Permission":
        return _outside("files", start, end, names)
    help_ = _help(details, names)
    return SqlProblem(code="FTC203", message=plain_words(message), start=start, end=end, help=help_)


def _word(sql: str, word: str) -> tuple[int, int]:
    """Where a name stands in the SQL, which is all there is where DuckDB gives no place."""
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sql, re.IGNORECASE)
    return found.span() if found else (0, len(sql))


def _column_of(details: Mapping[str, Any], message: str) -> str | None:
    if details.get("error_subtype") == "COLUMN_NOT_FOUND":
        return str(details.get("name"))
    found = re.search(r'does not have a column named "(.+?)"|Column "(.+?)" in \w+ list not found', message)
    return (found.group(1) or found.group(2)) if found else None


def _unknown_column(name: str, candidates: str, span: tuple[int, int], names: SourceNames) -> SqlProblem:
    known = [*names.columns, *re.findall(r'"([^"]+)"', candidates)]
    near = closest(name, [column for column in known if column.casefold() != name.casefold()])
    text = f"for a text write single quotes: '{name}'"
    help_ = tuple(f"did you mean `{other}`?" for other in near)
    return SqlProblem(
        code="FTC204",
        message=f"there is no column `{name}`",
        help=help_ or ((text,) if not name.isidentifier() else ()),
        notes=(_columns_there_are(name, names),),
        start=span[0],
        end=span[1],
        name=name,
        meant="".join(near),
    )


def _columns_there_are(name: str, names: SourceNames) -> str:
    owners = [s for s, cs in names.sources.items() if name.casefold() in {c.name.casefold() for c in cs}]
    if owners:
        return f"{listed(owners)} has it, but not what this part of the query reads"
    return "; ".join(f"`{s}` has {listed(c.name for c in cs)}" for s, cs in names.sources.items())


def _help(details: Mapping[str, Any], names: SourceNames) -> tuple[str, ...]:
    kind = str(details.get("type", ""))
    if "Function" in kind:
        return did_you_mean(str(details.get("name")), names.functions)
    if "GROUP BY" in str(details["exception_message"]):
        return ("group by it, or put it into an aggregate such as max(…)",)
    if details.get("error_subtype") == "NO_MATCHING_FUNCTION":
        return ("cast the argument to the type that the function takes, such as column::varchar",)
    return ()
