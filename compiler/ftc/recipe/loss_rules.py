"""Settings of [render] that say what carries loss, and make no sense together."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.diagnostics import Finding
from ftc.recipe.settings import Settings

OF_TURNS = ("convention", "tool_calls", "history", "date")
"""Settings about the turns of a conversation."""


def _plain(settings: Settings) -> bool:
    return settings.is_text or settings.get("render", "chat") is False


def trl_marks_turns(settings: Settings) -> Iterator[Finding]:
    """TRL's training templates decide alone what carries loss in a turn."""
    if settings.get("render", "convention") != "trl" or _plain(settings):
        return
    for key in ("reasoning", "tool_calls", "history"):
        if settings.has("render", key) and settings.get("render", key) != "train":
            message = (
                f'`render.{key}` has no effect under convention = "trl": TRL\'s templates mark whole turns'
            )
            help_line = f'remove `{key}`, or write convention = "inference"'
            yield settings.wrong(message, ("render", key), help_line)


def turns_without_chat(settings: Settings) -> Iterator[Finding]:
    """Plain text has no turns, and a document no reasoning before its answer."""
    if not _plain(settings):
        return
    reason = "documents have no turns" if settings.is_text else "`render.chat` is false"
    for key in (*OF_TURNS, *(("reasoning",) if settings.is_text else ())):
        if settings.has("render", key):
            yield settings.wrong(
                f"`render.{key}` has no effect: {reason}", ("render", key), f"remove `{key}`"
            )
