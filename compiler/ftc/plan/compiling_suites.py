"""The rows of suites, compiled as the training rows are, and held against those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from ftc.data.compile import Locations, Progress, Request, compile_data
from ftc.data.compiled_rows import Rows
from ftc.data.overlap import overlapping
from ftc.diagnostics import Finding, Severity
from ftc.facts.cache import Cache
from ftc.facts.gather import Facts
from ftc.facts.suites import SuiteFacts
from ftc.plan.compiling import DataCompiler, data_findings
from ftc.plan.context import CompiledBaselines, CompiledSuite, SuiteRequest
from ftc.plan.steps import DataStep, Part, Plan, SplitStep, SuiteRows

LOST = ("too_long", "invalid", "unproved")
"""Fates of rows that a suite was meant to have."""


def renamed(part: Part, name: str) -> Part:
    """The part with its files under the names that they have beside the training rows."""
    shards = tuple(
        shard.model_copy(
            update={"file": shard.file.model_copy(update={"name": f"suite-{name}-{number:05d}.parquet"})}
        )
        for number, shard in enumerate(part.shards)
    )
    return part.model_copy(update={"shards": shards})


class SuiteCompiler:
    """Compiles suites' rows over the files where they are on this machine; knows where the results are."""

    def __init__(self, facts: Facts, cache: Cache, progress: Progress | None, training: DataCompiler) -> None:
        self.facts, self.cache, self.progress = facts, cache, progress
        self._places: dict[str, Path] = {}
        self._rows: dict[str, Rows] = {}
        self._training = training

    def files(self, plan: Plan) -> dict[str, Path | bytes]:
        """What the runtime reads for the suites of a plan, by the names of the files."""
        found: dict[str, Path | bytes] = {}
        for step in plan.all_suites:
            parts = [step.rows.part] if step.rows else []
            parts += [baseline.part for baseline in step.baselines]
            names = [shard.file.name for part in parts for shard in part.shards]
            found |= {name: self._places[name] for name in names}
        used = {function.file.name for step in plan.all_suites for function in step.functions}
        files = [metric for suite in self.facts.suites for metric in suite.functions]
        found |= {one.step.file.name: one.content for one in files if one.step.file.name in used}
        for suite in self.facts.suites:
            found |= suite.tasks.contents if suite.tasks is not None else {}
        return found

    def __call__(self, plan: Plan, request: SuiteRequest) -> CompiledSuite:
        """Compile the rows of a suite, or find them in the cache."""
        suite = request.suite
        assert plan.tokenizer is not None  # noqa: S101 - the order of the passes
        assert plan.model is not None  # noqa: S101
        sources = tuple(source.step for source in suite.sources)
        asked = Request(
            sources=sources,
            queries=(request.query,),
            tokenizer=plan.tokenizer,
            tokenizer_sha256=plan.model.compiled_by,
            render=request.render,
            limits=request.limits,
            split=SplitStep(fraction=None, rows=None, keys=(), seed=0),
        )
        locations = Locations(
            sources={source.step.name: source.paths for source in suite.sources},
            tokenizer=self.facts.model.tokenizer.file,
        )
        done = compile_data(asked, locations, cache=self.cache, progress=self.progress)
        facts = replace(self.facts, queries=(suite.query,) if suite.query else (), held_out=None)
        findings = tuple(_about(one, suite.name) for one in data_findings(done, facts, suite.origins))
        if done.step is None or done.directory is None:
            return CompiledSuite(None, findings=findings)
        part = self.kept(done.step.train, suite.name, done.directory)
        self._rows[suite.name] = Rows(asked, locations, done.step.train, done.directory, request.render)
        rows = SuiteRows(
            shipped=suite.settings.suite,
            sources=sources,
            query=request.query,
            render=request.render,
            part=part,
            ledger=done.step.ledger,
            references=suite.references,
        )
        findings += (
            *_lost(request, done.step),
            *self._trained(plan, request, done.directory, done.step.train),
        )
        labels = (done.step.labels or ()) if suite.references else ()
        longest = done.step.longest_target if suite.references else 0
        return CompiledSuite(rows, labels, longest, findings, done.step.classes)

    def baselines(self, plan: Plan, suite: SuiteFacts) -> CompiledBaselines:
        """The rows of a suite's baselines; those of a suite with rows of its own have been compiled."""
        from ftc.plan.baselines import Baselines, compiled_baselines

        span = suite.origins.value(*suite.at, "baselines")
        rows = self._rows.get(suite.name) if suite.query is not None else self._own(plan, "eval")
        if rows is None:
            return CompiledBaselines(())
        settings = suite.settings
        asked = Baselines(suite.name, settings.baselines or (), settings.examples, rows, suite.origins, span)
        return compiled_baselines(self, plan, asked)

    def training_rows(self, plan: Plan) -> Rows:
        """The training rows with what they were compiled from."""
        found = self._own(plan, "train")
        assert found is not None  # noqa: S101 - there are rows to train on
        return found

    def _own(self, plan: Plan, side: Literal["train", "eval"]) -> Rows | None:
        """One side of the compiled data."""
        made = self._training.rows(plan.data)
        assert plan.data is not None  # noqa: S101 - the order of the passes
        assert plan.render is not None  # noqa: S101
        part = plan.data.train if side == "train" else plan.data.eval
        if made is None or part is None:
            return None
        return Rows(made.request, made.locations, part, made.directory, plan.render)

    def eos(self, plan: Plan) -> str:
        """The text of the tokenizer's end token."""
        from tokenizers import Tokenizer

        assert plan.tokenizer is not None  # noqa: S101 - the order of the passes
        tokenizer = Tokenizer.from_file(str(self.facts.model.tokenizer.file))
        return str(tokenizer.id_to_token(plan.tokenizer.eos_id))

    def kept(self, part: Part, name: str, directory: Path) -> Part:
        """The part under its own names, whose places are noted."""
        named = renamed(part, name)
        for old, new in zip(part.shards, named.shards, strict=True):
            self._places[new.file.name] = directory / old.file.name
        return named

    def _trained(self, plan: Plan, request: SuiteRequest, directory: Path, part: Part) -> tuple[Finding, ...]:
        """A warning where the prompt of a suite's row is trained on."""
        training = self._training.directory
        if training is None or plan.data is None:
            return ()
        found = overlapping(directory, part, training, plan.data.train, self.cache)
        if not found:
            return ()
        suite = request.suite
        rows = "1 row" if len(found) == 1 else f"{len(found):,} rows"
        message = f"{rows} of the suite `{suite.name}` have a prompt that is trained on too"
        return (
            Finding(
                "FTC565",
                message,
                suite.origins.value("data", "query") or suite.origins.value(*suite.at),
                help=("leave them out of one of the two, or measure what was learned by heart",),
                notes=tuple(f"{own} and the training row {trained}" for own, trained in found[:3]),
                severity=Severity.WARNING,
            ),
        )


def _about(finding: Finding, name: str) -> Finding:
    return replace(finding, notes=(*finding.notes, f"in the rows of the suite `{name}`"))


def _lost(request: SuiteRequest, step: DataStep) -> tuple[Finding, ...]:
    """A warning for each reason for which rows of a suite cannot be measured."""
    suite = request.suite
    return tuple(
        Finding(
            "FTC564",
            f"{line.rows:,} of {step.ledger.read:,} rows of the suite `{suite.name}` are not measured: "
            f"{line.reason}",
            suite.origins.value("data", "query") or suite.origins.value(*suite.at),
            help=("shorten them, or leave them out in the query",),
            notes=(f"the first: {', '.join(line.first_ids[:3])}",),
            severity=Severity.WARNING,
        )
        for line in step.ledger.lines
        if line.fate in LOST
    )
