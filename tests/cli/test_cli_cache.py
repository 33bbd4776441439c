"""`ftc cache` as it is typed and read."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from ftc.cli.cache_view import ago
from ftc.facts.cache import Cache

HOUR = 3600


def key(number: int) -> str:
    return f"{number:02x}" * 32


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(number: int, *, hours: float = 0, kind: str = "data", user: str | None = None) -> Path:
    with Cache(user=user) as cache, cache.store(kind, key(number)) as directory:
        (directory / "train-00000.parquet").write_bytes(bytes(1_500_000))
    when = time.time() - hours * HOUR
    for path in cache.place(kind, key(number)).iterdir():
        os.utime(path, (when, when))
    return cache.place(kind, key(number))


@pytest.fixture
def filled(root: Path) -> Path:
    fill(1, hours=5, user="/home/ann/tickets/recipe.toml")
    fill(2, hours=50 * 24, user="/home/ann/\x1b[2Jevil/" + "long" * 40 + ".toml")
    fill(3, hours=800, kind="sources")
    Cache().remember("digest", key(4), b"{}")
    return root


def test_the_list_says_what_is_kept_since_when_and_for_which_recipe(ftc, filled, snapshot) -> None:
    ran = ftc("cache", "ls")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines()[1:])) <= 80
    assert "\x1b" not in ran.out
    snapshot("cache-ls", ran.out.replace(str(filled), "CACHE"))


def test_ls_is_what_a_bare_ftc_cache_does(ftc, filled) -> None:
    assert ftc("cache").out == ftc("cache", "ls").out


def test_colours_are_for_terminals(ftc, filled) -> None:
    assert "\x1b[1m" in ftc("cache", "ls", "--color", "always").out


def test_an_empty_cache(ftc, root) -> None:
    assert ftc("cache", "ls").out == f"{root}\n\nnothing is kept here\n"
    assert ftc("cache", "verify").code == 0
    assert ftc("cache", "gc").code == 0
    assert ftc("cache", "path").out == f"{root}\n"


def test_gc_takes_a_month_unless_told(ftc, filled) -> None:
    assert ftc("cache", "gc", "--dry-run").out == (
        "would remove 2 entries, 3.0 MB\n  compiled rows: 1, 1.5 MB\n  rows of sources: 1, 1.5 MB\n"
    )
    assert ftc("cache", "gc", "--older", "4h", "-n").out.startswith("would remove 3 entries, 4.5 MB\n")
    assert ftc("cache", "gc").out.startswith("removed 2 entries")
    assert ftc("cache", "gc").out == "removed 0 entries, 0 B\n"


def test_gc_down_to_a_size(ftc, filled) -> None:
    assert ftc("cache", "gc", "--keep", "3.1MB").out.startswith("removed 1 entry, 1.5 MB\n")
    with Cache() as cache:
        assert cache.entry("data", key(1)) is not None
        assert "1 entry stay" in ftc("cache", "clear").out
    assert ftc("cache", "clear").out.startswith("removed 1 entry")
    assert ftc("cache", "ls").out.endswith("nothing is kept here\n")


@pytest.mark.parametrize("wrong", ["3x", "d", "-3d", "", "30 days", "10"])
def test_a_time_is_a_number_and_a_unit(ftc, root, wrong: str) -> None:
    ran = ftc("cache", "gc", "--older", wrong)
    assert ran.code == 2
    assert "such as 30d or 12h" in ran.err


@pytest.mark.parametrize(
    "typed",
    [("ls", "--dry-run"), ("verify", "--older", "3d"), ("path", "--keep", "1GB"), ("purge",)],
)
def test_options_that_say_nothing_are_refused(ftc, root, typed: tuple[str, ...]) -> None:
    assert ftc("cache", *typed).code == 2


def test_verify_names_and_removes_what_is_damaged(ftc, filled) -> None:
    assert ftc("cache", "verify").out == "ok  4 entries, 4.5 MB, all as they were made\n"
    path = Cache().place("data", key(1)) / "train-00000.parquet"
    path.write_bytes(bytes(1_499_999) + b"x")
    dry = ftc("cache", "verify", "--dry-run")
    assert dry.code == 1
    assert path.is_file()
    ran = ftc("cache", "verify")
    assert ran.code == 1
    assert ran.out == (
        "damaged  compiled rows 010101010101: train-00000.parquet has other bytes\n"
        "1 of 4 entries damaged; removed; they are made again when they are needed\n"
    )
    assert not path.is_file()
    assert ftc("cache", "verify", "-q").out == ""


def test_json_is_one_document_of_the_usual_shape(ftc, filled) -> None:
    for action in ("ls", "path", "gc", "verify", "clear"):
        document = json.loads(ftc("cache", action, "--json", *(["-n"] if action == "clear" else [])).out)
        assert (document["command"], document["ok"]) == (f"cache {action}", True)
        (result,) = document["results"]
        assert result["path"] == str(filled)
    assert json.loads(ftc("cache", "ls", "--json").out)["results"][0]["entries"][0]["recipes"] == [
        "/home/ann/tickets/recipe.toml"
    ]
    (Cache().place("data", key(1)) / "train-00000.parquet").unlink()
    ran = ftc("cache", "verify", "--json")
    document = json.loads(ran.out)
    assert (ran.code, document["ok"]) == (1, False)
    (damaged,) = document["results"][0]["damaged"]
    assert damaged == {"kind": "data", "key": key(1), "reason": "train-00000.parquet is missing"}


def test_a_cache_that_is_a_file_is_said(ftc, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert ftc("cache", "ls").code == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (60, "1 minute ago"), (7200, "2 hours ago"), (86400 * 40, "40 days ago")],
)
def test_times_for_people(seconds: float, words: str) -> None:
    assert re.fullmatch(words, ago(seconds))
