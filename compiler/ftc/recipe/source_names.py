"""Rules about `data.sources`: names that SQL can use, and options that fit the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ftc.diagnostics import Finding
from ftc.recipe.rows import SourceFiles
from ftc.recipe.settings import Settings
from ftc.recipe.source_kinds import KINDS, PLACES, kind_of, takers
from ftc.recipe.suggest import closest

_WORDS = (
    "all analyse analyze and anti any array as asc asof asymmetric authorization binary both case cast "
    "check collate collation column concurrently constraint create cross default deferrable desc describe "
    "distinct do else end except false fetch for foreign freeze from full generated glob group having "
    "ilike in initially inner intersect into is isnull join lambda lateral leading left like limit "
    "natural not notnull null offset on only or order outer overlaps pivot pivot_longer pivot_wider "
    "placing positional primary qualify references returning right select semi show similar some "
    "summarize symmetric table tablesample then to trailing true try_cast union unique unpivot using "
    "variadic verbose when where window with "
)

KEYWORDS = frozenset(_WORDS.split())
"""DuckDB's keywords that cannot name a table without quotes (its categories reserved and type_function)."""

HUB = ("subset", "split", "revision")
"""The options that a data set of the hub takes."""

TITLES = {name: kind.title for name, kind in KINDS.items()} | {"hub": "data sets of the hub"}
FILES = " files"
IS = {name: name for name in KINDS} | {
    "text": "a text",
    "sqlite": "an SQLite database",
    "postgres": "a table of Postgres",
    "dataset": "a saved data set",
    "hub": "a data set of the hub",
}
"""How a source of a kind is called in the middle of a sentence."""

OPTIONS = tuple(dict.fromkeys([option for kind in KINDS.values() for option in kind.options] + list(HUB)))


def unusable_names(settings: Settings) -> Iterator[Finding]:
    """A source's name is used in SQL as it is (FTC111)."""
    sources = settings.get("data", "sources")
    seen: dict[str, str] = {}
    for name in sources if isinstance(sources, dict) else ():
        reason = _reason(name, seen.get(name.casefold()))
        seen.setdefault(name.casefold(), name)
        if reason:
            span = settings.origins.key("data", "sources", name)
            help_line = f"write sources.{_usable(name, seen)}, and use that name in the query"
            yield Finding("FTC111", f"`{name}` cannot name a source: {reason}", span, help=(help_line,))


def _reason(name: str, same: str | None) -> str:
    if not name.isidentifier():
        return "letters, digits and `_` make a name in SQL, and it begins with no digit"
    if name.casefold() in KEYWORDS:
        return f"{name.upper()} is a word of SQL"
    if same is not None:
        return f"SQL cannot tell it from `{same}`"
    return ""


def _usable(name: str, taken: dict[str, str]) -> str:
    plain = re.sub(r"\W+", "_", name).strip("_").lower() or "rows"
    plain = f"{plain}_rows" if plain in KEYWORDS else plain
    plain = f"_{plain}" if plain[0].isdigit() else plain
    number = 2
    result = plain
    while result in taken and taken[result] != name:
        result = f"{plain}{number}"
        number += 1
    return result


def one_place(settings: Settings) -> Iterator[Finding]:
    """A source is read from one place: a path, a data set of the hub, or a database."""
    for name, source in _tables(settings):
        given = [place for place in PLACES if place in source]
        if not given and not closest_of(source, PLACES):
            yield _placeless(settings, name)
        for other in given[1:]:
            message = f"`{other}` contradicts `{given[0]}`: the source `{name}` is read from one place"
            yield settings.wrong(message, ("data", "sources", name, other), "remove one of the two")
        if "database" in source and "table" not in source:
            message = f"`table` is missing in `data.sources.{name}`"
            span = settings.origins.value("data", "sources", name)
            yield Finding("FTC106", message, span, help=('type: table = "schema.name"',))


def _placeless(settings: Settings, name: str) -> Finding:
    return Finding(
        "FTC106",
        f"`path` is missing in `data.sources.{name}`",
        settings.origins.header("data", "sources", name),
        help=(f'type: {name} = {{ path = "data/{name}.csv" }}',),
        notes=("or `dataset`, for a data set of the hub, or `database`, for a table of Postgres",),
    )


def closest_of(source: Mapping[str, Any], wanted: Iterable[str]) -> bool:
    """Whether an unknown key of a source's table is a slip for one that is wanted."""
    unknown = set(source) - set(SourceFiles.model_fields)
    return any(closest(key, SourceFiles.model_fields)[:1] in [(word,) for word in wanted] for key in unknown)


def options_of_other_formats(settings: Settings) -> Iterator[Finding]:
    """An option about CSV says nothing about Parquet."""
    for name, source in _tables(settings):
        kind = _kind(source)
        for option in OPTIONS:
            takes = _takers(option)
            if kind and option in source and kind not in takes:
                message = f"`{option}` is for {_called(takes)}, and the source `{name}` is {IS[kind]}"
                yield settings.wrong(message, ("data", "sources", name, option), f"remove `{option}`")


def _called(kinds: Iterable[str]) -> str:
    """Kinds in words: `CSV and text files`."""
    titles = [TITLES[kind] for kind in kinds]
    if all(title.endswith(FILES) for title in titles):
        titles = [title.removesuffix(FILES) for title in titles[:-1]] + titles[-1:]
    return " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))


def format_of_place(settings: Settings) -> Iterator[Finding]:
    """A database has no format, and files are no database."""
    for name, source in _tables(settings):
        stated, place = source.get("format"), _place(source)
        of_database = stated == "postgres"
        wrong = (
            (place == "database" and not of_database)
            or (place != "database" and of_database)
            or (place == "dataset" and stated in ("dataset", "sqlite"))
        )
        if isinstance(stated, str) and stated in KINDS and place and wrong:
            message = f'`format = "{stated}"` contradicts `{place}` in the source `{name}`'
            yield settings.wrong(message, ("data", "sources", name, "format"), "remove `format`")


def same_delimiter_and_quote(settings: Settings) -> Iterator[Finding]:
    """One character cannot both separate and quote."""
    for name, source in _tables(settings):
        quote = source.get("quote")
        if quote and quote == source.get("delimiter"):
            message = f"the delimiter and the quote of the source `{name}` are the same character"
            yield settings.wrong(message, ("data", "sources", name, "quote"), 'write quote = "" for none')


def _tables(settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    sources = settings.get("data", "sources")
    for name, source in sources.items() if isinstance(sources, dict) else ():
        if isinstance(source, dict):
            yield name, source


def _place(source: Mapping[str, Any]) -> str:
    """Which of the places a source is read from; empty where it has none, or several."""
    given = [place for place in PLACES if place in source]
    return given[0] if len(given) == 1 else ""


def _takers(option: str) -> tuple[str, ...]:
    """The kinds of sources that take an option, and `hub` where a data set of the hub does."""
    return (*takers(option), *(("hub",) if option in HUB else ()))


def _kind(source: Mapping[str, Any]) -> str | None:
    """The kind of a source as it is stated, or as its path tells; None where neither does."""
    place, stated, path = _place(source), source.get("format"), source.get("path")
    if place in ("dataset", "database"):
        return "hub" if place == "dataset" else "postgres"
    if isinstance(stated, str):
        return stated if stated in KINDS else None
    return kind_of(path) if isinstance(path, str) and place else None
