"""The command line on a real (pseudo) terminal."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pty = pytest.importorskip("pty")
HERE = Path(__file__).parent
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def start(
    directory: Path, *command: str, columns: int = 80, **environment: str
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a command on a terminal of a given width; the process, and the terminal's descriptor."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    hidden = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=directory,
        env={**kept, "TERM": "xterm-256color", "PYTHONPATH": paths, **environment},
    )
    os.close(theirs)
    return process, ours


def on_terminal(directory: Path, *command: str, **options: Any) -> tuple[int, str]:
    """Run a command on a terminal; its exit status and all it wrote."""
    process, terminal = start(directory, *command, **options)
    said = b"".join(_chunks(terminal))
    os.close(terminal)
    return process.wait(timeout=60), said.decode()


def _chunks(descriptor: int):
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux: the other end is closed
            return
        if not chunk:
            return
        yield chunk


def lines(said: str) -> list[str]:
    """What was written, without styles; a line that was drawn over counts each time."""
    return [line.rstrip() for line in STYLE.sub("", said).replace("\r", "\n").split("\n") if line.strip()]


def test_a_build_draws_one_bar_a_phase(tmp_path: Path) -> None:
    code, said = on_terminal(tmp_path, str(HERE / "fake_build.py"), "build", "r.toml")
    assert code == 0
    drawn = lines(said)
    for phase, counts in (
        ("running the query", "5,500/5,500"),
        ("compiling rows", "5,127/5,127"),
        ("evaluating before", "512/512"),
        ("training", "40/40"),
    ):
        assert any(re.fullmatch(rf"✓ {phase} +━+ +{counts} +\d+ s", line) for line in drawn), phase
    for phase in ("planning", "starting up"):
        assert any(re.fullmatch(rf"✓ {phase} +━+ +\d+ s", line) for line in drawn), phase
    assert any(re.fullmatch(r"✓ saving +━+ +\d+ s", line) for line in drawn)
    assert "\x1b[36m" in said
    assert "warning: the clock is odd ␛[2J" in drawn
    assert max(map(len, drawn[: drawn.index("run directory:")])) <= 80
    assert any(line.startswith("label accuracy       0.352 (") for line in drawn)
    assert "\x1b[1;32mbuilt\x1b[0m" in said


def test_a_stopped_build_keeps_its_bar_where_it_was(tmp_path: Path) -> None:
    code, said = on_terminal(tmp_path, str(HERE / "fake_build.py"), "build", "r.toml", STOP_AT="8")
    assert code == 130
    drawn = lines(said)
    assert any(re.fullmatch(r"✗ training +[━╸╺]+ +8/40", line) for line in drawn)
    assert not any(line.startswith("✓ training") for line in drawn)
    assert drawn[-1] == "To go on: ftc build r.toml"


def test_without_colour_the_bars_are_plain(tmp_path: Path) -> None:
    code, said = on_terminal(tmp_path, str(HERE / "fake_build.py"), "build", "r.toml", NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[(3\d|1;3\d|4\d)m", said)


def test_a_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    code, said = on_terminal(tmp_path, str(HERE / "fake_build.py"), "build", "r.toml", TERM="dumb")
    assert code == 0
    assert "\x1b" not in said
    assert "  step 40/40  loss 2.000, 1,234 tok/s, 0 s left" in lines(said)


def test_the_list_of_codes_is_coloured_and_as_wide_as_the_terminal(tmp_path: Path) -> None:
    code, said = on_terminal(tmp_path, "-m", "ftc", "explain", columns=60)
    assert code == 0
    assert "\x1b[36mFTC101\x1b[0m" in said
    assert max(map(len, lines(said))) <= 60


def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    process, terminal = start(tmp_path, str(HERE / "fake_build.py"), "build", "r.toml", PAUSE="0.2")
    said, asked = b"", False
    for chunk in _chunks(terminal):
        said += chunk
        if b"compiling rows" in said and not asked:
            process.send_signal(signal.SIGINT)
            asked = True
    os.close(terminal)
    assert process.wait(timeout=60) == 130, said.decode()
    assert lines(said.decode())[-1] == "Stopped."
    assert said.rfind(b"\x1b[?25h") > said.rfind(b"\x1b[?25l")
    assert b"Traceback" not in said
