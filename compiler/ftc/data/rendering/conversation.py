"""A row's conversation, checked: messages, tools, and what the row says about its loss and its template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftc.data.rendering.example import Refusal

Message = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")
MEDIA = ("image", "image_url", "audio", "audio_url", "input_audio", "video", "video_url")
"""Parts of a message's content that are no text."""
PLAIN = ("role", "content")
"""The keys of a message that has what it must have, and nothing else."""
VARIABLES = "chat_template_kwargs"
"""The column with variables of the chat template for one row; TRL's name for it."""
GIVEN = ("messages", "tools", "documents", "add_generation_prompt", "conversation", "chat_template")
"""Variables of a chat template which are not the row's to set."""


class Refused(Exception):  # noqa: N818 - carries a refusal out of the rendering of one row
    """A row that cannot be used."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def invalid(reason: str, code: str = "FTC604") -> Refused:
    """The refusal of a row whose values cannot be used."""
    return Refused(Refusal("invalid", code, reason))


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation as a template gets it.

    `silent` are the places of messages with the weight 0: they carry no loss. `variables` are the row's
    own variables for the template.
    """

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    silent: frozenset[int] = frozenset()
    variables: Mapping[str, Any] = field(default_factory=dict)


def parsed(text: str, name: str) -> Any:
    """JSON in a column of text."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise invalid(f"`{name}` is not JSON: {error}") from error


def valid_messages(value: Any) -> list[Message]:
    """A conversation as messages with role and content; raises `Refused`."""
    if isinstance(value, str):
        value = parsed(value, "messages")
    if value is None:
        raise invalid("`messages` is null")
    if not isinstance(value, Sequence) or not value:
        raise invalid("`messages` is empty" if value in ([], "", {}) else "`messages` is not a list")
    return [_valid_message(number, message) for number, message in enumerate(value, 1)]


def _valid_message(number: int, message: Any) -> Message:
    if type(message) is dict and tuple(message) == PLAIN:
        role, content = message.values()
        if role in ROLES and type(content) is str:
            return message
    if not isinstance(message, Mapping):
        raise invalid(f"message {number} is not an object with role and content")
    given = {str(key): value for key, value in message.items() if value is not None}
    role, content = given.get("role"), given.get("content")
    if role not in ROLES:
        shown = "no role" if role is None else f"the unknown role `{role}`"
        raise invalid(f"message {number} has {shown} (known: {', '.join(ROLES)})")
    if content is None and not given.get("tool_calls"):
        raise invalid(f"message {number} ({role}) has no content")
    if content is not None and not isinstance(content, (str, list)):
        raise invalid(f"message {number} ({role}) has content that is not text")
    if isinstance(content, list):
        _without_media(number, content)
    return {"role": role, "content": content or "", **given}


def _without_media(number: int, parts: Sequence[Any]) -> None:
    """Raise `Refused` where a part of a message is no text: a template would leave it out."""
    kinds = [part.get("type") for part in parts if isinstance(part, Mapping)]
    media = next((kind for kind in kinds if kind in MEDIA), None)
    if media is not None:
        raise invalid(f"message {number} holds a part of the type `{media}`; ftc trains on text alone")


def valid_tools(value: Any) -> list[dict[str, Any]] | None:
    """Descriptions of tools, as a list or as JSON; None where there are none. Raises `Refused`."""
    tools = parsed(value, "tools") if isinstance(value, str) else value
    if tools is not None and not (isinstance(tools, list) and all(isinstance(t, dict) for t in tools)):
        raise invalid("`tools` is not a list of tool descriptions")
    return tools or None


def valid_variables(value: Any) -> Mapping[str, Any]:
    """A row's own variables for the template, as an object or as JSON; raises `Refused`."""
    given = parsed(value, VARIABLES) if isinstance(value, str) else value
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise invalid(f"`{VARIABLES}` is not an object")
    taken = [name for name in given if name in GIVEN]
    if taken:
        raise invalid(f"`{VARIABLES}` sets `{taken[0]}`, which is not the row's to set")
    return {str(name): item for name, item in given.items() if item is not None}


def weighed(messages: Sequence[Message]) -> tuple[list[Message], frozenset[int]]:
    """The messages without their weights, and the places of those with the weight 0; raises `Refused`.

    A weight is 0 or 1; 1 says what holds for an assistant's message anyway, and means nothing elsewhere.
    """
    if not any("weight" in message for message in messages):
        return list(messages), frozenset()
    silent = frozenset(place for place, message in enumerate(messages) if _weight(place, message) == 0)
    return [{key: message[key] for key in message if key != "weight"} for message in messages], silent


def _weight(place: int, message: Message) -> float | None:
    weight = message.get("weight")
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight not in (0, 1):
        raise invalid(f"message {place + 1} has the weight {weight!r}; it is 0 (no loss) or 1")
    if weight == 1 and message["role"] != "assistant":
        reason = f"message {place + 1} ({message['role']}) has the weight 1; only answers carry loss"
        raise invalid(reason)
    return float(weight)
