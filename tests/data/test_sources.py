"""Sources and queries as a recipe declares them, with findings at the recipe's own text."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.queries import query_findings
from ftc.facts.query import Described
from ftc.facts.sources import ResolvedSource, resolve_source
from ftc.recipe.load import load_recipe

HEAD = '[model]\nbase = "some/model"\n'
ROW = '{"prompt": "a", "completion": "b"}\n'


@pytest.fixture
def here(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "deep" / "er").mkdir(parents=True)
    for name in ("b.jsonl", "a.jsonl", "deep/c.jsonl", "deep/er/d.jsonl"):
        (data / name).write_text(ROW)
    (data / "x.csv").write_text("a,b\n1,2\n")
    (data / "x.tsv").write_text("a\tb\n1\t2\n")
    (data / "[1].jsonl").write_text(ROW)
    (data / "empty.jsonl").write_text("")
    (data / "notes.dat").write_text("hello")
    return tmp_path


def resolve(here: Path, data: str) -> tuple[tuple[ResolvedSource, ...], tuple[Finding, ...]]:
    path = here / "recipe.toml"
    path.write_text(HEAD + data, encoding="utf-8")
    loaded = load_recipe(path)
    assert loaded.recipe is not None, loaded.findings
    cache, names = Cache(), loaded.recipe.data.sources
    found = [resolve_source(loaded.recipe, name, loaded.origins, cache) for name in names]
    sources = tuple(source for source in found if isinstance(source, ResolvedSource))
    return sources, tuple(finding for some in found if isinstance(some, tuple) for finding in some)


def query(here: Path, data: str) -> tuple[Described | None, tuple[Finding, ...]]:
    sources, findings = resolve(here, data)
    assert not findings
    loaded = load_recipe(here / "recipe.toml")
    assert loaded.recipe is not None
    described, problems = query_findings(loaded.recipe, loaded.origins, sources)
    return described.rows[0] if described.rows else None, problems


def files(sources: tuple[ResolvedSource, ...]) -> list[str]:
    return [file.name for source in sources for file in source.step.files]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("data/a.jsonl", ["data/a.jsonl"]),
        ("data/?.jsonl", ["data/a.jsonl", "data/b.jsonl"]),
        (
            "data/**/?.jsonl",
            ["data/a.jsonl", "data/b.jsonl", "data/deep/c.jsonl", "data/deep/er/d.jsonl"],
        ),
        ("data/[1].jsonl", ["data/[1].jsonl"]),
        ("data/[[]1].jsonl", ["data/[1].jsonl"]),
        ("./data/../data/a.jsonl", ["data/../data/a.jsonl"]),
    ],
)
def test_files_in_the_order_of_their_names(here: Path, location: str, expected: list[str]) -> None:
    sources, findings = resolve(here, f'[data]\nsources.t = "{location}"\n')
    assert findings == ()
    assert files(sources) == expected
    assert sources[0].step.location == location


def test_an_absolute_location_leaves_no_directory_in_the_plan(here: Path) -> None:
    sources, findings = resolve(here, f"[data]\nsources.t = '{here}/data/?.jsonl'\n")
    assert findings == ()
    assert files(sources) == ["a.jsonl", "b.jsonl"]


def test_a_file_of_a_package_is_found_without_importing_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = here / "rows_of_others"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError")
    (package / "a.jsonl").write_text(ROW)
    monkeypatch.syspath_prepend(str(here))
    sources, findings = resolve(here, '[data]\nsources.t = "package://rows_of_others/a.jsonl"\n')
    assert findings == ()
    assert files(sources) == ["package://rows_of_others/a.jsonl"]


def test_options_leave_nothing_to_guess(here: Path) -> None:
    data = '[data]\nquery = "from a"\nsources.a = "data/x.csv"\nsources.b = "data/x.tsv"\n'
    sources, _ = resolve(here, data + 'sources.c = { path = "data/x.csv", quote = "", header = false }\n')
    first = {"encoding": "utf-8", "delimiter": ",", "quote": '"', "header": True}
    assert [source.step.options for source in sources] == [
        first,
        {**first, "delimiter": "\t"},
        {**first, "quote": "", "header": False},
    ]


@pytest.mark.parametrize(
    ("entry", "code", "words"),
    [
        ('"data/aa.jsonl"', "FTC201", 'did you mean "data/a.jsonl"'),
        ('"dta/a.jsonl"', "FTC201", 'did you mean "data/a.jsonl"'),
        ('"data/*.parquet"', "FTC201", "matches no file"),
        ('"data"', "FTC201", '"data/*.jsonl"'),
        ('"package://no_such_package_here/a.jsonl"', "FTC201", "pip install no-such-package-here"),
        ('"data/notes.dat"', "FTC202", "format ="),
        ('"data/x.*"', "FTC202", "one source"),
        ('"data/[ax].*"', "FTC202", "mixes formats"),
        ('"data/empty.jsonl"', "FTC202", "is empty"),
        ('{ path = "data/a.jsonl", delimiter = ";" }', "FTC107", "does not apply to JSONL files"),
    ],
)
def test_what_cannot_be_read(here: Path, entry: str, code: str, words: str) -> None:
    if entry == '"data/x.*"':
        (here / "data" / "x.jsonl").write_text(ROW)
    _, (finding,) = resolve(here, f"[data]\nsources.t = {entry}\n")
    assert finding.code == code
    assert words in " ".join([finding.message, *finding.help, *finding.notes])
    assert finding.span is not None
    assert finding.span.source.position(finding.span.start)[0] == 4
    assert str(here) not in finding.message


def test_every_source_is_looked_at(here: Path) -> None:
    _, findings = resolve(
        here, '[data]\nquery = "from a"\nsources.a = "no.csv"\nsources.b = "data/notes.dat"\n'
    )
    assert [finding.code for finding in findings] == ["FTC201", "FTC202"]


def test_an_unreadable_file_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(path: Path, *args: object, **options: object) -> object:
        if path.name == "a.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    _, (finding,) = resolve(here, '[data]\nsources.t = "data/a.jsonl"\n')
    assert finding.code == "FTC201"
    assert "a.jsonl" in finding.message
    assert "Permission denied" in finding.message


def test_a_mistake_in_sql_points_into_the_recipe(here: Path) -> None:
    sql = 'query = """\n  select prompt,\n    complet as completion\n  from t"""\n'
    described, (finding,) = query(here, f'[data]\nsources.t = "data/a.jsonl"\n{sql}')
    assert described is not None
    assert described.columns == ()
    assert finding.code == "FTC204"
    assert finding.span is not None
    assert finding.span.source.text[finding.span.start : finding.span.end] == "complet"
    assert finding.span.place.endswith("recipe.toml:7:5")


def test_a_mistake_in_an_sql_file_points_into_it(here: Path) -> None:
    (here / "q.sql").write_text("-- é\nselect promt from t", encoding="utf-8")
    _, (finding,) = query(here, '[data]\nsources.t = "data/a.jsonl"\nquery = { file = "q.sql" }\n')
    assert finding.span is not None
    assert finding.span.place == "q.sql:2:8"


def test_a_missing_sql_file_is_a_finding(here: Path) -> None:
    _, (finding,) = query(here, '[data]\nsources.t = "data/a.jsonl"\nquery = { file = "q.sql" }\n')
    assert finding.code == "FTC214"


def test_without_a_query_the_only_source_is_taken(here: Path) -> None:
    described, findings = query(here, '[data]\nsources.t = "data/a.jsonl"\n')
    assert findings == ()
    assert described is not None
    assert (described.sql, described.traced_source) == ('select * from "t"', "t")


def test_several_sources_need_a_query(here: Path) -> None:
    _, (finding,) = query(here, '[data]\nsources.a = "data/a.jsonl"\nsources.b = "data/b.jsonl"\n')
    assert finding.code == "FTC106"


def test_a_source_that_does_not_fit_is_marked_at_the_source(here: Path) -> None:
    (here / "data" / "y.parquet").write_text("hello")
    _, (finding,) = query(here, '[data]\nsources.t = "data/y.parquet"\nquery = "from t"\n')
    assert finding.code == "FTC202"
    assert finding.span is not None
    assert finding.span.source.position(finding.span.start)[0] == 4


def test_what_duckdb_said_is_remembered(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.facts import query as module

    data = '[data]\nsources.t = "data/a.jsonl"\nquery = "from t"\n'
    first, _ = query(here, data)
    monkeypatch.setattr(module, "describe", None)
    assert query(here, data)[0] == first
