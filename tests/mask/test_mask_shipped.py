"""The chat templates that ftc ships: each is proved on ordinary conversations, and says how its turns end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mask_cases import CASES, SPECIAL, audit_of, mask_of

from ftc.data.chat_template import ChatTemplate, TemplateProblem
from ftc.data.example import Rendered

FOLDER = Path(__file__).parents[2] / "templates"
ORDINARY = [case for case in CASES if case.tools is None]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jinja")), ids=lambda path: path.stem)
def test_a_shipped_template_is_proved(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    stop = re.search(r"^stop: (\S+)$", source, re.MULTILINE)
    assert stop is not None
    template = ChatTemplate(source, special_tokens=SPECIAL)
    for case in ORDINARY:
        masked = mask_of(template, case.messages, train_on="assistant", stop_tokens=(stop[1],))
        assert isinstance(masked, Rendered), (case.name, masked)
        assert audit_of(template, case.messages, masked) is None
        answers = [m["content"] + stop[1] for m in case.messages if m["role"] == "assistant"]
        assert [piece.text for piece in masked.pieces if piece.trained] == answers, case.name


def test_a_message_nested_without_end_is_refused() -> None:
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    template = ChatTemplate("{{ messages | length }}", special_tokens={})
    with pytest.raises(TemplateProblem, match="nested too deeply"):
        template.render([{"role": "user", "content": nested}])
