"""TOML text to values; a syntax error becomes a finding, and reading goes on behind it where that is safe."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass

from ftc.diagnostics import Finding, Source, Span
from ftc.recipe.layers import Values
from ftc.recipe.toml_spans import Places, Range, scan, scan_until_error

MOST_ERRORS = 20
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True)
class Document:
    """What could be read of a text; with findings, statements that could not be read are left out."""

    values: Values
    places: Places
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Failure:
    """tomllib's complaint about `text`: where, where the statement begins, what the scanner makes of it."""

    text: str
    complaint: str
    at: int
    statement: int
    places: Places
    stopped: int | None

    @property
    def line(self) -> str:
        """The rest of the line from the place of the error."""
        return self.text[self.at :].split("\n", 1)[0].rstrip("\r")

    @property
    def from_statement(self) -> str:
        """The rest of the line on which the statement begins, from its beginning."""
        return self.text[self.statement :].split("\n", 1)[0].rstrip("\r")


@dataclass(frozen=True)
class _Account:
    """A syntax error in words: the sentence, the range for the caret, the help lines."""

    message: str
    place: Range
    help: tuple[str, ...] = ()
    label: str = ""


def read_toml(source: Source) -> Document:
    """The values of a TOML text with their places, and every syntax error that can be told apart."""
    text = source.text
    findings: list[Finding] = []
    while len(findings) < MOST_ERRORS:
        try:
            return Document(tomllib.loads(text), scan(text), tuple(findings))
        except (ValueError, RecursionError) as error:
            failure = _failure(text, error)
        account = _account(failure)
        span = Span(source, *account.place)
        findings.append(Finding("FTC101", account.message, span, account.label, help=account.help))
        text = _without_statement(failure)
    return Document({}, Places(), tuple(findings))


def _failure(text: str, error: ValueError | RecursionError) -> _Failure:
    places, stopped = scan_until_error(text) if isinstance(error, ValueError) else (Places(), 0)
    complaint = str(error) if isinstance(error, ValueError) else "Values are nested too deeply"
    position = _POSITION.search(complaint)
    complaint = _POSITION.sub("", complaint)
    at = _offset(text, position)
    if complaint.startswith(("Cannot overwrite", "Cannot declare")) and places.twice:
        at = places.twice[0][2][0]
    elif complaint.startswith(("Unterminated", "Expected \"'", "Illegal character", "Unclosed")):
        at = stopped if stopped is not None and (position is None or not position[1]) else at
    statement = max((start for start in places.statements if start <= at and _first(text, start)), default=0)
    return _Failure(text, complaint, at, statement, places, stopped)


def _first(text: str, at: int) -> bool:
    """Whether nothing but blanks stands before this on its line."""
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _offset(text: str, position: re.Match[str] | None) -> int:
    if position is None or position[1] is None:
        return len(text.rstrip())
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return min(starts[int(position[1]) - 1] + int(position[2]) - 1, len(text))


def _without_statement(failure: _Failure) -> str:
    """The text with the unreadable statement blanked out; cut there if what follows cannot be trusted."""
    text, start = failure.text, failure.statement
    follows = [at for at in failure.places.statements if at > failure.at]
    is_header = text.startswith("[", start)
    lost = failure.stopped is not None and failure.stopped <= failure.at
    same_line = "\n" not in text[start : failure.at]
    if is_header or (lost and not same_line) or _swallows_the_rest(failure):
        return text[:start]
    line_end = text.find("\n", failure.at)
    end = len(text) if line_end < 0 else line_end
    if not same_line:
        end = follows[0] if follows else len(text)
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def _swallows_the_rest(failure: _Failure) -> bool:
    return failure.stopped == failure.at and failure.text.startswith(('"""', "'''", "[", "{"), failure.at)


def _account(failure: _Failure) -> _Account:
    for start, describe in _KINDS:
        if failure.complaint.startswith(start):
            return describe(failure)
    return _Account(failure.complaint, _word(failure))


def _word(failure: _Failure) -> Range:
    """The word at the place of the error."""
    match = re.compile(r"[^\s,\]}#]+").match(failure.text, failure.at)
    return match.span() if match else (failure.at, failure.at)


def _twice(failure: _Failure) -> _Account:
    if not failure.places.twice:
        width = len(failure.from_statement.split("#")[0].rstrip())
        place = (failure.statement, failure.statement + width)
        return _Account("this name is already taken", place, ("write all of the table in one place",))
    path, first, second = failure.places.twice[0]
    name = ".".join(map(str, path))
    line = failure.text.count("\n", 0, first[0]) + 1
    kind = f"the table [{name}]" if failure.from_statement.startswith("[") else f"`{name}`"
    help_line = f"it stands on line {line} already: keep one of the two"
    return _Account(f"{kind} is given twice", second, (help_line,))


_WORDS = {
    **dict.fromkeys(
        ("True", "TRUE", "yes", "Yes", "on", "On"), "write `true`: TOML's booleans are lower case"
    ),
    **dict.fromkeys(
        ("False", "FALSE", "no", "No", "off", "Off"), "write `false`: TOML's booleans are lower case"
    ),
    **dict.fromkeys(("None", "null", "nil", "undefined"), "TOML has no null: leave the key out"),
    **dict.fromkeys(("NaN", "Infinity"), "write a finite number"),
}


def _invalid_value(failure: _Failure) -> _Account:
    place = _word(failure)
    word = failure.text[slice(*place)]
    if not word:
        return _Account(
            "a value is missing after `=`", (failure.at, failure.at), ("write a value, or remove the key",)
        )
    if word in _WORDS:
        return _Account(f"`{word}` is not a TOML value", place, (_WORDS[word],))
    if word[0] in "“”„‘’`":
        return _Account("these are not TOML's quotes", place, ('use straight quotes: "…"',))
    if word[0] == "=":
        return _Account("one `=` is enough", (failure.at, failure.at + 1), ("write `key = value`",))
    if re.fullmatch(r"[+-]?\.\d+.*", word):
        return _Account(
            "a number needs a digit before the point", place, (f"write `{word.replace('.', '0.', 1)}`",)
        )
    return _unquoted(failure)


def _unquoted(failure: _Failure) -> _Account:
    match = re.match(r"[^#\],}]*", failure.line)
    value = match.group().rstrip() if match else failure.line
    place = (failure.at, failure.at + len(value))
    quote = "'" if '"' in value or "\\" in value else '"'
    return _Account("a string must stand in quotes", place, (f"write `{quote}{value}{quote}`",))


def _no_equals(failure: _Failure) -> _Account:
    here = failure.text[failure.at : failure.at + 1]
    line = failure.from_statement
    if here == ":":
        help_line = "write `=` between key and value: a recipe is TOML, not YAML or JSON"
        return _Account("`:` cannot follow a key", (failure.at, failure.at + 1), (help_line,))
    if line.startswith("- "):
        return _Account(
            "a list is not written with `-`", (failure.statement, failure.at), ("write `key = [a, b]`",)
        )
    if "=" in line:
        name = line.split("=")[0].strip()
        help_line = f"a key is one word or stands in quotes: `{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}`"
        return _Account(
            f"`{name}` is not a key", (failure.statement, failure.statement + len(name)), (help_line,)
        )
    place = (failure.statement, failure.statement + len(line.split("#")[0].rstrip()))
    return _Account("a key needs `=` and a value", place, ("write `key = value`",))


def _leftover(failure: _Failure) -> _Account:
    place = (failure.at, failure.at + len(failure.line.split("#")[0].rstrip()))
    before = failure.text[failure.statement : failure.at].rsplit("=", 1)[-1].strip()
    after = failure.text[slice(*place)]
    if re.fullmatch(r"\d+", before) and re.match(r",\d{3}", after):
        return _Account("a number has no commas", place, (f"write `{before}_{after[1:]}`",))
    if re.fullmatch(r"[+-]?0", before) and after[:1].isdigit():
        return _Account("a number has no leading zero", place, (f"write `{after}`",))
    if re.fullmatch(r"[\d.]+", before) and after.startswith("%"):
        return _Account("a fraction is not written in per cent", place, (f"write `{float(before) / 100:g}`",))
    if before.endswith(('"', "'")):
        help_lines = ("inside a string, write `\\\"` for a quote, or put the string between `'''`",)
        return _Account("the string ended before this", place, help_lines)
    help_lines = ("one statement a line; a comment begins with `#`; text stands in quotes",)
    return _Account("this does not belong to the value before it", place, help_lines)


def _unclosed_string(failure: _Failure) -> _Account:
    stopped = failure.stopped if failure.stopped is not None else failure.at
    quote = failure.text[stopped : stopped + 1] or '"'
    long = failure.text.startswith(quote * 3, stopped)
    if failure.complaint.startswith("Illegal") and quote not in "\"'":
        return _control_character(failure)
    if failure.complaint.startswith("Illegal") and failure.text[failure.at : failure.at + 1] != "\n":
        return _control_character(failure)
    mark = quote * 3 if long else quote
    more = "" if long else f", or begin and end it with `{quote * 3}` to go over several lines"
    end = failure.text.find("\n", stopped)
    place = (stopped, stopped + 3 if long else (len(failure.text) if end < 0 else end))
    return _Account("this string is never closed", place, (f"close it with `{mark}`{more}",))


def _control_character(failure: _Failure) -> _Account:
    character = failure.text[failure.at : failure.at + 1] or "\0"
    help_line = f"write it as `\\u{ord(character):04x}` inside double quotes"
    return _Account(
        "a control character cannot stand in the text", (failure.at, failure.at + 1), (help_line,)
    )


def _backslash(failure: _Failure) -> _Account:
    at = failure.text.rfind("\\", failure.statement, failure.at)
    at = failure.at if at < 0 else at
    help_line = "write `\\\\` for a backslash, or put the string between single quotes"
    return _Account("this backslash begins no escape that TOML knows", (at, at + 2), (help_line,))


def _unclosed_group(failure: _Failure) -> _Account:
    kind, mark = ("array", "]") if "array" in failure.complaint else ("inline table", "}")
    if failure.text[failure.at : failure.at + 1] in "[{" or failure.at >= len(failure.text.rstrip()):
        return _Account(
            f"this {kind} is never closed", (failure.at, failure.at + 1), (f"close it with `{mark}`",)
        )
    help_line = f"put a comma between the parts, or close it with `{mark}`"
    return _Account(f"the {kind} breaks off before this", _word(failure), (help_line,))


def _key_character(failure: _Failure) -> _Account:
    here = failure.text[failure.at : failure.at + 1]
    if here in "\r\n":
        help_line = "keep it on one line, or use a table with a header of its own"
        return _Account("an inline table cannot go over lines", (failure.at, failure.at), (help_line,))
    if here == "}":
        return _Account(
            "an inline table has no comma at its end", (failure.at, failure.at + 1), ("remove the comma",)
        )
    return _bad_statement(failure)


_COMMENT = re.compile(r"//|;|--|/\*|%")


def _bad_statement(failure: _Failure) -> _Account:
    line = failure.line
    place = (failure.at, failure.at + max(1, len(line.split("#")[0].rstrip())))
    if _COMMENT.match(line):
        return _Account("a comment begins with `#`", place, ("write `#` before it",))
    if line.startswith("="):
        return _Account("a key is missing before `=`", place, ("write `key = value`",))
    if line.startswith(("{", "}")):
        return _Account("a recipe is TOML, not JSON", place, ('write `[model]`, then `base = "…"` below it',))
    return _Account(
        "a key cannot begin like this", _word(failure), ("put the key in quotes if it is meant so",)
    )


def _bad_header(failure: _Failure) -> _Account:
    header = failure.from_statement.split("#")[0].rstrip()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", header.strip("[] "))
    place = (failure.statement, failure.statement + len(header))
    return _Account("this is not a table's header", place, (f"write `[{name}]` on a line of its own",))


def _long_number(failure: _Failure) -> _Account:
    number = re.compile(r"\d{1000,}").search(failure.text)
    place = (number.start(), number.start() + 1) if number else (failure.at, failure.at)
    return _Account("this number has too many digits", place, ("put it in quotes if it is meant as text",))


def _immutable(failure: _Failure) -> _Account:
    place = (failure.statement, failure.statement + len(failure.from_statement.split("#")[0].rstrip()))
    help_line = "write all of it in one place, either inline or under a header"
    return _Account("this adds to a value that is already complete", place, (help_line,))


_KINDS: tuple[tuple[str, Callable[[_Failure], _Account]], ...] = (
    ("Cannot overwrite", _twice),
    ("Cannot declare", _twice),
    ("Cannot mutate", _immutable),
    ("Invalid value", _invalid_value),
    ("Expected '=' after", _no_equals),
    ("Expected newline or end", _leftover),
    ("Expected ']", _bad_header),
    ("Unterminated string", _unclosed_string),
    ("Expected \"'", _unclosed_string),
    ("Illegal character", _unclosed_string),
    ("Expected \"'''", _unclosed_string),
    ("Unescaped", _backslash),
    ("Invalid hex", _backslash),
    ("Unclosed", _unclosed_group),
    ("Invalid initial character", _key_character),
    ("Invalid statement", _bad_statement),
    ("Exceeds the limit", _long_number),
)
