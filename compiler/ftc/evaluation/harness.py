"""Tasks of EleutherAI's lm-evaluation-harness, by name, put to a model through functions of the runtime.

The harness is the package `lm-eval`. It fetches a task's rows from a hub unless they are in its cache or in
local files, so a task that works here may not work on a machine without a network.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding
from ftc.evaluation import checks
from ftc.evaluation.base import Better

NAMED = re.compile(
    rb"""^["']?(?:task|group|tag)["']?:[ \t]*["']?([\w.+:/-]+)["']?[ \t]*(?:\#.*)?\r?$""", re.MULTILINE
)
LONGEST = 256
"""Tokens of an answer where a task states no length; the harness's own default."""


class SamplingError(Exception):
    """A task wants answers that are drawn at random."""


@dataclass(frozen=True)
class Functions:
    """What the harness asks of a model.

    `encode` makes tokens of a text; `prefix` is the token that stands before a text alone, `end` the one that
    ends an answer, `context_length` how many tokens the model reads at once. `score` gives the summed
    log-probability of each continuation after its context, both as tokens, and whether it is what the model
    would have written. `write` gives an answer to each prompt, from its text and the tokens at most.
    """

    encode: Callable[[str], list[int]]
    prefix: int
    end: int
    context_length: int
    score: Callable[[Sequence[tuple[list[int], list[int]]]], list[tuple[float, bool]]]
    write: Callable[[Sequence[tuple[str, int]]], list[str]]


@dataclass(frozen=True)
class TaskRow:
    """A row of a task by its number: what was asked, what is right, and what the model made of it."""

    number: int
    prompt: str
    reference: str
    answer: str


@dataclass(frozen=True)
class TaskResult:
    """One figure of one task; `scores` are those of its `rows` in order, or empty where rows have none."""

    task: str
    metric: str
    value: float
    better: Better
    scores: tuple[float, ...]
    rows: tuple[TaskRow, ...] = ()


def problems(tasks: Sequence[str], own: Path | None = None) -> checks.Findings:
    """FTC570 where the harness is not installed, FTC578 for each task that it does not have.

    `own` is a directory with task files of the user's, which are looked at as well.
    """
    if find_spec("lm_eval") is None:
        message = "tasks of lm-evaluation-harness need the package lm-eval, which is not installed"
        return (Finding("FTC570", message, help=('install it: pip install "ftc[harness]"',)),)
    return tuple(unknown(tasks, own).values())


def unknown(tasks: Sequence[str], own: Path | None = None) -> dict[str, Finding]:
    """The same for each task that the harness, which is installed, does not have."""
    there = names(own) if own is not None else set()
    if not set(tasks) <= there:
        there |= {name for root in _roots() for name in names(root)}
    missing = [task for task in tasks if task not in there]
    indexed = _indexed(own) if missing else set()
    return {task: _unknown(task, there | indexed) for task in missing if task not in indexed}


def version() -> str:
    """The version of the harness that is installed."""
    from importlib.metadata import version

    return version("lm-eval")


def _unknown(task: str, there: set[str]) -> Finding:
    near = get_close_matches(task, sorted(there), 1)
    help_line = f'write "{near[0]}"' if near else "its tasks are listed by: lm-eval ls tasks"
    return Finding("FTC578", f"lm-evaluation-harness has no task `{task}`", help=(help_line,))


def _roots() -> Iterator[Path]:
    found = find_spec("lm_eval")
    for place in (found.submodule_search_locations or ()) if found else ():
        yield Path(place) / "tasks"


def names(root: Path) -> set[str]:
    """The tasks, groups and tags that the files under a directory name in so many words."""
    files = sorted(root.rglob("*.yaml"))
    return {name.decode() for file in files for name in NAMED.findall(file.read_bytes())}


def _indexed(own: Path | None) -> set[str]:
    """All tasks by the harness's own index, in a process of its own: it takes seconds and loads torch."""
    lister = (
        "import json, sys; from pathlib import Path; from ftc.evaluation.harness import manager;"
        "own = Path(sys.argv[1]) if sys.argv[1:] else None;"
        "print(json.dumps(sorted(manager(own, shipped=True).all_tasks)))"
    )
    command = [sys.executable, "-c", lister, *([str(own)] if own else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else set()


def manager(own: Path | None, *, shipped: bool) -> Any:
    """The harness's own index of tasks, of a directory, and of those that it ships."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(own) if own else None, include_defaults=shipped)


def adapted(functions: Functions) -> Any:
    """The functions as a model of the harness, which cuts texts into tokens by its own rules."""
    from lm_eval.api.model import TemplateLM
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    class Adapted(TemplateLM):  # type: ignore[misc]
        eot_token_id = functions.end
        prefix_token_id = functions.prefix

        def tok_encode(self, string: str, **_: Any) -> list[int]:
            return functions.encode(string)

        def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
            return functions.score([(context, continuation) for _, context, continuation in requests])

        def loglikelihood_rolling(self, requests: Sequence[Any], **_: Any) -> list[float]:
            return [sum(score for score, _ in functions.score(windows(one.args[0]))) for one in requests]

        def generate_until(self, requests: Sequence[Any], **_: Any) -> list[str]:
            asked = [_asked(*request.args) for request in requests]
            written = functions.write([(prompt, longest) for prompt, _, longest in asked])
            return [_until(text, stops) for text, (_, stops, _) in zip(written, asked, strict=True)]

    def windows(text: str) -> list[tuple[list[int], list[int]]]:
        tokens = functions.encode(text)
        cut = get_rolling_token_windows(tokens, functions.prefix, functions.context_length, 1)
        return [make_disjoint_window(window) for window in cut]

    return Adapted()


def _asked(prompt: str, settings: dict[str, Any]) -> tuple[str, tuple[str, ...], int]:
    """A prompt with its stop texts and longest answer. Raises SamplingError where answers are drawn."""
    if settings.get("do_sample") or settings.get("temperature"):
        raise SamplingError("a task that samples its answers is left to chance, and is not measured")
    stops = settings.get("until") or ()
    stops = (stops,) if isinstance(stops, str) else tuple(stops)
    return prompt, stops, int(settings.get("max_gen_toks") or LONGEST)


def _until(text: str, stops: tuple[str, ...]) -> str:
    """An answer up to the first stop text."""
    for stop in stops:
        text = text.partition(stop)[0] if stop else text
    return text


SEEDS = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")


def measured(
    tasks: Sequence[str],
    functions: Functions,
    *,
    own: Path | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> tuple[TaskResult, ...]:
    """Every figure of the tasks, in their order; `limit` takes the first rows of each task alone."""
    from lm_eval import simple_evaluate

    shipped = not own or not set(tasks) <= names(own)
    found = simple_evaluate(
        model=adapted(functions),
        tasks=[*tasks],
        task_manager=manager(own, shipped=shipped),
        bootstrap_iters=0,
        log_samples=True,
        limit=limit,
        **dict.fromkeys(SEEDS, seed),
    )
    return tuple(_results(found))


def _results(found: dict[str, Any]) -> Iterator[TaskResult]:
    for task, figures in found["results"].items():
        rows = sorted(found.get("samples", {}).get(task, ()), key=lambda row: row["doc_id"])
        for key, value in figures.items():
            metric, comma, kind = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            higher = found["higher_is_better"].get(task, {}).get(metric, True)
            own = [row for row in rows if row.get("filter", kind) == kind]
            name = metric if kind == "none" else f"{metric}.{kind}"
            better: Better = "lower" if higher is False else "higher"
            yield TaskResult(task, name, float(value), better, _scores(own, metric), tuple(map(_row, own)))


def _row(sample: dict[str, Any]) -> TaskRow:
    """A row as the harness logs it; of several continuations, the right one and the likeliest."""
    asked, target = sample["arguments"], sample["target"]
    answers = sample["filtered_resps"]
    if len(asked) > 1:
        likeliest = max(range(len(asked)), key=lambda place: answers[place][0])
        right = asked[target][1] if isinstance(target, int) and 0 <= target < len(asked) else str(target)
        return TaskRow(sample["doc_id"], asked[0][0], right.strip(), asked[likeliest][1].strip())
    answer = answers[0] if answers and isinstance(answers[0], str) else ""
    return TaskRow(sample["doc_id"], asked[0][0], str(target), answer)


def _scores(rows: list[dict[str, Any]], metric: str) -> tuple[float, ...]:
    """The rows' own scores, where each has one that is a number."""
    found = [row.get(metric) for row in rows]
    plain = [float(one) for one in found if isinstance(one, int | float)]
    return tuple(plain) if len(plain) == len(rows) else ()
