"""What of a suite the recipe leaves open: its metrics, labels, lengths and gates; what its rows forbid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ftc import objectives
from ftc.diagnostics import Finding
from ftc.evaluation import METRICS, load
from ftc.evaluation.gates import Condition, parse
from ftc.facts.suites import SuiteFacts, options_of
from ftc.plan.context import Context, choice
from ftc.plan.steps import Choice, EvalStep, GateStep, JudgeStep, Plan
from ftc.recipe.evaluation import Eval
from ftc.recipe.suggest import listed

SHORT_ANSWER = 64
"""Tokens up to which an answer can be expected to match word for word."""

FREE_ANSWER = 256
"""Tokens of an answer where nothing says how long it should be."""

MEASURED = ("answers", "loss", "labels", "choices", "pairs", "judge")
"""What the runtime makes of a model for a metric (`ftc.evaluation.base.Needs`)."""


OF_HEAD = {"scores": ("pairs",), "classes": ("labels", "loss"), "embedding": ("embeddings",)}
"""The same of a model that writes no text, by what stands on its layers."""


@dataclass(frozen=True)
class Measured:
    """What the rows of a suite allow: labels in closed sets, the longest answer in tokens, references.

    `rewards` are the metrics by which sampled answers are scored in training, where they are.
    """

    labels: tuple[str, ...]
    longest_target: int
    references: bool = True
    rewards: tuple[str, ...] | None = None


@dataclass
class Settled:
    """A suite's step, as far as it came, with what was chosen and what is wrong."""

    step: EvalStep | None
    choices: tuple[Choice, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass
class _Open:
    """A suite that is being settled."""

    found: SuiteFacts
    measured: Measured
    plan: Plan
    context: Context
    choices: list[Choice] = field(default_factory=list)

    @property
    def suite(self) -> Eval:
        return self.found.settings

    def choose(self, key: str, value: object, reason: str) -> None:
        """Note a choice under the recipe key that would have made it."""
        place = "eval" if len(self.found.at) == 1 else f"eval.{self.found.name}"
        self.choices.append(choice(f"{place}.{key}", value, reason))  # type: ignore[arg-type]


def settled(found: SuiteFacts, measured: Measured, plan: Plan, context: Context) -> Settled:
    """The step of a suite; `rows`, if it has its own, and baselines are put in by who compiles them."""
    about = _Open(found, measured, plan, context)
    names = _names(about)
    wrong = _unfit(about, names)
    if wrong is not None:
        return Settled(None, findings=(wrong,))
    unusable = _unusable(about, names)
    if unusable:
        return Settled(None, findings=unusable)
    gates, misses = _gates(about, names)
    if misses:
        return Settled(None, findings=misses)
    suite = about.suite
    step = EvalStep(
        metrics=names,
        labels=_labels(about, names),
        max_new_tokens=_length(about, names),
        batch=suite.batch,
        name=found.name,
        options=suite.options,
        functions=tuple(metric.step for metric in found.functions),
        gates=gates,
        judge=_judge(suite),
    )
    return Settled(step, tuple(about.choices))


def _judge(suite: Eval) -> JudgeStep | None:
    if suite.judge is None:
        return None
    judge = suite.judge
    return JudgeStep(
        endpoint=judge.endpoint,
        model=judge.model,
        key=judge.key.env if judge.key else None,
        prompt=judge.prompt,
    )


def _needs(name: str) -> str:
    return load(name).needs if name in METRICS else "answers"


def _names(about: _Open) -> tuple[str, ...]:
    """The names of the metrics: those that are stated, the shipped suite's, or what the rows suggest."""
    suite, measured = about.suite, about.measured
    if suite.metrics is not None:
        return tuple(
            entry if isinstance(entry, str) else entry.python.rpartition(":")[2] for entry in suite.metrics
        )
    if suite.suite is not None:
        from ftc.evaluation.suites import SUITES

        names = tuple(SUITES[suite.suite].metrics)
        about.choose("metrics", list(names), f"those of the suite `{suite.suite}`")
        return names
    if measured.rewards is not None and not suite.own_rows:
        about.choose("metrics", list(measured.rewards), "the rewards that are metrics by their names")
        return measured.rewards
    step = about.plan.objective
    own = objectives.load(step.name).metrics if step else None
    headed = step is not None and step.head != "vocabulary"
    if own is not None and (headed or not suite.own_rows) and all(name in METRICS for name in own):
        about.choose("metrics", list(own), "those of the objective")
        return own
    metrics, reasons = ["loss"], ["loss always"]
    if 0 < measured.longest_target <= SHORT_ANSWER:
        metrics.append("exact_match")
        reasons.append(f"the answers are short, {measured.longest_target} tokens at most")
    if measured.labels or suite.labels:
        metrics.append("label_accuracy")
        reasons.append("and from a closed set")
    about.choose("metrics", list(metrics), "; ".join(reasons))
    return tuple(metrics)


def _labels(about: _Open, names: tuple[str, ...]) -> tuple[str, ...]:
    if not any(_needs(name) == "labels" for name in names):
        return ()
    stated = about.suite.labels
    if stated is not None:
        return stated
    labels = about.measured.labels
    where = "the suite's" if about.suite.own_rows else "the training"
    about.choose("labels", list(labels), f"all answers that occur in {where} rows")
    return labels


def _length(about: _Open, names: tuple[str, ...]) -> int:
    suite, measured = about.suite, about.measured
    generates = any(_needs(name) in ("answers", "judge") for name in names)
    known = measured.references and measured.longest_target > 0
    longest = measured.longest_target + 1 if known else FREE_ANSWER
    reason = "the longest answer and its end token" if known else "the rows do not say how long answers are"
    if suite.suite is not None:
        from ftc.evaluation.suites import SUITES

        longest, reason = SUITES[suite.suite].max_new_tokens, f"that of the suite `{suite.suite}`"
    if suite.max_new_tokens is None and generates:
        about.choose("max_new_tokens", longest, reason)
    return suite.max_new_tokens or longest


def _unusable(about: _Open, names: tuple[str, ...]) -> tuple[Finding, ...]:
    """What the metrics' libraries say of the suite's options."""
    found = about.found
    span = found.origins.value(*found.at, "metrics")
    options = options_of(about.suite, ())
    late = [load(name).late_problems(options) for name in names if name in METRICS]
    return tuple(replace(one, span=span) for findings in late for one in findings)


def _unfit(about: _Open, names: tuple[str, ...]) -> Finding | None:
    """The finding for a metric which the rows cannot serve."""
    found, measured = about.found, about.measured
    span = found.origins.value(*found.at, "metrics")
    head = about.plan.objective.head if about.plan.objective else "vocabulary"
    for name in names:
        needs = _needs(name)
        if needs in MEASURED and needs not in OF_HEAD.get(head, MEASURED):
            message = f"`{name}` cannot be measured: the model gives {head} and writes no text"
            usual = [known for known in METRICS if _needs(known) in OF_HEAD[head]]
            helps = (f"measure {listed(usual)}",)
            return Finding("FTC507", message, span, help=helps)
        if needs not in MEASURED and needs not in OF_HEAD.get(head, ()):
            message = f"`{name}` needs {needs}, which this build does not make"
            return Finding("FTC507", message, span, help=("measure another metric",))
        if not measured.references and name in METRICS and not load(name).alone:
            message = f"`{name}` compares answers with references, and the rows of `{found.name}` have none"
            helps = ("return a column `reference`, or measure what an answer shows alone",)
            return Finding("FTC563", message, span, help=helps)
    return _without_answers(about, names)


def _without_answers(about: _Open, names: tuple[str, ...]) -> Finding | None:
    found, measured = about.found, about.measured
    span = found.origins.value(*found.at, "metrics")
    if about.plan.objective is not None and about.plan.objective.head != "vocabulary":
        return None
    answered = [name for name in names if _needs(name) in ("answers", "labels", "judge")]
    if measured.longest_target == 0 and measured.references and answered:
        return Finding(
            "FTC507",
            "the rows have no answers, so only the loss can be measured",
            span,
            help=('write metrics = ["loss"]',),
        )
    labelled = [name for name in names if _needs(name) == "labels"]
    if labelled and not (measured.labels or about.suite.labels):
        where = "suite's" if about.suite.own_rows else "training"
        return Finding(
            "FTC507",
            f"{labelled[0]} needs a closed set of answers, and the {where} rows show none",
            span,
            help=('name the answers in [eval]: labels = ["…", "…"]',),
        )
    return None


def _gates(about: _Open, names: tuple[str, ...]) -> tuple[tuple[GateStep, ...], tuple[Finding, ...]]:
    """The gates by metric, in the order of the metrics, and those that are about none of them."""
    suite, found = about.suite, about.found
    texts = dict(suite.gates)
    if suite.gate is not None:
        texts[names[0]] = suite.gate
    missing = [metric for metric in texts if metric not in names]
    if missing:
        span = found.origins.key(*found.at, "gates", missing[0])
        message = f"the gate is about `{missing[0]}`, which `{found.name}` does not measure"
        return (), (Finding("FTC561", message, span, help=(f'add "{missing[0]}" to its metrics',)),)
    return stated_gates({metric: texts[metric] for metric in names if metric in texts}), ()


def stated_gates(texts: Mapping[str, str]) -> tuple[GateStep, ...]:
    """The gates that are stated, by their metrics; what cannot be read was said when the recipe was."""
    read = [(metric, text, parse(text)) for metric, text in texts.items()]
    return tuple(
        GateStep(
            metric=metric,
            comparison=condition.comparison,
            factor=condition.factor,
            offset=condition.offset,
            text=text,
        )
        for metric, text, condition in read
        if isinstance(condition, Condition)
    )


def with_baselines(
    step: EvalStep, suite: SuiteFacts, plan: Plan, context: Context
) -> tuple[EvalStep, tuple[Finding, ...]]:
    """The step with the rows of the baselines that the recipe asks for."""
    if not suite.settings.baselines:
        return step, ()
    done = context.compile_baselines(plan, suite)
    return step.model_copy(update={"baselines": done.steps}), done.findings
