"""A process that builds a recipe in children of its own, and kills each at one of its own acts.

Everything heavy is imported once; each build is a forked process with a directory of its own, in which the
runtime runs too. An act is whatever leaves a trace: a file opened to be written, a rename, a removal (told by
Python's audit events), a write that a library does by itself, a micro-batch, an event that the build tells.
They come in the same order in every build, so the n-th one is the same each time.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}
HOW = ("before", "torn", "late")
"""The build dies before the act; with half of what it wrote last; or some milliseconds after the act."""

SIZES = (40, 200, 600, 900, 1100, 1300)
"""Kilobytes of disks which become full in different stages."""

PLANNING = (
    "start",
    "reading sources",
    "running the query",
    "selecting rows",
    "compiling rows",
    "looking for odd rows",
)


@dataclass(frozen=True)
class Death:
    """The number of the act at which a build dies, and how."""

    act: int
    how: str = "before"
    seconds: float = 0.0


@dataclass
class Acts:
    """The acts of one build, each as `stage: what`; kills the process group at the one that was chosen."""

    root: Path
    death: Death | None = None
    stage: str = "start"
    seen: list[str] = field(default_factory=list)
    last: Path | None = None
    inside: bool = False

    def act(self, what: str) -> None:
        """Take note of an act, and die if it is the one."""
        if self.inside or threading.current_thread() is not threading.main_thread():
            return
        self.inside = True
        if self.stage in PLANNING and " runs/" in what:
            self.stage = "prepare"
        self.seen.append(f"{self.stage}: {what}")
        if self.death is not None and len(self.seen) - 1 == self.death.act:
            self._die(self.death)
        self.inside = False

    def _die(self, death: Death) -> None:
        if death.how == "late":
            threading.Timer(death.seconds, os.killpg, (0, signal.SIGKILL)).start()
            return
        if death.how == "torn" and self.last is not None:
            with suppress(OSError):
                os.truncate(self.last, self.last.stat().st_size // 2)
        os.killpg(0, signal.SIGKILL)

    def _ours(self, path: object, directory: int = -1) -> str | None:
        """A path relative to the root; None if it is elsewhere, or a note which comes by the clock."""
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        beside = Path(f"/proc/self/fd/{directory}").readlink() if directory >= 0 else Path.cwd()
        name = os.path.normpath(beside / os.fsdecode(path))
        ours = name.startswith(f"{self.root}/") and not name.startswith(f"{self.root}/cache/building/")
        return os.path.relpath(name, self.root) if ours else None

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit hook."""
        if self.inside:
            return
        if event == "open" and arguments[2] & WRITING:
            name = self._ours(arguments[0])
            if name is not None:
                self.act(f"open {general(name)}")
                self.last = self.root / name
        elif event in CHANGES:
            inside_tree = event in ("os.remove", "os.rmdir") and arguments[1]
            name = self._ours(arguments[0], inside_tree if inside_tree else -1)
            if name is not None:
                self.act(f"{event} {general(name)}")

    def written(self, path: object) -> None:
        """A library has written a file by itself."""
        name = self._ours(path)
        if name is not None:
            self.last = self.root / name
            self.act(f"written {general(name)}")


def general(name: str) -> str:
    """A path without what differs from one build to the next: keys, process ids, random names."""
    parts = []
    for part in name.split("/"):
        stem = part.strip(".").split(".")[0]
        long = len(stem) > 7 and all(letter in "0123456789abcdef-" for letter in stem.split("-")[-1])
        parts.append("*" if long or stem.split("-")[0].isdecimal() else part)
    return "/".join(parts)


def around(function: Callable[..., Any], before: Callable[..., None], after: Callable[..., None]) -> Any:
    """A function with something done before it and after it."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        before(*arguments, **options)
        result = function(*arguments, **options)
        after(*arguments, **options)
        return result

    return wrapped


def watch(acts: Acts) -> None:
    """Make acts of what no audit event tells: micro-batches, and files that libraries write by themselves."""
    import pyarrow.parquet as pq
    import safetensors.torch
    import torch

    from ftc.runtime.trainer import Additions

    def nothing(*_: Any, **__: Any) -> None:
        return

    torch.save = around(torch.save, nothing, lambda _value, file, *_, **__: acts.written(file))
    safetensors.torch.serialize_file = around(
        safetensors.torch.serialize_file, nothing, lambda _tensors, file, *_, **__: acts.written(file)
    )
    pq.ParquetWriter.close = around(pq.ParquetWriter.close, lambda *_: acts.act("close of Parquet"), nothing)
    Additions.training_step = around(
        Additions.training_step,
        lambda *_: acts.act("micro-batch begins"),
        lambda *_: acts.act("micro-batch ends"),
    )
    sys.addaudithook(acts.audit)


def launch_here(job: Any, on_event: Callable[[Any], None], **_: Any) -> Any:
    """The runtime in this process, in place of one of its own."""
    from ftc.launch import local
    from ftc.runtime.main import run
    from ftc.runtime.stop import Stop

    heard = local._Heard()

    def emit(event: Any) -> None:
        heard.hear(event)
        on_event(event)

    with job.log.open("a", encoding="utf-8") as log:
        status = run(job, emit, Stop(), log)
    return local._outcome(heard, status, job, asked=False)


def build(recipe: Path, acts: Acts) -> Any:
    """Build a recipe in this process."""
    import ftc
    from ftc.artifact import build as artifact
    from ftc.runtime.events import Phase

    artifact.launch = launch_here
    watch(acts)

    def progress(stage: str, *_: Any) -> None:
        acts.stage = stage
        acts.act("progress")

    def event(told: Any) -> None:
        if isinstance(told, Phase):
            acts.stage = f"{told.name} {told.detail}".split("/")[0].strip()
        if type(told).__name__ == "Done":
            acts.stage = "finish"
        acts.act(f"event {type(told).__name__}")

    return ftc.build(recipe, runs=acts.root / "runs", progress=progress, on_event=event)


def in_child(recipe: Path, root: Path, death: Death | None) -> bool:
    """Build in a forked process under `root`; whether it was killed. Its acts are left in `acts.json`."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    os.setsid()
    status = 3
    try:
        os.environ["FTC_CACHE_DIR"] = str(root / "cache")
        log = os.open(root / "child.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        acts = Acts(root, death)
        result = build(recipe, acts)
        acts.inside = True
        told = [finding.code for finding in result.findings]
        sys.stderr.write("".join(f"{one.code}: {one.message}\n" for one in result.findings))
        (root / "acts.json").write_text(
            json.dumps({"acts": acts.seen, "codes": told, "modules": list(sys.modules)}), "utf-8"
        )
        status = 0 if result.ok else 1
    except Exception:  # noqa: BLE001 - a child must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


@dataclass(frozen=True)
class Built:
    """What a build left: the manifests of its runs, the codes of its findings and its acts."""

    manifest: str
    acts: tuple[str, ...]
    codes: tuple[str, ...]


def left(root: Path) -> Built:
    """What the last build under a root left; raises OSError or ValueError where no run is whole."""
    manifests = sorted((root / "runs").glob("*/*/MANIFEST.sha256"))
    partial = [path for path in (root / "runs").glob("*/*.partial") if path.is_dir()]
    if not manifests or partial:
        raise ValueError(f"{len(manifests)} whole runs, {len(partial)} unfinished")
    told = json.loads((root / "acts.json").read_text(encoding="utf-8"))
    found = "".join(path.read_text(encoding="utf-8") for path in manifests)
    return Built(found, tuple(told["acts"]), tuple(told["codes"]))


def fresh(project: Path, root: Path) -> Path:
    """A new directory with a copy of the project; its recipe."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(project, root / "project")
    return root / "project" / "recipe.toml"


def chosen(acts: tuple[str, ...], count: int, seed: int) -> Iterator[Death]:
    """Deaths spread over all stages: as many of each as of any other, while there are acts."""
    chance = random.Random(seed)  # noqa: S311 - moments
    stages: dict[str, list[int]] = {}
    for number, act in enumerate(acts):
        stages.setdefault(act.partition(":")[0], []).append(number)
    for numbers in stages.values():
        chance.shuffle(numbers)
    found = 0
    while found < count and any(stages.values()):
        for numbers in stages.values():
            if numbers and found < count:
                yield Death(numbers.pop(), HOW[found % len(HOW)], chance.uniform(0.0, 0.05))
                found += 1


def warm() -> None:
    """Import what every build would import."""
    import duckdb  # noqa: F401
    import jinja2  # noqa: F401
    import peft  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import tokenizers  # noqa: F401
    import trl  # noqa: F401
    from transformers import AutoTokenizer, LlamaForCausalLM, Trainer  # noqa: F401

    import ftc  # noqa: F401
    from ftc.data import pipeline  # noqa: F401
    from ftc.runtime import main, score, trainer  # noqa: F401

    for name in os.environ.get("CRASH_TRAINERS", "trl:SFTTrainer").split():
        inside, _, kind = name.partition(":")
        getattr(import_module(inside), kind)


def learn(root: Path) -> None:
    """Import what a build under a root has imported, so that later ones need not."""
    for name in json.loads((root / "acts.json").read_text(encoding="utf-8"))["modules"]:
        if name not in sys.modules and name.partition(".")[0] in sys.modules:
            with suppress(Exception):
                import_module(name)


def once(project: Path, whole: Built, death: Death, root: Path) -> dict[str, Any]:
    """Kill a build, start it again, and say what came of it."""
    recipe = fresh(project, root)
    before = time.monotonic()
    killed = in_child(recipe, root, death)
    in_child(recipe, root, None) if killed else None
    told: dict[str, Any] = {"act": whole.acts[death.act], "how": death.how, "killed": killed}
    try:
        again = left(root)
    except (OSError, ValueError):
        log = (root / "child.log").read_text(encoding="utf-8", errors="replace")
        return {**told, "same": False, "log": log[-2000:]}
    steps = sum(act.endswith("event Step") for act in again.acts)
    seconds = round(time.monotonic() - before, 2)
    same = again.manifest == whole.manifest
    codes = [code for code in again.codes if code not in whole.codes]
    return {**told, "same": same, "steps": steps, "codes": codes, "seconds": seconds}


def full(project: Path, whole: Built, size: int, root: Path) -> dict[str, Any]:
    """Build on a disk of so many kilobytes, then on the same one with more room; say what came of it."""
    recipe = fresh(project, root)
    for name in ("cache", "runs"):
        (root / "disk" / name).mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(root / "disk")]
    subprocess.run(mount, check=True)
    try:
        for name in ("cache", "runs"):
            (root / name).symlink_to(root / "disk" / name)
            (root / "disk" / name).mkdir()
        in_child(recipe, root, None)
        codes = json.loads((root / "acts.json").read_text(encoding="utf-8"))["codes"]
        subprocess.run(["mount", "-o", "remount,size=100m", str(root / "disk")], check=True)
        in_child(recipe, root, None)
        same = left(root).manifest == whole.manifest
    finally:
        subprocess.run(["umount", str(root / "disk")], check=True)
    return {"size": size, "codes": [code for code in codes if code not in whole.codes], "same": same}


def main(project: Path, place: Path, what: str, seed: int = 0, only: str = "") -> None:
    """Build once to the end, then so many times with a death, or on full disks; a line of JSON each."""
    warm()
    before = time.monotonic()
    recipe = fresh(project, place / "whole")
    in_child(recipe, place / "whole", None)
    whole = left(place / "whole")
    learn(place / "whole")
    first = {"acts": len(whole.acts), "seconds": round(time.monotonic() - before, 2), "codes": whole.codes}
    tell(first)
    if what == "full":
        for size in SIZES:
            tell(full(project, whole, size, place / "full"))
        return
    deaths = chosen(whole.acts, len(whole.acts), seed)
    wanted = [death for death in deaths if re.match(only, whole.acts[death.act])]
    for death in wanted[: int(what)]:
        tell(once(project, whole, death, place / "killed"))


def tell(value: dict[str, Any]) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int((sys.argv[4:] or [0])[0]), *sys.argv[5:])
