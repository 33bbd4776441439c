"""Files that are whole or absent, and locks that die with their process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ftc.artifact.files import link_or_copy, sha256, whole_file, write_json, write_text
from ftc.artifact.lock import BusyError, exclusive


def test_whole_or_absent(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def cut_short():
        with whole_file(path) as file:
            file.write(b"new but not wh")
            raise MemoryError

    with pytest.raises(MemoryError):
        cut_short()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    write_json(path, {"ä": [1]})
    assert path.read_text(encoding="utf-8") == '{\n  "ä": [\n    1\n  ]\n}\n'


def test_full_device_leaves_nothing(tmp_path):
    """A write error while closing is an error too: /dev/full accepts opening and refuses writing."""
    path = tmp_path / "a"
    (tmp_path / ".a.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "text")
    assert not path.exists()


def test_sha256_matches_coreutils(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(os.urandom(100_000))
    told = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
    assert sha256(path) == told.split()[0]


@pytest.mark.parametrize("links", [True, False])
def test_link_or_copy(links, tmp_path, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x" * 3_000_000)
    target.write_bytes(b"old")
    link_or_copy(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert (target.stat().st_ino == source.stat().st_ino) == links


def test_one_at_a_time(tmp_path):
    path = tmp_path / "lock"
    with exclusive(path):
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(BusyError) as busy, exclusive(path):
            pass
        assert busy.value.pid == str(os.getpid())
    assert not path.exists()
    with exclusive(path):
        pass


def test_a_dead_process_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from ftc.artifact.lock import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BusyError) as busy, exclusive(path):
            pass
        assert busy.value.pid == str(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.exists()
    with exclusive(path):
        assert path.read_text() == f"{os.getpid()}\n"
