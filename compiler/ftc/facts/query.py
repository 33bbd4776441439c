"""Ask DuckDB what a recipe's query returns, without reading a row of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from ftc.facts import sql_parameters, sql_tree
from ftc.facts.bounds import DESCRIBE_SECONDS, Endless, bounded
from ftc.facts.described import source_columns
from ftc.facts.sandbox import connect, identifier, lock
from ftc.facts.sources import ResolvedSource, SourceError
from ftc.facts.sql_problems import (
    MOST,
    STAND_IN,
    TABLE_FUNCTIONS,
    SourceNames,
    SqlProblem,
    Text,
    bind_problem,
    error_details,
    forbidden_calls,
    plain_words,
    syntax_problem,
    tree_problems,
)
from ftc.facts.sql_stability import instabilities
from ftc.plan.steps import ColumnType
from ftc.recipe.base import Frozen

if TYPE_CHECKING:
    import duckdb
    from duckdb import DuckDBPyConnection

CODE = (
    "facts/query.py",
    "facts/sql_parameters.py",
    "facts/sql_aggregates.py",
    "facts/sql_order.py",
    "facts/sql_stability.py",
    "facts/sql_tree.py",
    "facts/sql_problems.py",
    "facts/json_types.py",
    "facts/sources",
    "facts/sandbox.py",
)
PREFIX = "describe "
HOLLOW = 'create table if not exists {name} ("?" integer)'
EMPTY_SOURCE = "create table {name} ({columns})"


class Described(Frozen):
    """What a query returns: its columns, and the source whose rows its rows are, if there is one.

    `name` is the query's in a mix, `file` where its SQL stands if not in the recipe. `asks` are the names of
    the parameters it asks for, None where that is not known, and `parameters` their values. `columns` is
    empty where there are problems; `perhaps` are then the names that may be among them, None where that is
    not known. `warnings` are places whose value hangs on an order that nothing states, whatever the data.
    """

    name: str = ""
    file: str = ""
    sql: str
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    columns: tuple[ColumnType, ...] = ()
    warnings: tuple[SqlProblem, ...] = ()
    traced_source: str | None = None
    problems: tuple[SqlProblem, ...] = ()
    asks: tuple[str, ...] | None = None
    perhaps: tuple[str, ...] | None = None


def describe(
    sources: Sequence[ResolvedSource],
    sql: str,
    unread: Sequence[str] = (),
    parameters: Mapping[str, sql_parameters.Value] | None = None,
) -> Described:
    """The columns of a query over the sources, or everything that is wrong with it.

    Of sources that cannot be read, `unread` by name, the columns are unknown: nothing is said of those.
    """
    con = connect()
    try:
        columns, problems = _declare(con, sources)
        lock(con)
        unread = [*unread, *(source.step.name for source in sources if source.step.name not in columns)]
        names = SourceNames(columns, known_functions(con), unread, parameters)
        described = _within_time(con, sql, names)
        return described.model_copy(update={"problems": problems + described.problems})
    finally:
        con.close()


def _within_time(con: DuckDBPyConnection, sql: str, names: SourceNames) -> Described:
    """Describe a query, or say that DuckDB thinks about it without end."""
    try:
        return bounded(con, lambda: _describe(con, sql, names), seconds=DESCRIBE_SECONDS)
    except Endless as stopped:
        message = f"the query was stopped before it ran: {stopped}"
        problem = SqlProblem(
            code="FTC219", message=message, end=len(sql), help=("write it in a simpler way",)
        )
        return Described(sql=sql, problems=(problem,))


def _declare(
    con: DuckDBPyConnection, sources: Sequence[ResolvedSource]
) -> tuple[dict[str, tuple[ColumnType, ...]], tuple[SqlProblem, ...]]:
    """Make an empty table of each source; a problem for each whose files do not fit."""
    import duckdb

    columns, problems = {}, []
    for source in sources:
        try:
            found = source_columns(con, source.step, source.paths)
            listed = ", ".join(f"{identifier(column.name)} {column.type}" for column in found)
            con.execute(EMPTY_SOURCE.format(name=identifier(source.step.name), columns=listed))
            columns[source.step.name] = found
        except SourceError as problem:
            problems.append(
                SqlProblem(code="FTC202", message=problem.message, help=problem.help, source=source.step.name)
            )
        except duckdb.Error as error:
            problems.append(_unreadable(source, error))
    return columns, tuple(problems)


def _unreadable(source: ResolvedSource, error: duckdb.Error) -> SqlProblem:
    words = plain_words(str(error_details(error)["exception_message"]))
    for path, file in zip(source.paths, source.step.files, strict=True):
        words = words.replace(str(path), file.name)
    help_: tuple[str, ...] = ()
    if "magic bytes" in words:
        words = f"{source.step.files[0].name} is no Parquet file" if len(source.paths) == 1 else words
        help_ = ('if it is text, say which: format = "csv", or format = "jsonl"',)
    elif "Type with name" in words:
        help_ = ("types are varchar, bigint, double, boolean, date, timestamp and DuckDB's others",)
    return SqlProblem(
        code="FTC202",
        message=f"the source `{source.step.name}` cannot be read as {source.step.format}: {words}",
        help=help_,
        source=source.step.name,
    )


def known_functions(con: DuckDBPyConnection) -> dict[str, tuple[str, str]]:
    """Kind and stability of DuckDB's functions by name.

    A macro that unnests is of kind `other`, one that asks DuckDB about itself of kind `outside`.
    """
    rows = con.execute(
        "with f as (select lower(function_name) as name, function_type as type, stability, "
        "lower(coalesce(macro_definition, '')) as body from duckdb_functions() where type != 'pragma') "
        "select name, case when bool_or(type = 'aggregate') then 'aggregate' "
        "when bool_or(type = 'scalar') then 'scalar' "
        "when bool_or(body like '%from duckdb_%' or body like '%from pragma_%') then 'outside' "
        "when bool_and(type = 'macro' and not contains(body, 'unnest')) then 'scalar' else 'other' end, "
        "coalesce(max(case when regexp_matches(body, 'current_(timestamp|date|time)') then 'VOLATILE' "
        "when type = 'scalar' then stability end), 'CONSISTENT') from f group by name"
    ).fetchall()
    return {name: (kind, stability) for name, kind, stability in rows}


def _describe(con: DuckDBPyConnection, sql: str, names: SourceNames) -> Described:
    import duckdb

    text = Text(sql)
    try:
        statements = con.extract_statements(sql)
        tree = sql_tree.parse(con, sql)
    except duckdb.Error as error:
        return Described(sql=sql, problems=(syntax_problem(error, text),))
    if len(statements) != 1 or tree is None or not sql_tree.only_reads(tree):
        return Described(sql=sql, problems=(_not_one_select(sql, [s.query for s in statements]),))
    problems = tree_problems(tree, text, names, (sql_parameters.problems,))
    asks = sql_parameters.asked(tree)
    whole = [(0, len(sql))] if problems else []
    hollow = _hollow_tables(con, tree, names)
    bound, perhaps = _binding_problems(con, sql, names, forbidden_calls(tree, text))
    if hollow:
        bound = [problem for problem in bound if _of_known_table(problem, sql, hollow)]
    problems += tuple(problem for problem in bound if (problem.start, problem.end) not in whole)
    if problems or hollow:
        return Described(
            sql=sql, problems=_distinct(problems), asks=asks, perhaps=None if hollow else perhaps
        )
    described = _columns(con, sql, tree, names)
    if described.problems:
        return described
    traced = described.traced_source is not None
    found = instabilities(con, tree, text, names, traced=traced)
    warnings = tuple(one.problem for one in found if one.tie is None)
    return described.model_copy(update={"asks": asks, "warnings": warnings})


def _hollow_tables(con: DuckDBPyConnection, tree: sql_tree.Node, names: SourceNames) -> frozenset[str]:
    """The names under which the query reads tables of unknown columns, each made with none of use."""
    read = {name.casefold() for name in names.sources} | sql_tree.with_names(tree)
    hollow = set()
    for node in sql_tree.tables(tree):
        name = str(node["table_name"])
        if name.casefold() not in read and not node["schema_name"] and not node["catalog_name"]:
            con.execute(HOLLOW.format(name=identifier(name)))
            hollow.add(str(node["alias"] or name).casefold())
    for node, name in sql_tree.table_functions(tree):
        if name not in TABLE_FUNCTIONS:
            con.execute(HOLLOW.format(name=identifier(STAND_IN)))
            hollow.add(str(node["alias"] or name).casefold())
    return frozenset(hollow)


def _of_known_table(problem: SqlProblem, sql: str, hollow: frozenset[str]) -> bool:
    """Whether a problem is about a column of a table that the query names and whose columns are known."""
    place = sql[problem.start : problem.end]
    qualifier, dot, _ = place.partition(".")
    return problem.code == "FTC204" and bool(dot) and qualifier.strip('"').casefold() not in hollow


def _distinct(problems: Sequence[SqlProblem]) -> tuple[SqlProblem, ...]:
    """One problem a place, the first that was found there."""
    first: dict[tuple[int, int], SqlProblem] = {}
    for problem in problems:
        first.setdefault((problem.start, problem.end), problem)
    reported = [p for p in problems if p.code in ("FTC205", "FTC207")]
    return tuple(
        problem
        for place, problem in sorted(first.items())
        if problem in reported or not any(r.start <= place[0] < r.end for r in reported)
    )


def _not_one_select(sql: str, statements: Sequence[str]) -> SqlProblem:
    bare = [statement for statement in statements if statement.strip(" ;\n\t\r")]
    help_: tuple[str, ...] = ("write: select … from …",)
    start = len(sql) - len(sql.lstrip())
    if len(bare) > 1:
        start = len(statements[0])
        start += len(sql[start:]) - len(sql[start:].lstrip())
        message, help_ = f"the query is {len(bare)} statements", ("keep one SELECT; use WITH for steps",)
    elif "pivot" in sql.casefold():
        message = "PIVOT must say which values become columns"
        help_ = ("list them: pivot … on column in ('a', 'b')",)
    else:
        word = sql.split(maxsplit=1)[0].upper().strip(";") if sql.strip(" ;\n\t\r") else ""
        message = "the query is empty"
        if word:
            message = NO_SELECT.get(word, f"the query must be a SELECT, not {word}")
    end = max(start + 1, len(sql.rstrip()))
    return SqlProblem(code="FTC206", message=message, start=start, end=end, help=help_)


NO_SELECT = {
    "WITH": "the query must be a SELECT, and a part of WITH is none",
    "SELECT": "the query may read rows, and not DESCRIBE, SHOW or SUMMARIZE tables",
    "FROM": "the query may read rows, and not DESCRIBE, SHOW or SUMMARIZE tables",
}


def _binding_problems(
    con: DuckDBPyConnection, sql: str, names: SourceNames, forbidden: Mapping[tuple[int, int], str]
) -> tuple[list[SqlProblem], tuple[str, ...] | None]:
    """DuckDB stops at the first unknown name; put NULL in its place and ask again for the next.

    `forbidden` are calls which are reported already, with what stands in for each. Beside the problems,
    the names that the query may return, None where that is not known.
    """
    import duckdb

    edits: list[Edit] = []
    edited = sql
    for (start, end), new in sorted(forbidden.items(), reverse=True):
        edits.insert(0, (start, len(new), end - start))
        edited = f"{edited[:start]}{new}{edited[end:]}"
    problems: list[SqlProblem] = []
    for round_ in range(MOST):
        try:
            values = sql_parameters.bound(con, PREFIX + edited, names.parameters)
            rows = con.execute(PREFIX + edited, values or None).fetchall()
        except duckdb.Error as error:
            problem = bind_problem(error, Text(edited), names, prefix=len(PREFIX))
        else:
            return problems, (*(row[0] for row in rows), *names.columns)
        start, end = problem.start, problem.end
        unknown = problem.code == "FTC204"
        follows = unknown and any(problem.name == other.meant for other in problems)
        follows = follows or (not unknown and round_ > 0 and "NULL" in edited[start:end].upper())
        if not follows:
            problems.append(_moved(problem, sql, edits))
        if not unknown or (start, end) == (0, len(edited)) or edited[start:end].upper() == "NULL":
            break
        edits.insert(0, (start, 4, end - start))
        edited = f"{edited[:start]}NULL{edited[end:]}"
    return problems, None


Edit = tuple[int, int, int]
"""A replacement in the SQL: where it starts in the new text, its new length, and the old length."""


def _original(offset: int, edits: Iterable[Edit]) -> int:
    """The offset in the text as written of an offset in the edited text; `edits` latest first."""
    for start, new, old in edits:
        if offset >= start + new:
            offset += old - new
        elif offset > start:
            offset = start + min(offset - start, old)
    return offset


def _moved(problem: SqlProblem, sql: str, edits: Sequence[Edit]) -> SqlProblem:
    start, end = _original(problem.start, edits), _original(problem.end, edits)
    return problem.model_copy(update={"start": start, "end": min(end, len(sql))})


def _columns(con: DuckDBPyConnection, sql: str, tree: sql_tree.Node, names: SourceNames) -> Described:
    values = sql_parameters.bound(con, sql, names.parameters)
    rows = con.execute(PREFIX + sql, values or None).fetchall()
    columns = tuple(ColumnType(name=row[0], type=row[1]) for row in rows)
    folded = [column.name.casefold() for column in columns]
    twice = [column.name for i, column in enumerate(columns) if folded[i] in folded[:i]]
    if twice:
        message = f"the query returns several columns named `{twice[0]}`"
        help_ = ("give each a name of its own with `as`, or leave one out",)
        problem = SqlProblem(code="FTC203", message=message, end=len(sql), help=help_)
        return Described(sql=sql, problems=(problem,))
    return Described(
        sql=sql,
        parameters={name: value for name, value in values.items() if value is not None},
        columns=columns,
        traced_source=_traced(con, tree, names, values),
    )


def _traced(
    con: DuckDBPyConnection,
    tree: sql_tree.Node,
    names: SourceNames,
    values: Mapping[str, sql_parameters.Value | None],
) -> str | None:
    import duckdb

    source = sql_tree.one_source(tree, list(names.sources))
    if source is None or sql_tree.multiplies_rows(tree, names.kinds()):
        return None
    if any(column.name.casefold() == "rowid" for column in names.sources[source]):
        return None
    try:
        traced = sql_tree.unparse(con, sql_tree.with_row_numbers(tree))
        con.execute(PREFIX + traced, dict(values) or None)
    except duckdb.Error:
        return None
    return source
