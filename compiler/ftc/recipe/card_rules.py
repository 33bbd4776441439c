"""What can be wrong with [card] beside the types: licences, languages and addresses that there are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from ftc.diagnostics import Finding
from ftc.recipe.languages import NAMES, OTHERS, is_known
from ftc.recipe.layers import Key
from ftc.recipe.licences import HUB, OTHER, hub_name
from ftc.recipe.licences import is_known as is_licence
from ftc.recipe.settings import Settings
from ftc.recipe.suggest import closest

_MAIL = re.compile(r"^[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+$")
_PAGE = re.compile(r"^https?://[^\s<>\"]+$")


def licences(settings: Settings) -> Iterator[Finding]:
    """A licence is one of the hub's list, or an SPDX expression (FTC105)."""
    for path in (("card", "licence"), ("card", "data", "licence")):
        value = settings.get(*path)
        if not isinstance(value, str) or not value or is_licence(value):
            continue
        near = closest(value, HUB) or closest(value.replace(" ", "-"), HUB)
        helps = tuple(f'did you mean "{name}"?' for name in near)
        own = f'or write {path[-1]} = "other", with licence_name and licence_link' if len(path) == 2 else ""
        more = (own,) if own else ()
        notes = (f"examples: {', '.join(HUB[:6])}; or an SPDX expression, such as MIT OR Apache-2.0",)
        message = f'`{".".join(path)}` cannot be "{value}": neither the hub nor SPDX has such a licence'
        yield Finding("FTC105", message, settings.origins.value(*path), help=(*helps, *more), notes=notes)


def names_of_licences(settings: Settings) -> Iterator[Finding]:
    """A licence that is `other` is named; one of the hub's list has its own name (FTC107)."""
    licence = settings.get("card", "licence")
    if not isinstance(licence, str):
        return
    if licence.lower() == OTHER:
        if not settings.has_any(("card", "licence_name"), ("card", "licence_link")):
            message = "a licence that is `other` needs a name or a link"
            help_line = 'add licence_name = "acme-1.0", licence_link = "https://…"'
            yield settings.wrong(message, ("card", "licence"), help_line)
        return
    given = [key for key in ("licence_name", "licence_link") if settings.has("card", key)]
    if given and hub_name(licence) is not None:
        message = f'`card.{given[0]}` has no effect: "{licence}" is a licence which the hub knows'
        yield settings.wrong(message, ("card", given[0]), f"remove `{given[0]}`")


def languages(settings: Settings) -> Iterator[Finding]:
    """A language is a code of ISO 639 (FTC105)."""
    given = settings.get("card", "language")
    for index, value in enumerate(given if isinstance(given, list) else ()):
        if isinstance(value, str) and not is_known(value):
            span = settings.origins.value("card", "language", index)
            message = f'`card.language` cannot be "{value}": it is no code of ISO 639'
            yield Finding("FTC105", message, span, help=_language_help(value))


def _language_help(value: str) -> tuple[str, ...]:
    near = closest(value, (*NAMES, *OTHERS))
    if near:
        return (f'write "{NAMES.get(near[0], near[0])}"',)
    if is_known(value.lower()):
        return (f'write "{value.lower()}"',)
    return ('write a code of two or three letters, such as "en"',)


def contact(settings: Settings) -> Iterator[Finding]:
    """Questions go to a mail address or a web page (FTC104)."""
    value = settings.get("card", "contact")
    if isinstance(value, str) and value and not (_MAIL.match(value) or _PAGE.match(value)):
        span = settings.origins.value("card", "contact")
        helps = ('write "team@example.org", or "https://example.org/questions"',)
        yield Finding("FTC104", "`card.contact` is neither a mail address nor a web page", span, help=helps)


def published(settings: Settings) -> Iterator[Finding]:
    """The day of publication is in the calendar (FTC104)."""
    value: Any = settings.get("card", "published")
    if not isinstance(value, str) or not re.match(r"^\d{4}-\d{2}-\d{2}$", value):
        return
    try:
        date.fromisoformat(value)
    except ValueError:
        path: Key = ("card", "published")
        message = f'`card.published` is no day of the calendar: "{value}"'
        yield Finding("FTC104", message, settings.origins.value(*path), help=('write it as "2026-01-31"',))


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    licences,
    names_of_licences,
    languages,
    contact,
    published,
)
