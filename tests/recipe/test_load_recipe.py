"""Loading: layers of a recipe, the place of each setting, overrides, unreadable files."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ftc.diagnostics import Span
from ftc.recipe.load import Loaded, load_recipe

RECIPE = """\
name = "demo"

[model]
base = "org/model"

[data]
sources.rows = "data/rows.csv"
query = \"\"\"
  select question as "prompt", \\
    answer as completion
  from rows
\"\"\"
split = { eval = 0.1 }

[train]
epochs = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def words(span: Span | None) -> str:
    assert span is not None
    return span.source.text[span.start : span.end]


def codes(loaded: Loaded) -> list[str]:
    return [finding.code for finding in loaded.findings]


def test_a_good_recipe_is_typed_and_has_no_finding(here: Path) -> None:
    loaded = load_recipe(write("recipe.toml", RECIPE))
    assert loaded.findings == ()
    assert loaded.recipe is not None
    assert loaded.recipe.train.epochs == 3
    assert loaded.recipe.data.split.eval == 0.1


def test_settings_have_places(here: Path) -> None:
    origins = load_recipe(write("recipe.toml", RECIPE)).origins
    assert words(origins.key("train", "epochs")) == "epochs"
    assert words(origins.value("train", "epochs")) == "3"
    assert words(origins.value("data", "split", "eval")) == "0.1"
    assert words(origins.key("data", "sources", "rows")) == "rows"
    assert words(origins.value("model")) == "[model]"


def test_what_is_absent_falls_back_to_what_is_around_it(here: Path) -> None:
    origins = load_recipe(write("recipe.toml", RECIPE)).origins
    assert words(origins.key("train", "steps")) == "train"
    assert words(origins.value("train", "trl", "optim")) == "[train]"
    assert words(origins.value("data", "split", "group")) == "{ eval = 0.1 }"
    assert origins.key("eval", "metrics") is None
    assert words(origins.header("eval")) == ""


def test_a_place_inside_a_string_is_found_behind_escapes(here: Path) -> None:
    loaded = load_recipe(write("recipe.toml", RECIPE))
    assert loaded.recipe is not None
    query = loaded.recipe.data.query
    assert isinstance(query, str)
    for word in ("select", '"prompt"', "answer", "rows"):
        at = query.index(word)
        assert words(loaded.origins.inside(("data", "query"), at, at + len(word))) == word
    end = loaded.origins.inside(("data", "query"), len(query), len(query) + 1)
    assert end is not None
    assert end.source.position(end.start)[0] == 12


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_windows_files_give_the_same_values_and_lines(here: Path, newline: str, mark: str) -> None:
    text = mark + RECIPE.replace("\n", newline).replace("epochs", "epoch")
    loaded = load_recipe(write("recipe.toml", text))
    assert [finding.span.place for finding in loaded.findings if finding.span] == ["recipe.toml:16:1"]
    plain = load_recipe(write("plain.toml", RECIPE))
    windows = load_recipe(write("windows.toml", mark + RECIPE.replace("\n", newline)))
    assert windows.recipe == plain.recipe
    assert windows.text == plain.text


def test_a_recipe_inherits_what_it_does_not_give(here: Path) -> None:
    write(
        "bases/model.toml", '[model]\nbase = "org/model"\nrevision = "v1"\n[train]\nbatch = 8\nepochs = 2\n'
    )
    write("bases/data.toml", 'extends = "model.toml"\n[data]\nsources.rows = "../data/rows.csv"\n')
    path = write("mine/recipe.toml", 'extends = "../bases/data.toml"\n[train]\nbatch = 4\n')
    loaded = load_recipe(path)
    assert loaded.findings == ()
    assert loaded.recipe is not None
    assert (loaded.recipe.train.batch, loaded.recipe.train.epochs) == (4, 2)
    assert loaded.recipe.model.revision == "v1"
    assert loaded.recipe.extends is None
    origins = loaded.origins
    places = [
        origins.value(*key) for key in (("train", "batch"), ("train", "epochs"), ("data", "sources", "rows"))
    ]
    assert [place.place for place in places if place] == [
        "mine/recipe.toml:3:9",
        "bases/model.toml:6:10",
        "bases/data.toml:3:16",
    ]
    assert origins.directory("train", "batch") == Path("mine")
    assert origins.directory("data", "sources", "rows").resolve() == here / "bases"


def test_the_resolved_text_is_a_recipe_of_its_own(here: Path) -> None:
    write("bases/good.toml", '[model]\nbase = "./local"\n[data]\nsources.rows = "../data/rows.csv"\n')
    path = write("mine/recipe.toml", 'extends = "../bases/good.toml"\n[train]\nepochs = 1\n')
    loaded = load_recipe(path, ["data.sources.more=other.csv", "data.query=select * from rows"])
    values = tomllib.loads(loaded.text)
    assert values["data"]["sources"] == {"rows": "../data/rows.csv", "more": "../other.csv"}
    assert values["model"]["base"] == "../bases/local"
    write("mine/resolved.toml", loaded.text)
    again = load_recipe(Path("mine/resolved.toml"))
    assert again.findings == ()
    assert again.text == loaded.text


def test_more_specific_settings_displace_those_they_exclude(here: Path) -> None:
    base = RECIPE + "[tune]\nrank = 8\n[render]\nprompt = '{{ prompt }}'\ncompletion = '{{ completion }}'\n"
    write("base.toml", base)
    text = "extends = 'base.toml'\ntrain.steps = 10\ntune.method = 'full'\nrender.text = '{{ prompt }}'\n"
    loaded = load_recipe(write("recipe.toml", text))
    assert loaded.findings == ()
    assert loaded.recipe is not None
    assert (loaded.recipe.train.steps, loaded.recipe.train.epochs) == (10, None)
    assert loaded.recipe.render.completion is None
    assert loaded.recipe.tune.method == "full"
    override = load_recipe(Path("recipe.toml"), ["train.epochs=1"])
    assert override.recipe is not None
    assert (override.recipe.train.steps, override.recipe.train.epochs) == (None, 1)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.epochs=1", 1),
        ("train.epochs = 0.5", 0.5),
        ("model.base=./my model", "./my model"),
        ("model.base='a=b'", "a=b"),
        ("eval.labels=['yes', 'no']", ["yes", "no"]),
        ("data.split={ eval = 10 }", {"eval": 10}),
        ('"model"."base"=x', "x"),
        ("train.gradient_checkpointing=true", True),
        ("data.query=select a from b where c = 'd'", "select a from b where c = 'd'"),
        ("model.base=a\nb = 2", "a\nb = 2"),
        ("name=1.2.3", "1.2.3"),
    ],
)
def test_an_override_is_toml_or_a_bare_word(here: Path, override: str, value: object) -> None:
    loaded = load_recipe(write("recipe.toml", RECIPE), [override])
    here_: object = tomllib.loads(loaded.text)
    for part in override.partition("=")[0].strip().replace('"', "").split("."):
        assert isinstance(here_, dict)
        here_ = here_[part]
    assert here_ == value


@pytest.mark.parametrize(
    ("override", "column", "message"),
    [
        ("train.epochs", 1, "KEY=VALUE"),
        ("=3", 1, "names no key"),
        ("train.epochs=", 13, "gives no value"),
        ("train..epochs=3", 1, "is not a key"),
        ("data.sources[0]=x", 13, "`[` cannot stand in a key"),
        ("eval.labels=['yes'", 13, "begins like a TOML array"),
        ('model.base="x', 12, "begins like a TOML string"),
        ("extends=other.toml", 1, "cannot be set on the command line"),
    ],
)
def test_an_override_that_is_none_is_shown_as_it_was_typed(
    here: Path, override: str, column: int, message: str
) -> None:
    loaded = load_recipe(write("recipe.toml", RECIPE), [override])
    (finding,) = loaded.findings
    assert (finding.code, finding.span and finding.span.place) == ("FTC109", f"--set:1:{column}")
    assert message in finding.message
    assert loaded.recipe is None


def test_mistakes_in_an_override_point_into_it(here: Path) -> None:
    overrides = ["train.batch=0", "train.epoch=3", "render.text={{ a | uper }}"]
    loaded = load_recipe(write("recipe.toml", RECIPE), overrides)
    marked = {(f.code, f.span.source.text, words(f.span)) for f in loaded.findings if f.span}
    assert marked == {
        ("FTC104", overrides[0], "0"),
        ("FTC102", overrides[1], "epoch"),
        ("FTC303", overrides[2], "uper"),
    }
    assert loaded.origins.directory("train", "batch") == here


def test_the_last_of_two_overrides_wins(here: Path) -> None:
    loaded = load_recipe(write("recipe.toml", RECIPE), ["train.epochs=1", "train.epochs=2"])
    assert loaded.recipe is not None
    assert loaded.recipe.train.epochs == 2


def test_a_missing_recipe_names_its_neighbour(here: Path) -> None:
    write("recipe.toml", RECIPE)
    (finding,) = load_recipe(Path("recpie.toml")).findings
    assert (finding.code, finding.place) == ("FTC110", "recpie.toml")
    assert finding.help == ("did you mean `recipe.toml`?",)


def test_a_directory_names_the_recipe_in_it(here: Path) -> None:
    write("demo/recipe.toml", RECIPE)
    (finding,) = load_recipe(Path("demo")).findings
    assert finding.code == "FTC110"
    assert finding.help == ("name the recipe in it: demo/recipe.toml",)


def test_a_recipe_that_is_not_utf8_shows_the_byte(here: Path) -> None:
    Path("recipe.toml").write_bytes(RECIPE.encode() + b"# caf\xe9\n")
    (finding,) = load_recipe(Path("recipe.toml")).findings
    assert finding.code == "FTC110"
    assert "0xe9" in finding.message
    assert finding.span is not None
    assert finding.span.place == "recipe.toml:17:6"


@pytest.mark.parametrize("data", [b"\xff\xfea\x00=\x001\x00", b"PAR1\x00\xff\x93", b"\x00" * 10])
def test_binary_files_are_refused(here: Path, data: bytes) -> None:
    Path("recipe.toml").write_bytes(data)
    loaded = load_recipe(Path("recipe.toml"))
    assert codes(loaded)[0] in ("FTC110", "FTC101")
    assert loaded.recipe is None


def test_a_huge_file_is_not_read_as_a_recipe(here: Path) -> None:
    with Path("rows.jsonl").open("wb") as file:
        file.truncate(2**32)
    (finding,) = load_recipe(Path("rows.jsonl")).findings
    assert "too large" in finding.message


def test_a_circle_of_recipes_is_printed(here: Path) -> None:
    write("a.toml", "extends = 'b.toml'\n" + RECIPE)
    write("b.toml", "extends = 'c.toml'\n")
    write("c.toml", "extends = 'b.toml'\n")
    (finding,) = load_recipe(Path("a.toml")).findings
    assert (finding.code, finding.span and finding.span.place) == ("FTC108", "c.toml:1:11")
    assert finding.notes == ("b.toml → c.toml → b.toml",)


def test_all_mistakes_of_a_recipe_come_in_the_order_of_its_text(here: Path) -> None:
    text = RECIPE.replace("epochs", "epoch").replace("base", "bsae").replace("0.1", '"0.1"')
    lines = [
        f.span.source.position(f.span.start)[0] for f in load_recipe(write("r.toml", text)).findings if f.span
    ]
    assert lines == [4, 13, 16]


@pytest.mark.parametrize(
    "text", ["", "a = " + "[" * 5000, "a = " + "9" * 5000, "[" * 3000, "\x00", "a = {b = 1\n"]
)
def test_no_text_raises(here: Path, text: str) -> None:
    loaded = load_recipe(write("recipe.toml", text))
    assert loaded.recipe is None
    assert loaded.findings


def test_loading_imports_nothing_heavy(here: Path) -> None:
    write("recipe.toml", RECIPE)
    program = (
        "import sys; from pathlib import Path; from ftc.recipe.load import load_recipe; "
        "assert load_recipe(Path('recipe.toml')).recipe; print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {
        "jinja2",
        "duckdb",
        "torch",
        "transformers",
        "trl",
        "pyarrow",
        "numpy",
        "pandas",
        "rich",
        "click",
    }
    assert heavy & set(done.stdout.split()) == set()
