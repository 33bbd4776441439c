"""Every recipe in tests/bad_recipes has mistakes, marked on their lines; ftc must find those and no others.

A marker is a comment at the end of the line: `# E[FTC102]`, with a column `# E[FTC102@9]` if that matters.
Where a line takes no comment, the file's first line has the marker with the line: `# E[FTC301@L7:12]`; a
finding in another file has its name in front, `# E[FTC103@bases/base.toml:L4]`, and one without a place is
`# E[FTC110@-]`.
Beside each recipe stands the whole text that people see. `pytest --update` rewrites both.
"""

from __future__ import annotations

import re
import struct
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftc.api import check
from ftc.diagnostics import Finding
from ftc.diagnostics.codes import CODES
from ftc.diagnostics.text import render
from ftc.recipe.load import load_recipe

FOLDER = Path(__file__).parent.parent / "bad_recipes"
RECIPES = sorted(path.name for path in FOLDER.glob("*.toml"))
MARKER = re.compile(r"E\[(FTC\d+)(?:@(?:(-)|(?:([\w./-]+):)?L(\d+)(?::(\d+))?|(\d+)))?\]")
COMMENT = re.compile(r"\s*# E\[.*$")
Mark = tuple[str, str, int]


def findings_of(path: Path) -> tuple[Finding, ...]:
    """Everything that `ftc check` says of a recipe."""
    return check(path).findings


def found_marks(path: Path) -> list[Mark]:
    """Code, other file and line of each finding; line 0 where a finding has no place in a text."""
    marks = []
    for finding in findings_of(path):
        span = finding.span
        name = span.source.name if span and span.source.name != path.name else ""
        marks.append((finding.code, name, span.source.position(span.start)[0] if span else 0))
    return sorted(marks)


def written_marks(text: str) -> list[Mark]:
    """The marks which the comments of a recipe announce."""
    marks = []
    for number, line in enumerate(text.splitlines(), 1):
        for code, nowhere, name, far, _, _ in MARKER.findall(line):
            marks.append((code, name, 0 if nowhere else int(far or number)))
    return sorted(marks)


def rendered(path: Path) -> str:
    """What people see, without the versions of other packages."""
    text = "\n\n".join(render(finding, color=False, width=80) for finding in findings_of(path)) + "\n"
    return re.sub(r"(TRL|transformers) \d\S*", r"\1 X", text)


def columns_agree(path: Path, text: str) -> bool:
    """Whether each mark that gives a column is met by a finding in that column."""
    places = {
        (f.code, *f.span.source.position(f.span.start))
        for f in findings_of(path)
        if f.span and f.span.source.name == path.name
    }
    wanted = [
        (code, int(far or number), int(column or near))
        for number, line in enumerate(text.splitlines(), 1)
        for code, _, name, far, column, near in MARKER.findall(line)
        if (column or near) and not name
    ]
    return places >= set(wanted)


def same_values(candidate: list[str], lines: list[str]) -> bool:
    """Whether a recipe still says the same with a comment added, which may have come to stand in a string."""
    try:
        return tomllib.loads("\n".join(candidate)) == tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return all("@" not in line for line in set(lines) - set(candidate))


def marked(path: Path) -> str:
    """The recipe's text with the marks of its findings: on their lines where a comment can stand there."""
    lines = [COMMENT.sub("", line) for line in path.read_text("utf-8").split("\n")]
    marks, header = found_marks(path), []
    path.write_text("\n".join(lines), "utf-8")
    marks = found_marks(path)
    for number in sorted({line for _, name, line in marks if line and not name}):
        comment = " # " + " ".join(f"E[{code}]" for code, name, line in marks if line == number and not name)
        candidate = [*lines[: number - 1], lines[number - 1] + comment, *lines[number:]]
        path.write_text("\n".join(candidate), "utf-8")
        if number > 1 and found_marks(path) == marks and same_values(candidate, lines):
            lines = candidate
        else:
            header += [f"E[{code}@L{line}]" for code, name, line in marks if line == number and not name]
    header += [
        f"E[{code}@{name + ':L' if name else ''}{line or '-'}]"
        for code, name, line in marks
        if name or not line
    ]
    if header:
        lines[0] += " # " + " ".join(header)
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def some_weights() -> None:
    """A file of weights without a tensor for the model of the recipes, which none of them reads."""
    (FOLDER / "data/model/model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")


@pytest.mark.parametrize("name", RECIPES)
def test_each_mistake_is_found_on_its_line(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(FOLDER)
    path = Path(name)
    snapshot = path.with_suffix(".txt")
    if request.config.getoption("--update"):
        path.write_text(marked(path), "utf-8")
        snapshot.write_text(rendered(path), "utf-8")
    text = path.read_text("utf-8")
    assert written_marks(text)
    assert found_marks(path) == written_marks(text)
    assert columns_agree(path, text)
    assert rendered(path) == snapshot.read_text("utf-8")


def test_each_snapshot_has_its_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {Path(name).stem for name in RECIPES}


def test_the_recipes_cover_the_language() -> None:
    text = "".join((FOLDER / name).read_text("utf-8") for name in RECIPES)
    shown = {code for code, *_ in MARKER.findall(text)}
    compiled = {"FTC210", "FTC211", "FTC212", "FTC213", "FTC304", "FTC305", "FTC306", "FTC308", "FTC310"}
    compiled |= {"FTC311", "FTC312"}  # of the template and the tokens, which a plan looks at
    compiled |= {"FTC219", "FTC225", "FTC226"}  # of a query's run, of the rows' sides, of what is installed
    compiled |= {"FTC223"}  # a source that was fetched before and cannot be now
    compiled |= {"FTC227", "FTC228", "FTC229"}  # they name the project's directory, or code beside a model
    imported = {code for code in CODES if "FTC120" <= code < "FTC130"}  # tests/importing
    own = {code for code in CODES if code < "FTC400"} - compiled - imported
    own |= {"FTC401", "FTC402", "FTC403", "FTC405", "FTC501", "FTC502", "FTC503", "FTC504"}
    own |= {"FTC850", "FTC851", "FTC852", "FTC853"}
    assert own - shown <= {"FTC109", "FTC110"}, "overrides and unreadable files have tests of their own"
    assert len(RECIPES) >= 290


INSERTED = st.sampled_from(["", '"', "[", "]", "{{", "=", "\n", "\\u", "'''", "#", "\t", "1"])
EDITS = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 8), INSERTED), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(RECIPES), EDITS)
def test_no_text_however_broken_raises(tmp_path: Path, name: str, edits: list[tuple[int, int, str]]) -> None:
    text = (FOLDER / name).read_text("utf-8")
    for at, cut, new in edits:
        text = text[:at] + new + text[at + cut :]
    path = tmp_path / "recipe.toml"
    path.write_text(text, "utf-8")
    loaded = load_recipe(path)
    assert loaded.recipe is not None or loaded.findings
    for finding in findings_of(path):
        assert render(finding, color=False)
        assert finding.code in CODES
    tomllib.loads(loaded.text)
