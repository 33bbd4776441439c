from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from ftc import __version__
from ftc.cli import main as cli
from ftc.cli import status
from ftc.cli.status import exit_code
from ftc.diagnostics import Finding, Severity


def test_help_names_every_command_and_the_exit_codes(ftc) -> None:
    ran = ftc("--help")
    assert (ran.code, ran.err) == (0, "")
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} +[A-Z].*\.$", ran.out, re.MULTILINE), name
    assert "Exit codes: 0 fine, 1 the recipe is wrong" in ran.out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_has_an_example_and_fits_80_columns(ftc, name: str) -> None:
    ran = ftc(name, "--help")
    assert f"Examples:\n    ftc {name}" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    assert all(option in ran.out for option in ("--color", "--quiet", "--help"))
    assert "--json" in ran.out or name in ("chat", "generate"), "what these print is answers"
    assert ran.out == ftc(name, "-h").out


def test_a_bare_ftc_shows_the_help(ftc) -> None:
    assert ftc().out == ftc("--help").out


def test_version(ftc) -> None:
    assert ftc("--version").out == f"ftc {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("chek", "there is no command `chek`; did you mean `ftc check`?"),
        ("BUILD", "there is no command `BUILD`; did you mean `ftc build`?"),
        ("my.toml", "`my.toml` is not a command; did you mean `ftc build my.toml`?"),
        (
            "xyzzy",
            f"there is no command `xyzzy`; the commands are {', '.join(cli.COMMANDS)}",
        ),
    ],
)
def test_an_unknown_command_is_a_usage_error_with_a_suggestion(ftc, typed: str, answer: str) -> None:
    ran = ftc(typed)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[0] == f"error: {answer}"


def test_an_unknown_option_is_a_usage_error_with_a_suggestion(ftc) -> None:
    ran = ftc("check", "--jsn", "x.toml")
    assert ran.code == 2
    assert "--jsn" in ran.err
    assert "--json" in ran.err
    assert "Try `ftc check --help`." in ran.err


def test_no_recipe_is_a_usage_error_unless_one_lies_here(ftc) -> None:
    ran = ftc("check")
    assert ran.code == 2
    assert ran.err.startswith("error: name a recipe: there is no recipe.toml in this directory\n")


def test_quiet_and_verbose_contradict_each_other(ftc) -> None:
    assert ftc("explain", "-q", "-v").code == 2


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (("check", "--jsn", "--json"), "check"),
        (("check", "--json"), "check"),
        (("chek", "--json", "x.toml"), ""),
        (("plan", "--json", "x.toml", "--after", "nothing"), "plan"),
        (("show", "--json", "--rows", "0"), "show"),
        (("cache", "gc", "--json", "--older", "x"), "cache"),
    ],
)
def test_a_wrong_command_line_is_a_json_document_too(ftc, typed: tuple[str, ...], command: str) -> None:
    ran = ftc(*typed)
    assert ran.code == 2
    document = json.loads(ran.out)
    assert (document["ok"], document["results"], document["command"]) == (False, [], command)
    assert document["error"].splitlines()[0].rstrip(".") in ran.err
    assert list(document) == ["ftc", "command", "ok", "results", "error"]


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Put a command in place that raises."""

    def install(error: BaseException) -> None:
        @click.command("check")
        @click.argument("recipes", nargs=-1)
        def command(recipes: tuple[str, ...]) -> int:
            raise error

        monkeypatch.setattr(cli.Commands, "get_command", lambda *_: command)

    return install


def test_an_unforeseen_failure_is_short_and_leaves_a_file(ftc, breaking, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    breaking(RuntimeError("the moon is full\nsecond line"))
    ran = ftc("check", "a b.toml")
    assert (ran.code, ran.out) == (3, "")
    [saved] = tmp_path.glob("ftc-failure-*.txt")
    assert ran.err == (
        "error[FTC901]: ftc itself failed: RuntimeError: the moon is full\n"
        f"  traceback: {saved}\n"
        "  help: this is a mistake in ftc; please report it with that file\n"
    )
    text = saved.read_text(encoding="utf-8")
    assert "$ ftc check 'a b.toml'" in text
    assert "Traceback (most recent call last)" in text
    assert "second line" in text


def test_the_traceback_is_shown_when_asked_for(ftc, breaking, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("FTC_TRACEBACK", "1")
    breaking(ValueError("x"))
    assert "Traceback (most recent call last)" in ftc("check").err


def test_a_failure_whose_file_cannot_be_written_says_how_to_see_more(
    ftc, breaking, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    breaking(ValueError("x"))
    assert ftc("check").err == (
        "error[FTC901]: ftc itself failed: ValueError: x\n"
        "  help: run it again with FTC_TRACEBACK=1 to see where\n"
    )


def test_a_failure_is_a_json_document_too(ftc, breaking, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    breaking(RuntimeError("the moon is full"))
    document = json.loads(ftc("check", "--", "--json").out)
    assert (document["ok"], document["error"]) == (False, "ftc itself failed: RuntimeError: the moon is full")
    breaking(KeyboardInterrupt())
    assert json.loads(ftc("check", "--", "--json").out)["error"] == "stopped"


def test_ctrl_c_ends_with_130_and_one_line(ftc, breaking) -> None:
    breaking(KeyboardInterrupt())
    ran = ftc("check")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.strip() == "Stopped."


def test_what_the_author_must_mend_comes_before_what_the_machine_lacks() -> None:
    recipe, disk = Finding("FTC102", "x"), Finding("FTC702", "x")
    warning = Finding("FTC308", "x", severity=Severity.WARNING)
    assert exit_code([]) == exit_code([warning]) == status.FINE
    assert exit_code([warning, disk]) == status.FAILED
    assert exit_code([disk, recipe]) == status.RECIPE_WRONG


def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, **options
    )


def test_python_m_ftc_is_the_same_command() -> None:
    ran = python("-m", "ftc", "--version")
    assert (ran.returncode, ran.stdout) == (0, f"ftc {__version__}\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_who_leaves_early_is_no_error() -> None:
    """As `ftc explain | head -1`: the reader closes before the output is written."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [sys.executable, "-m", "ftc", "explain"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (status.CLOSED, "")
    assert status.CLOSED == 128 + signal.SIGPIPE
