"""What a finished run's model is asked and answers: prompts as it was trained on them, one or many."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding
from ftc.jobs.opening import INSTEAD, WRITES, OpenRun, refused
from ftc.launch.writer import Asked, Writer, WriterFailed, open_writer

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 512
BATCH = 8
UNDECODED = "\ufffd"
"""What stands for bytes that are no whole character yet."""


@dataclass(frozen=True)
class Settings:
    """How answers are written: `longest` in tokens, the likeliest ones where the temperature is 0."""

    longest: int = LONGEST
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    base: bool = False

    def asked(self, run: OpenRun, prompts: list[list[int]]) -> Asked:
        """The same for some prompts, within the model's context."""
        room = max(1, run.ready.model.context_length - max(map(len, prompts)))
        return Asked(run.stops, min(self.longest, room), self.temperature, self.top_p)

    def seed_of(self, number: int) -> int:
        """The seed of one prompt by its number, so that answers differ and can be had again."""
        return int.from_bytes(sha256(f"{self.seed} {number}".encode()).digest()[:6], "big")


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it; `row` is what it was made of."""

    row: dict[str, Any]
    ids: list[int]


@dataclass(frozen=True)
class Answer:
    """What the model wrote; `ended` by its stop token, or at the longest length, or by the user."""

    prompt: Prompt
    text: str
    tokens: int
    ended: str


class NoPrompt(Exception):  # noqa: N818 - the row's mistake, not the program's
    """A row from which no prompt can be made."""


def cannot_write(run: OpenRun) -> Finding | None:
    """Why a run's model writes nothing; None where it does."""
    head = run.ready.objective.head
    if head == WRITES:
        return None
    name = run.ready.objective.name
    return Finding(
        "FTC772",
        f"the run was trained for {name}, and its model writes no text",
        place=str(run.directory),
        help=(INSTEAD[head],),
    )


def prompt_of(run: OpenRun, row: Mapping[str, Any]) -> Prompt:
    """A row as the prompt that training would have made of it. Raises NoPrompt.

    A row has `messages`, or the columns that the recipe's [render] reads, or a `prompt`.
    """
    from ftc.data.template.chat_template import TemplateProblem

    if not run.is_chat:
        text = _plain(run, row)
        ids = run.ids(text)
    else:
        try:
            ids = run.ids(run.rendered(messages_of(run, row), row.get("tools")))
        except TemplateProblem as problem:
            raise NoPrompt(f"the chat template refuses it: {problem.message}") from problem
    if not ids:
        raise NoPrompt("it has no token")
    if len(ids) >= run.ready.model.context_length:
        raise NoPrompt(f"it has {len(ids):,} tokens, and the model reads {run.ready.model.context_length:,}")
    return Prompt(dict(row), ids)


def _plain(run: OpenRun, row: Mapping[str, Any]) -> str:
    name = "text" if run.ready.render.form == "text" else "prompt"
    if name not in row and "prompt" in row:
        name = "prompt"
    value = _field(run, name, row)
    if not isinstance(value, str):
        raise NoPrompt(f"`{name}` is missing: the run was trained on plain text, so a row has a `{name}`")
    return value


def _field(run: OpenRun, name: str, row: Mapping[str, Any]) -> Any:
    """A role's value: by the recipe's own template where the row has its columns, else the column itself."""
    from ftc.data.rendering.conversation import Refused
    from ftc.data.rendering.fields import field_of

    source = run.ready.render.fields.get(name)
    if name in row or source is None:
        return row.get(name)
    try:
        return field_of(name, source)(row)
    except Refused as refused_row:
        raise NoPrompt(refused_row.refusal.reason) from refused_row


def messages_of(run: OpenRun, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conversation up to the answer that is asked for. Raises NoPrompt."""
    from ftc.data.rendering.conversation import Refused, valid_messages

    try:
        if "messages" in row:
            messages = valid_messages(row["messages"])
        else:
            messages = [*_system(run, row), *_asked(run, row)]
    except Refused as refused_row:
        raise NoPrompt(refused_row.refusal.reason) from refused_row
    while messages and messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if not messages:
        raise NoPrompt("it has no message before the answer")
    return messages


def _system(run: OpenRun, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    value = _field(run, "system", row)
    return [{"role": "system", "content": value}] if isinstance(value, str) else []


def _asked(run: OpenRun, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    from ftc.data.rendering.conversation import valid_messages

    fields = run.ready.render.fields
    name = next((one for one in ("prompt", "user") if one in row or one in fields), "prompt")
    value = _field(run, name, row)
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if value is None:
        raise NoPrompt("it has neither `messages` nor a `prompt`")
    return valid_messages(value)


def read_rows(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The rows of JSON Lines by their line's number; text in place of a row says what is wrong with it."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield number, f"it is not JSON: {error}"
            continue
        if isinstance(row, str):
            row = {"prompt": row}
        yield number, row if isinstance(row, dict) else "it is neither an object nor a text"


def answered(
    run: OpenRun,
    base: Path,
    prompts: list[Prompt],
    settings: Settings,
    progress: Callable[[str, int, int | None], None],
) -> Iterator[Answer]:
    """The answers to prompts, in their order. Raises WriterFailed.

    Prompts of like length are answered together, the same ones each time: the bytes do not change.
    """
    with open_writer(run.directory, base, tuned=not settings.base) as writer:
        writer.ready()
        found: dict[int, Answer] = {}
        order = sorted(range(len(prompts)), key=lambda number: (len(prompts[number].ids), number))
        told = 0
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            found |= _batch(run, writer, prompts, some, settings)
            progress("prompts", len(found), len(prompts))
            while told in found:
                yield found[told]
                told += 1


def _batch(
    run: OpenRun, writer: Writer, prompts: list[Prompt], some: list[int], settings: Settings
) -> dict[int, Answer]:
    ids = [prompts[number].ids for number in some]
    made = writer.written(ids, settings.asked(run, ids), [settings.seed_of(number) for number in some])
    return {number: answer(run, prompts[number], row) for number, row in zip(some, made.rows, strict=True)}


def answer(run: OpenRun, prompt: Prompt, row: list[int], *, stopped: bool = False) -> Answer:
    """A row of tokens as an answer."""
    whole = bool(row) and row[-1] in run.stops
    tokens = row[:-1] if whole else row
    ended = "stop" if whole else "interrupted" if stopped else "length"
    return Answer(prompt, run.tokenizer.decode(tokens, skip_special_tokens=False), len(tokens), ended)


class Spelling:
    """Tokens as text, each piece as soon as its characters are whole."""

    def __init__(self, run: OpenRun) -> None:
        self._run, self._ids, self._said = run, list[int](), ""

    def __call__(self, ids: list[int]) -> str:
        """The text that some more tokens add."""
        self._ids += [number for number in ids if number not in self._run.stops]
        text = self._run.tokenizer.decode(self._ids, skip_special_tokens=False)
        if text.endswith(UNDECODED):
            return ""
        new, self._said = text[len(self._said) :], text
        return new


__all__ = [
    "Answer",
    "Asked",
    "NoPrompt",
    "OpenRun",
    "Prompt",
    "Settings",
    "Spelling",
    "Writer",
    "WriterFailed",
    "answer",
    "answered",
    "cannot_write",
    "messages_of",
    "open_writer",
    "prompt_of",
    "read_rows",
    "refused",
]
