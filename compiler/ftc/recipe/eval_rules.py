"""Settings of suites that are each well-formed but make no sense together, or name what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftc.diagnostics import Finding
from ftc.evaluation import METRICS, load
from ftc.evaluation.gates import GateMistake, parse
from ftc.recipe.layers import Key
from ftc.recipe.settings import Settings
from ftc.recipe.suggest import closest, did_you_mean, listed

HOLDING = ("eval", "column", "query")
"""The keys of [data.split], each of which says which rows are held out."""

OWN_ROWS = ("suite", "query", "sources", "tasks")
"""The keys of a suite that give it rows of its own."""

OF_TASKS = ("tasks", "task_files", "limit", "name", "gates", "batch")
"""The keys that go with tasks of lm-evaluation-harness."""


def suites(settings: Settings) -> list[Key]:
    """The places of all suites: one table, or the elements of an array of tables."""
    value = settings.get("eval")
    if isinstance(value, dict):
        return [("eval",)]
    return [
        ("eval", i) for i, one in enumerate(value if isinstance(value, list) else ()) if isinstance(one, dict)
    ]


def _shown(path: Key) -> str:
    return ".".join(str(part) for part in path if isinstance(part, str))


def own_rows(settings: Settings, suite: Key) -> bool:
    """Whether a suite has rows of its own."""
    return settings.has_any(*((*suite, key) for key in OWN_ROWS))


def _words(settings: Settings, path: Key) -> list[str]:
    """The metrics of a suite by their names in reports."""
    value = settings.get(*path)
    return [metric_name(one) for one in (value if isinstance(value, list) else ())]


def metric_name(entry: Any) -> str:
    """A metric's name in reports: of one's own function, the function's."""
    if isinstance(entry, dict):
        return str(entry.get("python", "")).rpartition(":")[2]
    return entry if isinstance(entry, str) else ""


def without_split(settings: Settings) -> Iterator[Finding]:
    """What is measured needs held-out rows to be measured on."""
    if any(settings.has("data", "split", key) for key in HOLDING):
        return
    keys = ("metrics", "gate", "gates", "labels", "max_new_tokens", "baselines")
    for suite in suites(settings):
        given = [key for key in keys if settings.has(*suite, key)]
        if settings.is_text:
            given = [key for key in given if key == "metrics"]
        if given and not own_rows(settings, suite):
            message = f"`eval.{given[0]}` has no effect: no rows are held out"
            yield settings.wrong(message, (*suite, given[0]), "add split = { eval = 0.1 } to [data]")


def labels_without_metric(settings: Settings) -> Iterator[Finding]:
    """Labels serve metrics among labels, and exact match."""
    for suite in suites(settings):
        metrics = settings.get(*suite, "metrics")
        if not settings.has(*suite, "labels") or not isinstance(metrics, list):
            continue
        names = [name for name in metrics if isinstance(name, str) and name in METRICS]
        served = [name for name in names if name == "exact_match" or load(name).needs == "labels"]
        if not served and len(names) == len(metrics):
            message = "`eval.labels` has no effect: none of the metrics uses labels"
            help_line = 'add "label_accuracy" to `eval.metrics`'
            yield settings.wrong(message, (*suite, "labels"), help_line)


def answers_of_documents(settings: Settings) -> Iterator[Finding]:
    """A whole document has no answer to compare."""
    for suite in suites(settings) if settings.is_text else ():
        if own_rows(settings, suite):
            continue
        metrics = settings.get(*suite, "metrics")
        for index, metric in enumerate(metrics if isinstance(metrics, list) else ()):
            if isinstance(metric, dict) or (metric in METRICS and load(metric).needs != "loss"):
                message = f'"{metric_name(metric)}" compares answers, and documents have none'
                yield settings.wrong(message, (*suite, "metrics", index), 'write metrics = ["loss"]')
        for key in ("labels", "max_new_tokens", "baselines"):
            if settings.has(*suite, key):
                message = f"`eval.{key}` is about answers, and documents have none"
                yield settings.wrong(message, (*suite, key), f"remove `{key}`")


def one_kind_of_rows(settings: Settings) -> Iterator[Finding]:
    """A shipped suite has its rows; a query says which others are measured."""
    for suite in suites(settings):
        for key in ("query", "sources"):
            if settings.has(*suite, "suite") and settings.has(*suite, key):
                message = f"`eval.{key}` contradicts `eval.suite`: both say which rows are measured"
                yield settings.wrong(message, (*suite, key), "remove one of the two")


def of_tasks(settings: Settings) -> Iterator[Finding]:
    """Tasks of the harness have rows and metrics of their own, and keys of their own."""
    for suite in suites(settings):
        if settings.has(*suite, "tasks"):
            yield from _beside_tasks(settings, suite)
            continue
        for key in [key for key in ("task_files", "limit") if settings.has(*suite, key)]:
            message = f"`eval.{key}` has no effect: the suite names no tasks"
            yield settings.wrong(message, (*suite, key), 'add tasks = ["arc_easy"]')


def _beside_tasks(settings: Settings, suite: Key) -> Iterator[Finding]:
    for key in [key for key in settings.get(*suite) if key not in (*OF_TASKS, "gate")]:
        message = f"`eval.{key}` contradicts `eval.tasks`: tasks have rows and metrics of their own"
        yield settings.wrong(message, (*suite, key), "remove one of the two")
    if settings.has(*suite, "gate"):
        message = "`eval.gate` is about the first of `eval.metrics`, and tasks have metrics of their own"
        help_ = 'say which: gates."arc_easy.acc" = ">= base - 0.02"'
        yield Finding("FTC561", message, settings.origins.key(*suite, "gate"), help=(help_,))


def shipped_suites(settings: Settings) -> Iterator[Finding]:
    """A shipped suite is known by its name."""
    for suite in suites(settings):
        name = settings.get(*suite, "suite")
        if not isinstance(name, str) or not name:
            continue
        from ftc.evaluation.suites import SUITES

        if name not in SUITES:
            span = settings.origins.value(*suite, "suite")
            help_ = did_you_mean(name, list(SUITES)) or (f"ftc ships {listed(list(SUITES))}",)
            yield Finding("FTC105", f'ftc ships no suite "{name}"', span, help=help_)


def names_of_suites(settings: Settings) -> Iterator[Finding]:
    """Several suites are told apart by their names."""
    seen: set[str] = set()
    for suite in suites(settings):
        name = settings.get(*suite, "name") or settings.get(*suite, "suite")
        if name is None and settings.has(*suite, "tasks"):
            name = "harness"
        if name is None:
            name = "query" if own_rows(settings, suite) else "held_out"
        if name in seen:
            path = (*suite, "name") if settings.has(*suite, "name") else suite
            message = f"two suites are called `{name}`"
            span = settings.origins.value(*path)
            yield Finding("FTC107", message, span, help=('give each a name of its own: name = "…"',))
        seen.add(str(name))


def gates(settings: Settings) -> Iterator[Finding]:
    """A gate is a comparison, and about a metric that the suite measures."""
    for suite in suites(settings):
        names = _words(settings, (*suite, "metrics"))
        texts: list[tuple[Key, Any]] = [((*suite, "gate"), settings.get(*suite, "gate"))]
        several = settings.get(*suite, "gates")
        named = several if isinstance(several, dict) else {}
        texts += [((*suite, "gates", metric), text) for metric, text in named.items()]
        for path, text in texts:
            yield from _gate(settings, path, text)
        if settings.has(*suite, "tasks"):
            continue
        yield from _of_no_metric(settings, suite, names, [str(metric) for metric in named])


def _gate(settings: Settings, path: Key, text: Any) -> Iterator[Finding]:
    found = parse(text) if isinstance(text, str) and text else None
    if isinstance(found, GateMistake):
        end = max(found.end, found.start + 1)
        span = settings.origins.inside(path, found.start, end) or settings.origins.value(*path)
        yield Finding("FTC560", found.message, span, help=(found.help,))


def _of_no_metric(settings: Settings, suite: Key, names: list[str], gated: list[str]) -> Iterator[Finding]:
    if settings.has(*suite, "gate") and not names and not settings.has(*suite, "suite"):
        message = "`eval.gate` is about the first of `eval.metrics`, and none is stated"
        span = settings.origins.key(*suite, "gate")
        yield Finding("FTC561", message, span, help=('name it: metrics = ["exact_match"]',))
    if settings.has(*suite, "gate") and names and names[0] in gated:
        message = f"`eval.gate` and `eval.gates.{names[0]}` are about the same metric"
        yield settings.wrong(message, (*suite, "gate"), "remove one of the two")
    for metric in gated:
        if metric in names or (not names and metric in METRICS):
            continue
        span = settings.origins.key(*suite, "gates", metric)
        near = closest(metric, names or METRICS)
        helps = (f'did you mean "{near[0]}"?',) if near else (f'add "{metric}" to `eval.metrics`',)
        notes = (f"measured are {listed(names)}",) if names else ()
        message = f"the gate is about `{metric}`, which is not measured"
        yield Finding("FTC561", message, span, help=helps, notes=notes)


def baselines_of_loss(settings: Settings) -> Iterator[Finding]:
    """Examples before a prompt change answers; where none are made there is nothing to see."""
    for suite in suites(settings):
        metrics = settings.get(*suite, "metrics")
        names = [one for one in metrics if isinstance(one, str)] if isinstance(metrics, list) else []
        if (
            not settings.has(*suite, "baselines")
            or not isinstance(metrics, list)
            or len(names) < len(metrics)
        ):
            continue
        if names and all(name in METRICS and load(name).needs == "loss" for name in names):
            message = "`eval.baselines` has no effect: only the loss is measured"
            yield settings.wrong(message, (*suite, "baselines"), 'add "exact_match" to `eval.metrics`')
    for suite in suites(settings):
        if settings.has(*suite, "examples") and not settings.has(*suite, "baselines"):
            message = "`eval.examples` has no effect: the suite has no baselines"
            help_line = 'add baselines = ["few_shot"], or remove `examples`'
            yield settings.wrong(message, (*suite, "examples"), help_line)


def repeated(settings: Settings) -> Iterator[Finding]:
    """A word that stands twice in a list is a slip; an empty label matches nothing."""
    for suite in suites(settings):
        for key in ("metrics", "labels", "baselines", "tasks"):
            yield from _repeated(settings, (*suite, key))


def _repeated(settings: Settings, path: Key) -> Iterator[Finding]:
    words = settings.get(*path)
    words = words if isinstance(words, list) else []
    for index, word in enumerate(words):
        if isinstance(word, str) and word in words[:index]:
            message = f'"{word}" stands in `{_shown(path)}` twice'
            yield settings.wrong(message, (*path, index), "remove one of the two")
        elif path[-1] == "labels" and isinstance(word, str) and not word.strip():
            span = settings.origins.value(*path, index)
            yield Finding("FTC104", "`eval.labels` has an empty entry", span, help=("remove it",))


RULES = (
    without_split,
    labels_without_metric,
    answers_of_documents,
    one_kind_of_rows,
    of_tasks,
    shipped_suites,
    names_of_suites,
    gates,
    baselines_of_loss,
    repeated,
)
