"""Listing, collecting and verifying the cache, also while other processes use it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.facts import cache_care, file_list
from ftc.facts.cache import Cache
from ftc.facts.cache_care import Entry, collect, entries, outdated, verify

DAY = 86400.0


def key(number: int) -> str:
    return f"{number:064x}"


def fill(cache: Cache, number: int, size: int = 100, *, unused: float = 0, kind: str = "data") -> Path:
    """An entry of `size` bytes that was last used `unused` seconds ago."""
    with cache.store(kind, key(number)) as directory:
        (directory / "a").write_bytes(bytes([number]) * size)
    place = cache.place(kind, key(number))
    when = time.time() - unused
    for path in place.iterdir():
        os.utime(path, (when, when))
    return place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def numbers(root: Path) -> list[int]:
    return [int(entry.key, 16) for entry in entries(root) if entry.path.is_dir()]


def test_entries_say_what_they_are_and_who_used_them(root: Path) -> None:
    with Cache(root, user="/a/recipe.toml") as cache:
        place = fill(cache, 1, 500, unused=3 * DAY)
        cache.remember("digest", key(2), b"{}")
    for user in ("/b/recipe.toml", "/a/recipe.toml", "/a/recipe.toml"):
        with Cache(root, user=user) as other:
            assert other.entry("data", key(1)) == place
    data, digest = entries(root)
    assert (data.kind, data.key, data.path) == ("data", key(1), place)
    assert data.users == ("/a/recipe.toml", "/b/recipe.toml")
    assert data.bytes > 500
    assert time.time() - data.used < 60 < 2 * DAY < time.time() - data.made
    assert (digest.kind, digest.users) == ("digest", ())


def test_nothing_else_that_lies_there_is_an_entry(root: Path) -> None:
    with Cache(root) as cache:
        fill(cache, 1)
    for name in ("photos/ab/" + key(1)[:-1], "data/zz/" + key(1), "notes.txt/x", "data/ab/" + key(1)):
        (root / name).mkdir(parents=True)
        (root / name / "mine").write_text("precious")
    with Cache(root) as cache:
        collect(cache, keep=0)
    assert len(list(root.rglob("mine"))) == 4
    assert numbers(root) == []


def test_what_was_not_used_for_long_goes_and_the_rest_stays(root: Path) -> None:
    with Cache(root) as cache:
        for number, days in ((1, 40), (2, 29), (3, 31)):
            fill(cache, number, unused=days * DAY)
    with Cache(root) as cache:
        dry = collect(cache, older=30 * DAY, dry=True)
        assert numbers(root) == [1, 2, 3]
        done = collect(cache, older=30 * DAY)
    assert [int(entry.key, 16) for entry in done.removed] == [1, 3]
    assert dry.removed == done.removed
    assert numbers(root) == [2]


def test_a_use_counts_and_not_the_making(root: Path) -> None:
    with Cache(root) as cache:
        fill(cache, 1, unused=40 * DAY)
    with Cache(root) as cache:
        cache.entry("data", key(1))
    with Cache(root) as cache:
        assert collect(cache, older=30 * DAY).removed == ()


def made(number: int, size: int, used: float) -> Entry:
    return Entry("data", key(number), Path(str(number)), size, 0.0, used)


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1e6)), max_size=20),
    st.none() | st.floats(0, 1e6),
    st.none() | st.integers(0, 10_000),
)
def test_the_least_recently_used_go_first_and_no_more_than_needed(
    sizes: list[tuple[int, float]], older: float | None, keep: int | None
) -> None:
    found = [made(number, size, used) for number, (size, used) in enumerate(sizes)]
    gone = outdated(found, older=older, keep=keep, now=1e6)
    stay = [entry for entry in found if entry not in gone]
    assert all(one.used <= other.used for one in gone for other in stay)
    left = sum(entry.bytes for entry in stay)
    if keep is not None:
        assert left <= keep
    if older is not None:
        assert all(1e6 - entry.used <= older for entry in stay)
    if gone:
        last = gone[-1]
        needed = keep is not None and left + last.bytes > keep
        assert needed or (older is not None and 1e6 - last.used > older)


@contextmanager
def process(root: Path, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has reached the line `ready()` of its code and stays there."""
    head = (
        "import sys, time\nfrom pathlib import Path\nfrom ftc.facts.cache import Cache\n"
        "def ready(): print('ready', flush=True); time.sleep(600)\n"
        "cache = Cache(Path(sys.argv[1]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", head + code, str(root)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        yield running
        running.send_signal(signal.SIGKILL)


def test_what_another_process_uses_stays_until_it_dies(root: Path) -> None:
    with Cache(root) as cache:
        for number in (1, 2):
            fill(cache, number, unused=40 * DAY)
    with process(root, f"cache.entry('data', '{key(1)}'); ready()"):
        with Cache(root) as cache:
            done = collect(cache, keep=0)
        assert [int(entry.key, 16) for entry in done.removed] == [2]
        assert [int(entry.key, 16) for entry in done.in_use] == [1]
    with Cache(root) as cache:
        assert len(collect(cache, keep=0).removed) == 1
    assert numbers(root) == []


def test_what_another_process_has_just_made_stays(root: Path) -> None:
    code = f"with cache.store('data', '{key(1)}') as d: (d / 'a').write_text('x')\nready()"
    with process(root, code), Cache(root) as cache:
        assert len(collect(cache, keep=0).in_use) == 1
    assert numbers(root) == [1]


def test_what_killed_processes_left_goes_at_once(root: Path) -> None:
    code = f"with cache.store('data', '{key(1)}') as d: (d / 'a').write_text('x'); ready()"
    with process(root, code), Cache(root) as cache:
        assert collect(cache).left_over == ()
    with Cache(root) as cache:
        assert len(collect(cache, dry=True).left_over) == 1
        assert len(collect(cache).left_over) == 1
    assert list((root / "staging").iterdir()) == []


def test_only_one_process_makes_an_entry_and_a_killed_one_does_not_block(root: Path) -> None:
    waited: list[str] = []
    with process(root, f"with cache.alone('data', '{key(1)}'): ready()") as running:

        def kill() -> None:
            waited.append("waited")
            running.send_signal(signal.SIGKILL)

        with Cache(root).alone("data", key(1), kill):
            assert waited == ["waited"]
    with Cache(root).alone("data", key(1), kill):
        assert waited == ["waited"]


@pytest.mark.parametrize("name", ["a", ".files", "inner/b"])
def test_verify_finds_a_flipped_bit_anywhere(root: Path, name: str) -> None:
    with Cache(root) as cache:
        with cache.store("data", key(1)) as directory:
            (directory / "inner").mkdir()
            (directory / "a").write_bytes(bytes(3 * file_list.SMALL))
            (directory / "inner" / "b").write_bytes(b"y" * 10)
        fill(cache, 2)
        cache.remember("digest", key(3), b"{}")
    path = Cache(root).place("data", key(1)) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with Cache(root) as cache:
        (found,) = verify(cache, dry=True)
        assert (found.kind, found.key) == ("data", key(1))
        assert ("list" if name == ".files" else name) in found.reason
        assert verify(cache) == (found,)
        assert verify(cache) == ()
    assert numbers(root) == [2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: (d / "a").unlink(), "a is missing"),
        (lambda d: (d / "sources.duckdb.wal").write_bytes(b""), "sources.duckdb.wal does not belong there"),
        (lambda d: (d / "a").write_bytes(b"z"), "a has another size"),
        (lambda d: (d / ".files").unlink(), "the list of its files is missing or damaged"),
    ],
)
def test_an_entry_is_checked_at_each_use(root: Path, change: object, reason: str) -> None:
    with Cache(root) as cache:
        place = fill(cache, 1)
        change(place)  # type: ignore[operator]
        assert cache.entry("data", key(1)) is None
        assert [one.reason for one in cache.damaged] == [reason]
        assert not place.exists()


def test_a_small_value_that_changed_is_found(root: Path) -> None:
    cache = Cache(root)
    cache.remember("digest", key(1), b'{"a": 1}')
    path = cache.place("digest", key(1)).with_suffix(".json")
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    assert cache.recall("digest", key(1)) is None
    assert [one.reason for one in verify(cache)] == ["the value has other bytes"]
    assert list(entries(root)) == []


def test_a_damaged_entry_that_was_already_replaced_is_not_removed(root: Path) -> None:
    """One process finds damage; another has made the entry again before the first removes it."""
    one, other = Cache(root), Cache(root)
    place = fill(one, 1)
    assert other.entry("data", key(1)) == place
    (place / "a").write_bytes(b"z")
    assert other.entry("data", key(1)) is None
    fill(other, 1)
    one.drop("data", key(1))
    assert other.entry("data", key(1)) == place


def test_without_locks_only_what_was_not_used_for_a_day_goes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with Cache(root) as cache:
        fill(cache, 1, unused=2 * DAY)
        fill(cache, 2)
        with cache.alone("data", key(2)):
            assert cache.entry("data", key(2)) is not None
        done = collect(cache, keep=0)
    assert [int(entry.key, 16) for entry in done.removed] == [1]
    assert numbers(root) == [2]
    assert cache_care.UNTOLD == DAY
