from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from ftc.facts.cache import Cache, CacheProblem, cache_key, cache_root, code_digest
from ftc.facts.digests import file_digest

KEY = "ab" * 32


def left_over(cache: Cache) -> list[Path]:
    staging = cache.root / "staging"
    return list(staging.iterdir()) if staging.is_dir() else []


def test_an_entry_appears_whole_and_is_found_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.entry("data", KEY) is None
    with cache.store("data", KEY) as directory:
        (directory / "inner").mkdir()
        (directory / "inner" / "a").write_text("x")
        assert cache.entry("data", KEY) is None
    found = cache.entry("data", KEY)
    assert found is not None
    assert (found / "inner" / "a").read_text() == "x"
    assert left_over(cache) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    cache = Cache(tmp_path)

    def fail() -> None:
        with cache.store("data", KEY) as directory:
            (directory / "a").write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert cache.entry("data", KEY) is None
    assert left_over(cache) == []


def test_a_killed_process_leaves_no_entry_and_its_rest_is_swept(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from ftc.facts.cache import Cache\n"
        f"with Cache(Path(sys.argv[1])).store('data', '{KEY}') as d:\n"
        "    (d / 'a').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    cache = Cache(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with cache.scratch():
            assert len(left_over(cache)) == 4, "two directories with their locks, and neither is swept"
        assert len(left_over(cache)) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert cache.entry("data", KEY) is None
    assert len(left_over(cache)) == 2
    with cache.store("data", KEY) as directory:
        (directory / "a").write_text("y")
    assert left_over(cache) == []
    assert cache.entry("data", KEY) is not None


def test_of_two_stores_at_once_the_first_stays(tmp_path: Path) -> None:
    cache, other = Cache(tmp_path), Cache(tmp_path)
    with cache.store("data", KEY) as one, other.store("data", KEY) as two:
        (one / "a").write_text("one")
        (two / "a").write_text("two")
    found = cache.entry("data", KEY)
    assert found is not None
    assert (found / "a").read_text() == "two"
    assert left_over(cache) == []


def test_an_unwritable_cache_is_a_problem_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheProblem) as caught, Cache(tmp_path / "file" / "cache").store("data", KEY):
        pass
    assert caught.value.code == "FTC708"
    assert "FTC_CACHE_DIR" in caught.value.help


def test_a_full_disk_is_told_apart(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(CacheProblem) as caught, cache.store("data", KEY):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.code == "FTC702"
    assert left_over(cache) == []


def test_other_errors_of_the_block_are_not_the_caches(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Cache(tmp_path).store("data", KEY):
        (tmp_path / "missing").read_text()


def test_a_dropped_entry_is_gone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.drop("data", KEY)
    with cache.store("data", KEY):
        pass
    cache.drop("data", KEY)
    assert cache.entry("data", KEY) is None


def test_the_root_is_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "here"))
    assert cache_root() == tmp_path / "here"
    monkeypatch.delenv("FTC_CACHE_DIR")
    assert cache_root().name == "ftc"


def test_the_key_depends_on_each_part_and_not_on_order() -> None:
    base = cache_key("a", {"x": 1, "y": 2}, {}, code="c")
    assert base == cache_key("a", {"y": 2, "x": 1}, {}, code="c")
    others = [
        cache_key("b", {"x": 1, "y": 2}, {}, code="c"),
        cache_key("a", {"x": 1, "y": 3}, {}, code="c"),
        cache_key("a", {"x": 1, "y": 2}, {"z": 1}, code="c"),
        cache_key("a", {"x": 1, "y": 2}, {}, code="d"),
    ]
    assert len({base, *others}) == 5


def test_the_code_digest_depends_on_the_files_named() -> None:
    assert code_digest("facts/cache.py") != code_digest("facts")
    assert code_digest("facts") == code_digest("facts")


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from ftc.facts import digests

    cache, path = Cache(tmp_path / "cache"), tmp_path / "a"
    path.write_bytes(b"one")
    os.utime(path, (1000, 1000))
    first = file_digest(path, "a", cache)
    assert first.sha256 == hashlib.sha256(b"one").hexdigest()
    assert first.bytes == 3
    with monkeypatch.context() as patch:
        patch.setattr(digests, "digest_of", None)
        assert file_digest(path, "a", cache) == first
    path.write_bytes(b"two")
    assert file_digest(path, "a", cache).sha256 == hashlib.sha256(b"two").hexdigest()


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    cache, path = Cache(tmp_path / "cache"), tmp_path / "a"
    path.write_bytes(b"one")
    os.utime(path, (1000, 1000))
    file_digest(path, "a", cache)
    time.sleep(0.02)
    path.write_bytes(b"two")
    os.utime(path, (1000, 1000))
    assert file_digest(path, "a", cache).sha256 == sha256(b"two").hexdigest()


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    cache, path = Cache(tmp_path / "cache"), tmp_path / "a"
    path.write_bytes(b"one")
    file_digest(path, "a", cache)
    assert not (cache.root / "digest").exists()
