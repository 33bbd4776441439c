"""Every command and recipe that the documentation shows is run, planned or checked; none vanishes unseen."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from doc_blocks import MODEL, ROOT, SHELLS, Block, all_blocks, blocks, pages

import ftc
from ftc.cli.main import COMMANDS, run
from ftc.diagnostics.codes import CODES
from ftc.diagnostics.explain import explanation
from ftc.recipe.load import load_recipe

BLOCKS = {"sh": 31, "text": 22, "toml": 21, "python": 9, "": 4, "yaml": 3, "json": 2, "console": 2}
"""How many fenced blocks of each language the pages have; those without one are lists of pages."""

GUIDES: dict[str, dict[str, int]] = {
    "continued-pretraining": {"planned": 1, "run": 1},
    "evaluate-and-gate": {"parsed": 3, "planned": 1, "python": 1, "run": 1},
    "first-fine-tune": {"parsed": 2, "planned": 1, "python": 1, "run": 3},
    "from-csv": {"python": 1, "run": 4},
    "migrate": {"python": 1, "run": 7},
    "preferences": {"planned": 1, "python": 1, "run": 3},
    "qlora-on-one-gpu": {"parsed": 3, "python": 1, "run": 2},
}
"""What each guide has its reader do: what is run, what is planned instead, and what is only parsed."""

RECIPES_OF_DIAGNOSTICS = 127
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
LANGUAGE = ("FTC101", "FTC102", "FTC103", "FTC104", "FTC105")

OTHERS = {"python", "python3", "pip", ".venv/bin/pip", ".venv/bin/pytest", "sphinx-build", "taplo"}
"""Programs that are not ftc's."""

RUN = {"check", "plan", "show", "init", "import", "explain", "schema"}
PLANNED = {"build", "lock", "sweep", "report"}
"""What is not done for a recipe, which is planned with the same options instead."""

BASE = """
[model]
base = "model"
[data]
sources = { rows = "rows.jsonl", support = "support.jsonl" }
query = "select messages from rows"
split = { eval = 0.5 }
"""
TASK = "task: our_task\ndataset_path: json\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: 0\n"
CHAT = [{"role": "user", "content": "what is it?"}, {"role": "assistant", "content": "a fox"}]


def test_as_many_blocks_are_found_as_there_are() -> None:
    found = Counter(block.language for page in pages() for block in blocks(page))
    assert found == BLOCKS


def ftc_arguments(words: list[str]) -> list[str] | None:
    """The arguments of ftc's command line, or None for another program that the docs may name."""
    if words[0] in ("ftc", ".venv/bin/ftc"):
        return words[1:]
    assert words[0] in OTHERS, words
    return None


def parsed(arguments: list[str]) -> click.Context:
    """The context that click makes of a command line: its options exist, and its values have their types."""
    name, *rest = arguments
    assert name in COMMANDS, arguments
    command: click.Command = import_module(COMMANDS[name]).command
    return command.make_context(name, list(rest), help_option_names=["-h", "--help"])


COMMAND_BLOCKS = all_blocks(*SHELLS)


@pytest.mark.parametrize("block", COMMAND_BLOCKS, ids=lambda block: block.place)
def test_a_command_line_is_understood(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert block.commands
    for words in block.commands:
        arguments = ftc_arguments(words)
        if arguments:
            try:
                parsed(arguments)
            except click.BadParameter as error:  # options are parsed before their values are looked at
                assert "does not exist" in error.message, block.place  # noqa: PT017 - a run, a key


EXAMPLE_BLOCKS = [block for block in COMMAND_BLOCKS if not block.page.startswith("docs/")]


def test_the_recipes_of_the_examples_commands_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a copy, where the scripts that a page names are run before."""
    shutil.copytree(
        ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("rules.jsonl", "runs")
    )
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    checked, ran = [], []
    for block in EXAMPLE_BLOCKS:
        monkeypatch.chdir((tmp_path / block.page).parent)
        for words in block.commands:
            if words[0] == "python" and words[1].endswith(".py"):
                subprocess.run([sys.executable, *words[1:]], check=True)
                ran.append(words[1])
            arguments = ftc_arguments(words)
            if arguments and arguments[0] in RUN | PLANNED:
                for recipe in arguments[1:]:
                    path = Path(recipe)
                    found = ftc.check(path / "recipe.toml" if path.is_dir() else path)
                    assert found.findings == (), recipe
                    checked.append(recipe)
    assert (len(checked), ran) == (5, ["rules.py"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A directory with what the recipes of the docs read."""
    place = tmp_path_factory.mktemp("docs") / "project"
    for folder in ("data/tickets", "tasks", "../domain"):
        (place / folder).mkdir(parents=True)
    (place / "model").symlink_to(tiny_model)
    (place / "base.toml").write_text(BASE, encoding="utf-8")
    (place / "tasks" / "our_task.yaml").write_text(TASK, encoding="utf-8")
    query = (ROOT / "examples" / "question-routing" / "questions.sql").read_text(encoding="utf-8")
    (place / "questions.sql").write_text(query, encoding="utf-8")
    domain = '[model]\nbase = "../project/model"\n[data]\nsources.rows = "../project/rows.jsonl"\n'
    written(place.parent / "domain", domain)
    columns = {
        "prompt": "q",
        "completion": "a",
        "question": "q",
        "answer": "a",
        "reply": "r",
        "day": "2026-01-31",
    }
    rows = "".join(json.dumps(columns | {"messages": CHAT}) + "\n" for _ in range(40))
    for name in ("rows", "support"):
        (place / f"{name}.jsonl").write_text(rows, encoding="utf-8")
    (place / "metrics.py").write_text("def polite(answer):\n    return 1.0\n", encoding="utf-8")
    ticket = {"subject": ["s"], "body": ["b"], "reply": ["r"], "rating": [5], "customer_id": ["c"]}
    pq.write_table(pa.table(ticket), place / "data" / "tickets" / "one.parquet")
    return place


def fragments() -> list[Block]:
    """TOML that is a recipe, or a part of one, and no file of a guide."""
    found = all_blocks("toml")
    return [block for block in found if not block.file and not block.reason]


@pytest.mark.parametrize("block", fragments(), ids=lambda block: block.place)
def test_a_recipe_or_a_part_of_one_checks(block: Block, prepared: Path) -> None:
    text = block.text.replace(", … }", " }")
    whole = "[model]" in text and "[data]" in text
    text = text if whole else f'extends = "base.toml"\n{text}'
    found = ftc.check(written(prepared, MODEL.sub("model", text)))
    assert found.findings == (), block.place


def written(place: Path, text: str) -> Path:
    """A recipe beside the files that it reads."""
    path = place / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_recipes_of_the_diagnostics_slip_where_they_are_meant_to(prepared: Path) -> None:
    """A page of `ftc explain` shows no key and no value that the language does not have, but for its own."""
    looked, slips = 0, {}
    for code in CODES:
        for text in TOML.findall(explanation(code) or ""):
            whole = "extends" in text or ("[model]" in text and "[data]" in text)
            path = written(prepared, text if whole else f'extends = "base.toml"\n{text}')
            found = {finding.code for finding in load_recipe(path).findings if finding.code in LANGUAGE}
            looked += 1
            if found - {code}:
                slips[code] = found
    assert slips == {"FTC216": {"FTC104"}, "FTC854": {"FTC102"}}  # a digest cut short; a file of prices
    assert looked == RECIPES_OF_DIAGNOSTICS


@pytest.mark.parametrize("block", all_blocks("python"), ids=lambda block: block.place)
def test_python_can_be_compiled(block: Block) -> None:
    compile(block.text, block.place, "exec")


class Reader:
    """Somebody who does what a guide says, in an empty directory, with a tiny model instead of its own."""

    def __init__(self, place: Path, model: Path, out: Callable[[], str]) -> None:
        self.place, self.model, self.out = place, model, out
        self.did: Counter[str] = Counter()
        self.done: set[tuple[str, ...]] = set()

    def write(self, block: Block) -> None:
        assert block.file is not None
        (self.place / block.file).parent.mkdir(parents=True, exist_ok=True)
        (self.place / block.file).write_text(block.text, encoding="utf-8")

    def put_model(self) -> None:
        for recipe in self.place.glob("*.toml"):
            recipe.write_text(
                MODEL.sub(str(self.model), recipe.read_text(encoding="utf-8")), encoding="utf-8"
            )

    def type(self, words: list[str], block: Block) -> None:
        if words[0] == "python" and words[1:] and (self.place / words[1]).is_file():
            exec(compile((self.place / words[1]).read_text(encoding="utf-8"), words[1], "exec"), {})  # noqa: S102
            self.did["python"] += 1
            return
        arguments = ftc_arguments(words)
        self.put_model()
        if not arguments or block.reason:
            self.did["parsed"] += 1
            return
        self.do(arguments, block)

    def do(self, arguments: list[str], block: Block) -> None:
        name = arguments[0]
        kind = "run" if name in RUN else "planned" if name in PLANNED else "parsed"
        self.did[kind] += 1
        if kind == "planned":
            stated = parsed(arguments).params
            sets = [word for given in stated.get("overrides", ()) for word in ("--set", given)]
            recipes = stated.get("recipes") or [stated["target"]]
            arguments = ["plan", *recipes, *sets]
        text = "".join(path.read_text(encoding="utf-8") for path in sorted(self.place.glob("*.toml")))
        done = (*arguments, text)
        if kind != "parsed" and done not in self.done:
            self.done.add(done)
            code = run([self.tiny(word) for word in arguments])
            assert code == block.code, f"{block.place}: ftc {' '.join(arguments)}\n{self.out()}"

    def tiny(self, word: str) -> str:
        return MODEL.sub(str(self.model), word)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "guides").glob("*.md")), ids=lambda page: page.stem)
def test_a_guide_can_be_followed(
    page: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, tiny_model, lambda: "".join(capsys.readouterr()))
    for block in blocks(page):
        if block.file:
            reader.write(block)
        elif block.language in SHELLS:
            for words in block.commands:
                reader.type(words, block)
    assert dict(reader.did) == GUIDES[page.stem]
