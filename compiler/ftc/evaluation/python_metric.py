"""Metrics that a user writes, `file.py:function`: looked at before anything runs, run on answers later.

The function takes some of `prompt`, `answer`, `reference` and `columns`, by these names, and returns a
number, a truth value, or None where the row cannot be scored. Until then its file is parsed and not run.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding
from ftc.evaluation import checks
from ftc.evaluation.base import Answer, Better, Metric, Options, ScoreError

PARAMETERS = ("prompt", "answer", "reference", "columns")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def split(named: str) -> tuple[str, str]:
    """The file and the function of `file.py:function`; the function is empty where none is named."""
    file, _, function = named.rpartition(":")
    return (file, function) if file else (named, "")


def problems(named: str, directory: Path) -> checks.Findings:
    """What is wrong with `file.py:function`, its file relative to `directory`; nothing is run."""
    file, function = split(named)
    if not function:
        return _missing(f"`{named}` names no function", f'write "{file}:FUNCTION"')
    try:
        tree = ast.parse((directory / file).read_bytes(), filename=file)
    except OSError as error:
        return _missing(f"{file} cannot be read: {error.strerror}", "name a file, relative to the recipe")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return _missing(
            f"{file} is not Python: {error}", f"correct line {line} of it" if line else "correct it"
        )
    found = [one for one in tree.body if isinstance(one, Function)]
    own = next((one for one in reversed(found) if one.name == function), None)
    return _unnamed(file, function, [one.name for one in found]) if own is None else _signature(file, own)


def _missing(message: str, help_line: str) -> checks.Findings:
    return (Finding("FTC573", message, help=(help_line,)),)


def _unnamed(file: str, function: str, there: list[str]) -> checks.Findings:
    near = get_close_matches(function, there, 1)
    names = ", ".join(there) or "none"
    return _missing(
        f"{file} has no function `{function}`",
        f'write "{file}:{near[0]}"' if near else f"define it at the top of {file}; there are: {names}",
    )


def _signature(file: str, function: Function) -> checks.Findings:
    """FTC574 where a function cannot be called with what a metric is given."""
    spread, place = function.args, f"{file}:{function.lineno}"
    places = [*spread.posonlyargs, *spread.args]
    named = zip(spread.kwonlyargs, spread.kw_defaults, strict=True)
    required = places[: len(places) - len(spread.defaults)] + [one for one, value in named if value is None]
    names = [one.arg for one in (*spread.args, *spread.kwonlyargs)]
    foreign = [one.arg for one in required if one.arg not in PARAMETERS]
    if isinstance(function, ast.AsyncFunctionDef):
        why = "is async, and a metric is called as it is"
    elif spread.posonlyargs:
        why = "takes a parameter by its position alone, and a metric is called by names"
    elif foreign:
        why = f"takes `{foreign[0]}`, which a metric is not given"
    elif "answer" not in names and not spread.kwarg:
        why = "does not take `answer`, so it would judge nothing"
    else:
        return ()
    wanted = f"write def {function.name}(answer, reference), or any of {', '.join(PARAMETERS)}"
    return (Finding("FTC574", f"the metric `{function.name}` {why}", place=place, help=(wanted,)),)


def load(named: str, text: str, *, name: str, better: Better = "higher") -> Metric:
    """The metric of a function, out of its file's text, which is run. Raises ScoreError where it fails."""
    file, function = split(named)
    space: dict[str, Any] = {"__name__": Path(file).stem, "__file__": file}
    try:
        exec(compile(text, file, "exec"), space)  # noqa: S102 - the user's own file, named in the recipe
    except Exception as error:
        raise ScoreError(f"{file} fails when it is read: {type(error).__name__}: {error}") from error
    if not callable(space.get(function)):
        raise ScoreError(f"{file} has no function `{function}`")
    return Metric(name, name, better=better, score=_scored(space[function], named), low=-math.inf, high=None)


def _taken(function: Callable[..., Any]) -> tuple[str, ...]:
    """Which of the parameters a function takes."""
    from inspect import Parameter, signature

    parameters = signature(function).parameters
    if any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values()):
        return PARAMETERS
    return tuple(one for one in PARAMETERS if one in parameters)


def _scored(function: Callable[..., Any], named: str) -> Callable[[Answer, Options], float | None]:
    taken = _taken(function)

    def score(answer: Answer, options: Options) -> float | None:  # noqa: ARG001 - the form of every score
        given = {one: dict(answer.columns) if one == "columns" else getattr(answer, one) for one in taken}
        try:
            found = function(**given)
        except Exception as error:
            raise ScoreError(f"{named} fails: {type(error).__name__}: {error}") from error
        return number(found, named)

    return score


def number(found: Any, named: str) -> float | None:
    """A score as a float. Raises ScoreError where it is no number, or one without end."""
    if found is None:
        return None
    try:
        value = float(found) if not isinstance(found, str | bytes) else math.nan
    except (TypeError, ValueError) as error:
        raise ScoreError(f"{named} returns {type(found).__name__}, and a score is a number") from error
    if isinstance(found, str | bytes) or not math.isfinite(value):
        raise ScoreError(f"{named} returns {found!r}, and a score is a number")
    return value
