"""The chat template that a recipe names: a file, or one that ftc ships."""

from __future__ import annotations

import re
from pathlib import Path

from ftc.diagnostics import Finding, Source, Span
from ftc.facts.shipped import shipped_templates
from ftc.recipe.load import Origins
from ftc.recipe.model import Recipe
from ftc.recipe.suggest import did_you_mean, listed

KEY = ("model", "chat_template")
GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""A tag of Hugging Face's own that plain Jinja does not know."""


def stated_template(recipe: Recipe, origins: Origins) -> str | Finding | None:
    """The text of the recipe's chat template, or why it cannot be used; None where it names none."""
    name = recipe.model.chat_template
    if name is None:
        return None
    path = shipped_templates().get(name) or origins.directory(*KEY) / Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return _unreadable(name, path, origins, "it is not UTF-8")
    except OSError as error:
        return _unreadable(name, path, origins, _reason(error))
    return _broken(Source(name, text)) or text


def _reason(error: OSError) -> str:
    reasons = {FileNotFoundError: "there is no such file", IsADirectoryError: "it is a directory"}
    return reasons.get(type(error), error.strerror or str(error))


def _unreadable(name: str, path: Path, origins: Origins, reason: str) -> Finding:
    known = shipped_templates()
    beside = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, beside) or did_you_mean(name, known)
    return Finding(
        "FTC307",
        f"the chat template `{name}` cannot be read: {reason}",
        origins.value(*KEY),
        help=near or ("remove the line to use the model's own template",),
        notes=(f"ftc ships {listed(known)}; any other name is that of a file, relative to the recipe",),
    )


def _broken(source: Source) -> Finding | None:
    from jinja2 import Environment, TemplateSyntaxError

    environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False)  # noqa: S701 - parses alone
    try:
        environment.parse(GENERATION.sub("", source.text))
    except TemplateSyntaxError as error:
        sentence = str(error.message).split(". Jinja was")[0].strip().rstrip(".")
        message = f"the chat template is not valid Jinja: {sentence[:1].lower()}{sentence[1:]}"
        block = re.search(r"innermost block that needs to be closed is '(\w+)'", str(error.message))
        help_ = (f"close {{% {block[1]} … %}} with {{% end{block[1]} %}}",) if block else ()
        return Finding("FTC307", message, _line(source, error.lineno), help=help_)
    return None


def _line(source: Source, number: int) -> Span:
    """The text of a line, without the blanks around it."""
    lines = source.text.splitlines(keepends=True) or [""]
    number = min(number, len(lines))
    start = sum(map(len, lines[: number - 1]))
    line = lines[number - 1]
    indent = len(line) - len(line.lstrip())
    return Span(source, start + indent, start + max(indent + 1, len(line.rstrip())))
