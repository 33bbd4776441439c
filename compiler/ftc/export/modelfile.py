"""A Go template for Ollama out of a trained chat template, by what it writes between messages.

Most chat templates write a message's text between strings that depend on its role and on the message before
it alone. Rendering a few conversations of marks shows these strings; whether they are all there is to the
template is for the comparison on real conversations to say (`ollama.py`), not for this page to assume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ftc.export.go_template import quoted

Message = dict[str, Any]
Render = Callable[[Sequence[Message], bool], str | None]
"""A conversation as text, with the beginning of an answer or without; None where the template refuses it."""

ROLES = ("system", "user", "assistant")
START, OPENING = "", "opening"
"""What stands for the place before the first message, and for a system message that is the first one."""
USUAL = (
    ("user",),
    ("system", "user"),
    ("user", "assistant", "user"),
    ("system", "user", "assistant", "user"),
)
"""Conversations that show what stands before each role behind each other one."""
RARE = (
    ("user", "assistant", "system", "user"),
    ("assistant", "user"),
    ("system", "assistant", "user"),
)
"""Others, which many templates refuse, or put in another order."""


def after(previous: str, role: str) -> str:
    """What stands for a message before the next one: its role; a first system message stands apart."""
    return OPENING if (previous, role) == (START, "system") else role


@dataclass(frozen=True)
class Form:
    """What a template writes: `before[previous, role]` before a message, `answer[role]` before an answer."""

    before: dict[tuple[str, str], str]
    answer: dict[str, str]
    lacking: tuple[tuple[str, ...], ...] = ()
    """Roles of conversations that it does not render as the template does."""

    @property
    def apart(self) -> bool:
        """Whether a first system message is told apart from later ones."""
        return any(previous == OPENING for previous, _ in self.before)


def mark(number: int) -> str:
    """A text that no template contains."""
    return f"\u2042{number}\u2042"


def form_of(render: Render) -> Form | None:
    """The strings between messages; None where they are not the same wherever two roles follow each other."""
    before: dict[tuple[str, str], str] = {}
    answer: dict[str, str] = {}
    lacking: list[tuple[str, ...]] = []
    for roles in (*USUAL, *RARE):
        text = render([{"role": role, "content": mark(n)} for n, role in enumerate(roles)], True)
        if text is None:
            continue
        pieces = between(text, len(roles))
        found = _steps(roles, pieces) if pieces is not None else None
        if found is None or _clashes(found, before, answer):
            if roles in USUAL:
                return None
            lacking.append(roles)
            continue
        before |= dict(found[:-1])
        answer[found[-1][0][0]] = found[-1][1]
    return _joined(Form(before, answer, tuple(lacking))) if (START, "user") in before else None


Step = tuple[tuple[str, str], str]


def _steps(roles: Sequence[str], pieces: list[str]) -> list[Step]:
    """Each piece of text with what stands before it and behind it; the last one begins the answer."""
    found: list[Step] = []
    previous = START
    for role, piece in zip(roles, pieces, strict=False):
        found.append(((previous, role), piece))
        previous = after(previous, role)
    return [*found, ((previous, START), pieces[-1])]


def _clashes(steps: list[Step], before: dict[tuple[str, str], str], answer: dict[str, str]) -> bool:
    (last, _), begins = steps[-1]
    return (
        any(before.get(key, text) != text for key, text in steps[:-1]) or answer.get(last, begins) != begins
    )


def _joined(form: Form) -> Form:
    """The form with a first system message like any other, where nothing tells it apart."""
    first = {own: text for (previous, own), text in form.before.items() if previous == OPENING}
    later = {own: text for (previous, own), text in form.before.items() if previous == "system"}
    if not first or any(later[own] != text for own, text in first.items() if own in later):
        return form
    kept = {key: text for key, text in form.before.items() if key[0] != OPENING}
    return Form(kept | {("system", own): text for own, text in first.items()}, form.answer, form.lacking)


def between(text: str, count: int) -> list[str] | None:
    """What stands before, between and behind the marks; None unless each is there once, in order."""
    pieces: list[str] = []
    for number in range(count):
        head, found, text = text.partition(mark(number))
        if not found or mark(number) in text:
            return None
        pieces.append(head)
    return [*pieces, text]


def template_of(form: Form, bos: str | None) -> str:
    """The Go template; `bos` is the token that the tokenizer puts before the prompt itself."""
    parts = ['{{- $before := "" }}', "{{- range .Messages }}"]
    word = "if"
    for role in ROLES:
        if not any(key[1] == role for key in form.before):
            continue
        parts.append(f'{{{{- {word} eq .Role "{role}" }}}}')
        parts += _before(form, role, bos)
        parts.append("{{- .Content }}")
        word = "else if"
    parts += ["{{- end }}", *_remembered(form), "{{- end }}"]
    for role, text in form.answer.items():
        if text:
            parts.append(f'{{{{- if eq $before "{role}" }}}}{{{{ {quoted(text)} }}}}{{{{- end }}}}')
    return "\n".join(parts)


def _remembered(form: Form) -> list[str]:
    """How the loop remembers a message; a first system message apart, where the template tells it apart."""
    simple = ["{{- $before = .Role }}"]
    if not form.apart:
        return simple
    condition = 'and (eq $before "") (eq .Role "system")'
    return [
        f'{{{{- if {condition} }}}}{{{{- $before = "{OPENING}" }}}}{{{{- else }}}}',
        *simple,
        "{{- end }}",
    ]


def _before(form: Form, role: str, bos: str | None) -> list[str]:
    """What stands before a message, by the role before it; without branches where that is all the same."""
    texts = {previous: text for (previous, own), text in form.before.items() if own == role}
    if START in texts and bos:
        texts[START] = texts[START].removeprefix(bos)
    if len(set(texts.values())) == 1:
        (text,) = set(texts.values())
        return [f"{{{{- {quoted(text)} }}}}"] if text else []
    groups: dict[str, list[str]] = {}
    for previous, text in texts.items():
        groups.setdefault(text, []).append(previous)
    parts: list[str] = []
    for number, (text, names) in enumerate(groups.items()):
        word = "if" if number == 0 else "else if"
        said = " ".join(quoted(name) for name in names)
        parts.append(f"{{{{- {word} eq $before {said} }}}}{{{{ {quoted(text)} }}}}")
    return [*parts, "{{- end }}"]


def messages_of(form: Form, text: str) -> list[Message] | None:
    """The conversation that a prompt is the rendering of, read back by the form; None where it is not one.

    Where texts contain the strings between messages there may be several; the caller renders what is found.
    """
    found: list[Message] = []
    return found if _read(form, text, START, found) else None


def _read(form: Form, text: str, previous: str, found: list[Message]) -> bool:
    """Read the messages that a text may consist of into `found`, as far as it fits."""
    roles = [role for role in ROLES if (previous, role) in form.before]
    fitting = [role for role in roles if text.startswith(form.before[previous, role])]
    return any(_taken(form, role, text, previous, found) for role in fitting)


def _taken(form: Form, role: str, text: str, previous: str, found: list[Message]) -> bool:
    """Whether the rest of a text fits where its next message is one of a role."""
    body = text[len(form.before[previous, role]) :]
    state = after(previous, role) if form.apart else role
    ends = [(body.find(end), name, end) for name, end in _ends(form, state) if end in body]
    for place, following, end in sorted(ends, key=lambda one: (one[0], -len(one[2]))):
        found.append({"role": role, "content": body[:place]})
        rest = body[place:]
        if rest == end if following == START else _read(form, rest, state, found):
            return True
        found.pop()
    return False


def _ends(form: Form, state: str) -> list[tuple[str, str]]:
    """What may stand behind a message: before another role, or at the beginning of the answer."""
    following = [(own, text) for (previous, own), text in form.before.items() if previous == state and text]
    return [*following, *([(START, form.answer[state])] if form.answer.get(state) else [])]
