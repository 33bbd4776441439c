"""Mistakes in one recipe do not hide each other, and none is reported twice or makes up another."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest

from ftc.api import check
from models import write_tiny_tokenizer

BAD = Path(__file__).parent.parent / "bad_recipes"
GOOD = '''\
seed = 1

[model]
base = "data/model"
chat_template = "data/chat.jinja"

[data]
sources.tickets = "data/tickets.jsonl"
sources.people = { path = "data/people.csv", header = true }
query = """
  select t.id as id, t.subject, t.reply, p.city, p.name
  from tickets t join people p on p.name = t.customer
"""
id = "id"
split = { eval = 1, group = "name" }

[render]
system = "You answer people of {{ city }}."
user = "{{ subject }}"
assistant = "{{ reply }}"

[tune]
rank = 4

[train]
epochs = 2
schedule = "linear"

[train.trl]
adam_beta1 = 0.8
'''
MISTAKES = {
    "toml": ("seed = 1", "seed = one", "FTC101"),
    "key": ("epochs = 2", "epoch = 2", "FTC102"),
    "type": ("rank = 4", 'rank = "4"', "FTC103"),
    "range": ("eval = 1", "eval = 0", "FTC104"),
    "word": ('"linear"', '"liner"', "FTC105"),
    "option": ("header = true", "heder = true", "FTC102"),
    "tickets": ("tickets.jsonl", "tiket.jsonl", "FTC201"),
    "people": ("people.csv", "peple.csv", "FTC201"),
    "sql": ("select t.id", "selct t.id", "FTC203"),
    "subject": ("t.subject", "t.subjct", "FTC204"),
    "city": ("p.city", "p.cty", "FTC204"),
    "table": ("join people p", "join peopel p", "FTC205"),
    "outside": ("t.id as id", "getenv('ID') as id", "FTC207"),
    "id": ('id = "id"', 'id = "key"', "FTC208"),
    "group": ('group = "name"', 'group = "nmae"', "FTC208"),
    "unstable": ("t.customer\n", "t.customer where random() < 0.5\n", "FTC215"),
    "jinja": ("{{ subject }}", "{{ subject }", "FTC301"),
    "variable": ("{{ city }}", "{{ county }}", "FTC302"),
    "filter": ("{{ reply }}", "{{ reply | uper }}", "FTC303"),
    "template": ("chat.jinja", "chta.jinja", "FTC307"),
    "model": ("data/model", "data/modle", "FTC401"),
    "trl": ("adam_beta1", "adam_betta1", "FTC503"),
}
OF_COLUMNS = {"id", "group", "variable"}
HIDES = {
    "toml": {"table"},
    "sql": {"subject", "city", "table", "outside", "unstable", *OF_COLUMNS},
    "tickets": {"subject", *OF_COLUMNS},
    "people": {"city", *OF_COLUMNS},
    "option": {"city", *OF_COLUMNS},
    "table": {"city", *OF_COLUMNS},
}
"""Mistakes without whose mending nothing can be said of some others: columns nobody can know."""

Said = set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    shutil.copytree(BAD / "data", folder / "data")
    write_tiny_tokenizer(folder / "data/model")
    (folder / "data/model/model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    return folder


def said(folder: Path, names: tuple[str, ...]) -> Said:
    """Code, message and marked text of each finding."""
    text = GOOD
    for name in names:
        old, new, _ = MISTAKES[name]
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "recipe.toml"
    path.write_text(text, "utf-8")
    findings = check(path).findings
    marked = [(f.code, f.message, f.span.source.text[f.span.start : f.span.end]) for f in findings if f.span]
    assert len(marked) == len(set(marked)) == len(findings)
    return set(marked)


def test_the_recipe_without_mistakes_has_none(folder: Path) -> None:
    assert said(folder, ()) == set()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_alone_is_one_finding(folder: Path, name: str) -> None:
    assert [code for code, *_ in said(folder, (name,))] == [MISTAKES[name][2]]


@pytest.mark.parametrize("first", MISTAKES)
def test_two_mistakes_are_two_findings(folder: Path, first: str) -> None:
    alone = {name: said(folder, (name,)) for name in MISTAKES}
    for pair in combinations(MISTAKES, 2):
        if pair[0] == first:
            hidden = HIDES.get(pair[0], set()) | HIDES.get(pair[1], set())
            wanted = set().union(*(alone[name] for name in pair if name not in hidden))
            assert {code for code, *_ in said(folder, pair)} == {code for code, *_ in wanted}, pair
            assert len(said(folder, pair)) == len(wanted), pair


def test_all_mistakes_that_do_not_hide_others_come_out_together(folder: Path) -> None:
    names = tuple(name for name in MISTAKES if name not in HIDES)
    assert sorted(code for code, *_ in said(folder, names)) == sorted(MISTAKES[name][2] for name in names)
