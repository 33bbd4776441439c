"""What answers' code runs in: a process that gives up what the code has no business with, and then runs it.

It is started as a file, `python -P code_runner.py`, with a JSON object on its standard input: `code`, `tests`
(texts), `word`, `seconds`, `memory` (MiB) and `scratch` (a directory). For each test that passes it
writes the word and the test's number on its standard output. With `probe` it writes what this machine lets it
give up. It imports nothing but the standard library, as ftc need not be importable where it runs.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import Any

NEW_USER, NEW_PID, NEW_NET, NEW_IPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
PARENT_DEATH, NO_NEW_PRIVILEGES = 1, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of Landlock's system calls, the same on all processors."""

READ = 0b1101
"""Landlock's rights to execute, to read a file, and to list a directory."""

RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights over files Landlock knows, by the version in which they came."""

READABLE = ("/usr", "/lib", "/lib64", "/bin", "/dev/null", "/dev/urandom", "/dev/zero")
LARGEST_FILE = 16 * 2**20
OPEN_FILES = 64


def library() -> Any:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def leave_network() -> bool:
    """Take this process out of the machine's network and, for those it starts, of its processes."""
    if sys.platform != "linux":
        return False
    return bool(library().unshare(NEW_USER | NEW_PID | NEW_NET | NEW_IPC) == 0)


def leave_files(scratch: str) -> bool:
    """Let this process read only Python and system libraries, and write only in `scratch` (Landlock)."""
    if sys.platform != "linux":
        return False
    call = library().syscall
    version = int(call(CREATE_RULESET, None, 0, 1))
    if version < 1:
        return False
    known = max(bits for since, bits in RIGHTS.items() if since <= version)
    every = (1 << known) - 1
    asked = struct.pack("QQ", every, 0b11) if version >= 4 else struct.pack("Q", every)
    rules = int(call(CREATE_RULESET, asked, len(asked), 0))
    if rules < 0:
        return False
    for path in {*READABLE, sys.prefix, sys.base_prefix, sys.exec_prefix, *filter(os.path.isdir, sys.path)}:
        _allow(call, rules, path, READ)
    _allow(call, rules, scratch, every)
    library().prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return int(call(RESTRICT_SELF, rules, 0)) == 0


def _allow(call: Any, rules: int, path: str, rights: int) -> None:
    with suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        some = rights if os.path.isdir(path) else rights & 0b0110  # noqa: PTH112 - it is run without ftc
        call(ADD_RULE, rules, 1, struct.pack("=Qi", some, place), 0)
        os.close(place)


def limit(seconds: float, memory: int) -> None:
    """Limits of processor time, memory, files and their size that the process cannot raise again."""
    wanted = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: memory * 2**20,
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):  # macOS does not limit memory
            resource.setrlimit(kind, (most, most))


def run(source: str, name: str, space: dict[str, Any]) -> bool:
    """Whether code comes to its end; leaving with status 0 is an end too."""
    try:
        exec(compile(source, name, "exec"), space)  # noqa: S102 - that is what this process is for
    except SystemExit as left:
        return left.code in (None, 0)
    except BaseException:  # noqa: BLE001 - whatever it raises, it did not come to its end
        return False
    return True


def passed(request: dict[str, Any], results: int) -> None:
    """Run the code, then each test in a process forked from what the code left; write what passed."""
    tests = request["tests"]
    space: dict[str, Any] = {"__name__": "answer" if tests else "__main__", "__builtins__": __builtins__}
    if not run(request["code"], "answer.py", space):
        return
    if not tests:
        os.write(results, f"{request['word']} 0\n".encode())
    for number, test in enumerate(tests):
        child = os.fork()
        if not child:
            if run(test, "test.py", space):
                os.write(results, f"{request['word']} {number}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)


def confined(request: dict[str, Any], results: int) -> None:
    """Do what was asked with nothing left but a scratch directory; `results` is where it is written."""
    if sys.platform == "linux":
        library().prctl(PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    limit(request["seconds"], request["memory"])
    files = leave_files(request["scratch"])
    if request.get("probe"):
        os.write(results, json.dumps({"files": files}).encode())
    else:
        passed(request, results)


def main() -> None:
    """Read the request, leave the network, and run the code in a process of its own."""
    request = json.loads(sys.stdin.buffer.read())
    results, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    outside = leave_network()
    if request.get("probe"):
        os.write(results, json.dumps({"network": outside}).encode() + b"\n")
    child = os.fork()
    if not child:
        confined(request, results)
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
