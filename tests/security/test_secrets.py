"""Secrets never reach a plan, a run, a log or the terminal: planted ones are looked for everywhere."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

import ftc
from fake_runs import FakeRuntime
from ftc.artifact import build as build_module
from ftc.artifact.events import recorded
from ftc.artifact.files import write_json
from ftc.cli.main import run
from ftc.diagnostics.secrets import in_address, masked, scrubbed, values
from ftc.launch.local import environment
from ftc.plan.steps import Plan
from ftc.runtime.events import Failed
from ftc.runtime.failure import BuildError
from ftc.runtime.job import Job
from ftc.runtime.main import run as run_job
from ftc.runtime.main import write_events
from ftc.runtime.stop import Stop

PASSWORD = "hunter2-planted-in-the-dsn"  # noqa: S105 - it is planted
PLANTED = {
    "PG_URL": f"postgresql://anna:{PASSWORD}@127.0.0.1:1/tickets",
    "JUDGE_KEY": "planted-judge-key-0123456789abcdef",
    "HF_TOKEN": "hf_PlantedPlantedPlantedPlantedPlantedPl",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret/0123456789",
    "WANDB_API_KEY": "plantedwandbkey0123456789",
}
GITHUB = "ghp_" + "a1B2" * 9
EVERY = (*PLANTED.values(), PASSWORD, GITHUB)

BUILT = """
name = "planted"
[model]
base = "{model}"
[data]
sources.rows = "rows.jsonl"
query = "select prompt, completion from rows"
split = {{ eval = 2 }}
[train]
steps = 1
batch = 2
[eval]
metrics = ["judge"]
judge = {{ endpoint = "http://127.0.0.1:1/v1", model = "m", key = {{ env = "JUDGE_KEY" }} }}
"""


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)


def spilt(*places: Path) -> list[str]:
    """The planted secrets in the files below some places, with where they are."""
    files = (file for place in places for file in place.rglob("*") if file.is_file())
    found = ((file, file.read_bytes()) for file in files)
    return [
        f"{secret} in {file}" for file, content in found for secret in EVERY if secret.encode() in content
    ]


def test_of_a_build_nothing_secret_is_kept_or_said(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(plan: Plan) -> bool:
        raise BuildError("FTC577", f"the judge says: bad key {PLANTED['JUDGE_KEY']}")

    def launched(job: Job, on_event, **more):  # type: ignore[no-untyped-def]
        with job.log.open("a") as log:
            code = run_job(job, on_event, Stop(), log, lambda *_: failing(Plan.model_construct()))
        assert code == 1
        return FakeRuntime()(job, on_event, **more)

    monkeypatch.setattr(build_module, "launch", launched)
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    rows = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(BUILT.format(model=tiny_model))
    recipe = str(tmp_path / "recipe.toml")
    for command in (
        ["check", recipe],
        ["plan", recipe, "--json"],
        ["build", recipe, "-v"],
        ["runs", str(tmp_path)],
    ):
        run(command)
    said = capfd.readouterr()
    logs = list((tmp_path / "runs").rglob("build.log"))
    assert logs
    assert "$JUDGE_KEY" in logs[0].read_text()
    assert not [secret for secret in EVERY if secret in said.out + said.err]
    assert spilt(tmp_path) == []


def test_a_database_that_cannot_be_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psycopg")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[model]\nbase = "acme/small"\n[data]\nsources.t = { database = { env = "PG_URL" }, table = "t" }\n'
        "[train]\nobjective = 'cpt'\n"
    )
    assert run(["plan", str(recipe)]) == 1
    assert run(["plan", str(recipe), "--json"]) == 1
    said = capsys.readouterr()
    assert "FTC222" in said.out + said.err
    assert not [secret for secret in EVERY if secret in said.out + said.err]


@pytest.mark.parametrize(
    "line",
    [
        f'sources.rows = "https://anna:{PASSWORD}@example.org/rows.csv"',
        'sources.rows = "https://example.org/rows.csv?X-Amz-Signature=planted0123456789abcdef"',
        'sources.rows = "https://example.org/rows.csv?a=1&token=planted0123456789abcdef"',
        f'sources.rows = "rows.csv"\nparameters = {{ k = "{GITHUB}" }}',
        f'sources.rows = "rows.csv"\nquery = "select text, \'{GITHUB}\' as k from rows"',
        f'sources.rows = {{ path = "https://{GITHUB}@example.org/rows.csv" }}',
    ],
)
def test_a_recipe_with_a_secret_is_refused_and_the_secret_not_shown(
    tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("text\na\n")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[model]\nbase = "acme/small"\n[data]\n{line}\n[train]\nobjective = "cpt"\n')
    found = [finding for finding in ftc.check(recipe).findings if finding.code == "FTC230"]
    assert len(found) == 1
    for options in ([], ["--json"], ["--format", "concise"]):
        assert run(["check", str(recipe), *options]) == 1
    said = capsys.readouterr()
    for secret in (*EVERY, "planted0123456789abcdef"):
        assert secret not in said.out + said.err


@pytest.mark.parametrize(
    "line",
    [
        'sources.rows = "https://example.org/rows.csv?page=2"',
        'sources.rows = "s3://bucket/rows-*.csv"',
        'sources.rows = "rows.csv"\nquery = "select text from rows where token = \'B-ORG-1234567890\'"',
        'sources.rows = "rows.csv"\nparameters = { since = "2024-01-01" }',
    ],
)
def test_what_is_no_secret_is_left_alone(tmp_path: Path, line: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[model]\nbase = "acme/small"\n[data]\n{line}\n[train]\nobjective = "cpt"\n')
    assert "FTC230" not in {finding.code for finding in ftc.check(recipe).findings}


def test_the_runtime_is_given_no_secret_but_the_judges_key() -> None:
    given = environment((), ("JUDGE_KEY",))
    assert set(PLANTED) & set(given) == {"JUDGE_KEY"}
    assert not set(PLANTED) & set(environment())
    assert set(PLANTED) & set(environment(("wandb",))) == {"WANDB_API_KEY"}


def test_events_and_tracebacks_of_a_failing_runtime(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"401 for url https://u:{PASSWORD}@h/v1: key {PLANTED['JUDGE_KEY']}")

    reader, writer = os.pipe()
    log = io.StringIO()
    job = Job(tmp_path / "plan.json", tmp_path, tmp_path, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftc.runtime.main.read_plan", fail)
        assert run_job(job, write_events(writer), Stop(), log) == 1
    written = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert json.loads(written)["event"] == "failed"
    for text in (written, log.getvalue()):
        assert "$JUDGE_KEY" in text
        assert not [secret for secret in EVERY if secret in text]


def test_what_is_masked() -> None:
    assert scrubbed(f"x {PLANTED['JUDGE_KEY']} y") == "x $JUDGE_KEY y"
    assert scrubbed(PASSWORD) == "$PG_URL"
    assert PLANTED["PG_URL"] in values()
    text = "https://a:secret@h/p?sig=abcdef&x=1 and http://h:80/"
    assert masked(text) == "https://a:******@h/p?sig=******&x=1 and http://h:80/"
    assert len(masked(text)) == len(text)
    assert (in_address("https://h/p?page=1"), in_address("select 'a:b@c'")) == ("", "")


def test_recorded_events_are_those_of_the_runtime(tmp_path: Path) -> None:
    recorded(tmp_path, lambda _: None)(Failed("FTC703", scrubbed(PLANTED["JUDGE_KEY"])))
    write_json(tmp_path / "x.json", {})
    assert spilt(tmp_path) == []
