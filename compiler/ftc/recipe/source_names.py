"""Rules about `data.sources`: names that SQL can use, and options that fit the files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ftc.diagnostics import Finding
from ftc.recipe.settings import Settings

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


_FITS = {
    "encoding": ("csv",),
    "delimiter": ("csv",),
    "quote": ("csv",),
    "header": ("csv",),
    "columns": ("csv", "jsonl"),
}


def options_of_other_formats(settings: Settings) -> Iterator[Finding]:
    """An option about CSV says nothing about Parquet."""
    for name, source in _tables(settings):
        format_ = _format(source)
        for option, formats in _FITS.items():
            if format_ and option in source and format_ not in formats:
                article = "for CSV files" if len(formats) == 1 else "for CSV and JSONL files"
                message = f"`{option}` is {article}, and the source `{name}` is {format_}"
                yield settings.wrong(message, ("data", "sources", name, option), f"remove `{option}`")


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


_SUFFIX = re.compile(r"\.(parquet|jsonl|ndjson|csv|tsv)(?:\.gz|\.zst)?$")
_FORMATS = {"parquet": "parquet", "jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv", "tsv": "csv"}


def _format(source: dict[str, Any]) -> str | None:
    """The format of a source as stated, or as its files' names tell; None where neither does."""
    stated, path = source.get("format"), source.get("path")
    if isinstance(stated, str):
        return stated if stated in _FORMATS.values() else None
    match = _SUFFIX.search(path.lower()) if isinstance(path, str) else None
    return _FORMATS[match[1]] if match else None
