"""Times of the runtime's own work on this machine, from a few real steps of a plan, for the estimate.

The work is the runtime's: its loading, its evaluation, TRL's trainer with its additions, on the plan's rows.
Of micro-batches drawn as the sampler draws them the shortest, the middle and the longest are run, of
evaluation's batches the same. The first of a kind is marked: it pays for what is made lazily.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_json
from ftc.runtime import begin, checkpoints, load, save, score
from ftc.runtime.collate import together
from ftc.runtime.evaluate import Evaluator, Host
from ftc.runtime.events import Done, Event, Phase, Progress, Step
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop
from ftc.runtime.train import make_trainer
from ftc.runtime.trainer import Session
from ftc.runtime.vocabulary import tokenizer_directory

MEASURED = "measured.json"
DRAWN = 64
"""Micro-batches that are drawn, of which three are run."""

STEPS_AGAIN, BATCHES_AGAIN = 2, 1
"""Times that each size of micro-batch, and of evaluation's batch, is run beside the first of all."""

WRITTEN = 16
"""Tokens of an answer that are written at most."""


@dataclass(frozen=True)
class Timed:
    """One timed piece of work.

    For `training` and `losses` `lengths` are tokens of each row, and `positions` the columns with loss or the
    tokens that carry it; for `answers` `lengths` are of prompts and `written` says how many tokens were; for
    `labels` `labels` has each label's tokens.
    """

    kind: str
    adapted: bool
    first: bool
    seconds: float
    lengths: list[int]
    positions: int = 0
    written: int = 0
    labels: list[int] = field(default_factory=list)
    packed: bool = False


@dataclass
class Measurement:
    """The measurement under way: what was timed so far, and what happened once, in seconds and bytes."""

    plan: Ready
    job: Job
    emit: Callable[[Event], None]
    stop: Stop
    samples: list[Timed] = field(default_factory=list)
    once: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Time something that happens once."""
        started = time.perf_counter()
        yield
        self.once[name] = time.perf_counter() - started

    def time(self, kind: str, work: Callable[[], dict[str, Any]], *, adapted: bool) -> None:
        """Time a piece of work, which says what it was."""
        self.stop.check()
        started = time.perf_counter()
        about = work()
        self.add(kind, time.perf_counter() - started, about, adapted=adapted)

    def add(self, kind: str, seconds: float, about: dict[str, Any], *, adapted: bool) -> None:
        """Keep what a piece of work took, and what it was."""
        first = not any(each.kind == kind and each.adapted == adapted for each in self.samples)
        self.samples.append(Timed(kind, adapted, first, seconds, **about))


def measure(plan: Ready, job: Job, emit: Callable[[Event], None], stop: Stop) -> None:
    """Load, evaluate a little, train a few steps, evaluate again, save; the times go to `measured.json`.

    Raises StoppedError and BuildError.
    """
    from transformers import set_seed

    from ftc.runtime.main import verify

    emit(Phase("load", plan.model.location))
    measured = Measurement(plan, job, emit, stop)
    with measured.timing("load"):
        verify(plan, job)
        set_seed(plan.seed)
        model = load.load_base(plan, job.model)
        words = tokenizer_directory(plan, job)
        tokenizer = load.load_tokenizer(words)
        evaluator = _evaluator(plan, job, stop)
    if evaluator is not None:
        _evaluate(measured, evaluator, model, adapted=False)
    model = begin.begun(model, plan, job)
    model = _train(measured, model, tokenizer)
    if evaluator is not None:
        _evaluate(measured, evaluator, model, adapted=True)
    emit(Phase("save"))
    with measured.timing("save"):
        save.save_model(plan, model, words, job.run / "model")
    measured.once["save bytes"] = float(_size(job.run / "model"))
    write_json(job.run / MEASURED, _found(measured))
    emit(Done())


def _evaluator(plan: Ready, job: Job, stop: Stop) -> Evaluator | None:
    """That of the held-out rows; None where the plan measures nothing on them."""
    step = next((step for step in plan.suites if step.rows is None), None)
    if step is None or plan.data.eval is None or not plan.data.eval.rows:
        return None
    return Evaluator.make(
        Host.make(plan, job.data, tokenizer_directory(plan, job), emit=_silent, stop=stop),
        step,
        plan.data.eval,
    )


def _silent(_: Event) -> None:
    """Say nothing."""


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _found(measured: Measurement) -> dict[str, Any]:
    import torch

    device = measured.plan.environment.device
    return {
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "once": measured.once,
        "samples": [asdict(sample) for sample in measured.samples],
    }


def spread_out(items: Sequence[Any]) -> list[Any]:
    """The first, the middle and the last of items in order, each once."""
    places = dict.fromkeys((0, len(items) // 2, len(items) - 1))
    return [items[place] for place in places] if items else []


def rounds(items: Sequence[Any], again: int) -> list[Any]:
    """The first run, whose time stands apart, and then each of three sizes as often as it is to be run."""
    chosen = spread_out(items)
    return [chosen[len(chosen) // 2], *(chosen * again)] if chosen else []


def _evaluate(measured: Measurement, evaluator: Evaluator, model: Any, *, adapted: bool) -> None:
    """Some batches of each metric that the plan measures."""
    import torch

    measured.emit(Phase("evaluate", "after" if adapted else "before"))
    ways = {"loss": _losses, "answers": _answers, "labels": _labels}
    needs = dict.fromkeys(evaluator.metric(name).needs for name in evaluator.settings.metrics)
    model.eval()
    with torch.no_grad():
        for need in (need for need in needs if need in ways):
            kind, work, batches = ways[need](evaluator, model)
            runs = rounds(batches, BATCHES_AGAIN)
            for done, batch in enumerate(runs, 1):
                measured.time(kind, partial(work, batch), adapted=adapted)
                measured.emit(Progress(kind, done, len(runs)))


Work = tuple[str, Callable[[list[int]], dict[str, Any]], list[list[int]]]


def _losses(evaluator: Evaluator, model: Any) -> Work:
    held, pad = evaluator.heldout, evaluator.plan.tokenizer.pad_id

    def work(batch: list[int]) -> dict[str, Any]:
        tokens, masks = [held.tokens(row) for row in batch], [held.mask(row) for row in batch]
        score.row_losses(model, tokens, masks, pad_id=pad)
        longest = max(map(len, masks))
        columns = [any(place < len(mask) and mask[place] for mask in masks) for place in range(1, longest)]
        return {"lengths": list(map(len, tokens)), "positions": sum(columns)}

    return "losses", work, evaluator.batches(list(range(len(held.ids))), held.lengths)


def _asked(evaluator: Evaluator) -> list[list[int]]:
    lengths = [length or 0 for length in evaluator.heldout.prompt_lengths]
    return evaluator.batches(evaluator.heldout.answered, lengths)


def _answers(evaluator: Evaluator, model: Any) -> Work:
    """Answers up to some tokens."""
    limit, context = min(evaluator.settings.max_new_tokens, WRITTEN), evaluator.plan.model.context_length

    def work(batch: list[int]) -> dict[str, Any]:
        prompts = [evaluator.heldout.prompt(row) for row in batch]
        longest = min(limit, max(1, context - max(map(len, prompts))))
        pad = evaluator.plan.tokenizer.pad_id
        made = score.greedy(model, prompts, stops=evaluator.stops, pad_id=pad, longest=longest)
        return {"lengths": list(map(len, prompts)), "written": min(longest, 1 + max(map(len, made)))}

    return "answers", work, _asked(evaluator)


def _labels(evaluator: Evaluator, model: Any) -> Work:
    labels, pad = list(evaluator.labels.values()), evaluator.plan.tokenizer.pad_id

    def work(batch: list[int]) -> dict[str, Any]:
        prompts = [evaluator.heldout.prompt(row) for row in batch]
        score.label_scores(model, prompts, labels, pad_id=pad).sum().item()
        return {"lengths": list(map(len, prompts)), "labels": list(map(len, labels))}

    return "labels", work, _asked(evaluator)


class Clock:
    """Times a trainer's micro-batches and steps, from within; `rest` is what a step takes beside them.

    Answers that a micro-batch samples are timed apart, and `seen` says what it then is.
    """

    def __init__(self, measured: Measurement, steps: int) -> None:
        self.measured, self.steps = measured, steps
        self.rest: list[float] = []
        self.inside = self.apart = self.last = 0.0
        self.seen: dict[str, Any] | None = None

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """A trainer's `training_step`, timed; the loss is read in it, so the device has finished."""

        def timed(model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
            self.measured.stop.check()
            self.apart, self.seen = 0.0, None
            about = _micro_batch(inputs) if isinstance(inputs, dict) else {}
            started = time.perf_counter()
            found = step(model, inputs, *rest)
            self.inside = time.perf_counter() - started
            self.measured.add("training", self.inside - self.apart, self.seen or about, adapted=True)
            return found

        return timed

    def writing(self, write: Callable[..., Any], about: Callable[..., tuple[dict[str, Any], ...]]) -> Any:
        """What writes a trainer's sampled answers, timed; `about` says what was written and then is read."""

        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            found = write(*arguments)
            seconds = time.perf_counter() - started
            self.apart += seconds
            written, self.seen = about(*arguments, found)
            self.measured.add("answers", seconds, written, adapted=True)
            return found

        return timed

    def told(self, event: Event) -> None:
        """A step is done."""
        if not isinstance(event, Step):
            return
        now = time.perf_counter()
        if self.last:
            self.rest.append(max(0.0, now - self.last - self.inside))
        self.last = now
        self.measured.emit(Progress("steps", event.step, self.steps))


def _micro_batch(inputs: dict[str, Any]) -> dict[str, Any]:
    inputs = together(inputs)
    trained = int((inputs["labels"] != -100).sum()) if "labels" in inputs else 0
    if "attention_mask" in inputs:
        return {"lengths": inputs["attention_mask"].sum(dim=1).tolist(), "positions": trained}
    starts = [*(inputs["position_ids"][0] == 0).nonzero().flatten().tolist(), inputs["input_ids"].shape[1]]
    lengths = [end - start for start, end in pairwise(starts)]
    return {"lengths": lengths, "positions": trained, "packed": True}


def _sampled(_prompts: Any, found: Any) -> tuple[dict[str, Any], ...]:
    """What a trainer that samples wrote: lists of prompts' and of answers' tokens."""
    prompts, answers = list(map(len, found[0])), list(map(len, found[1]))
    whole = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    return {"lengths": prompts, "written": max(answers)}, {"lengths": whole, "positions": sum(answers)}


def _followed(_model: Any, inputs: dict[str, Any], _settings: Any, found: Any) -> tuple[dict[str, Any], ...]:
    """What the student of a distillation wrote itself: tokens, their mask and labels."""
    tokens, mask, labels = found
    prompts = inputs["prompt_attention_mask"].sum(dim=1).tolist()
    written = {"lengths": prompts, "written": tokens.shape[1] - inputs["prompts"].shape[1]}
    return written, {"lengths": mask.sum(dim=1).tolist(), "positions": int((labels != -100).sum())}


WRITES: dict[str, Callable[..., tuple[dict[str, Any], ...]]] = {
    "_generate": _sampled,
    "generate_on_policy_outputs": _followed,
}
"""Methods of trainers that write answers, and what tells how many."""


def drawn(lengths: Sequence[int], size: int, seed: int) -> list[list[int]]:
    """Micro-batches drawn at random, by the tokens they have with padding: the least first."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    rows = range(len(lengths))
    found = [chance.sample(rows, min(size, len(rows))) for _ in range(DRAWN)]

    def tokens(batch: list[int]) -> tuple[int, int]:
        taken = [lengths[row] for row in batch]
        return max(taken), sum(taken)

    return sorted(found, key=tokens)


def _train(measured: Measurement, model: Any, tokenizer: Any) -> Any:
    """A few optimizer steps of one micro-batch each, and a checkpoint behind the last."""
    from torch.utils.data import SequentialSampler

    measured.emit(Phase("train"))
    plan, job = measured.plan, measured.job
    started = time.perf_counter()
    few, steps = _few(plan, 1 + 3 * STEPS_AGAIN)
    clock = Clock(measured, steps)
    session = Session(few, job.data, job.run / METRICS, job.checkpoints, clock.told, measured.stop)
    trainer = make_trainer(few, job, session, model=model, tokenizer=tokenizer)
    lengths = _lengths(trainer.train_dataset)
    batches = drawn(lengths, plan.train.micro_batch, plan.seed)
    times = int(str(plan.train.arguments["per_device_train_batch_size"])) // plan.train.micro_batch
    order = [row for batch in rounds(batches, STEPS_AGAIN) for row in batch for _ in range(times)]
    trainer.train_dataset = trainer.train_dataset.select(order)
    trainer._get_train_sampler = lambda *_, **__: SequentialSampler(trainer.train_dataset)  # noqa: SLF001
    trainer.training_step = clock.around(trainer.training_step)
    for name, about in WRITES.items():
        if hasattr(trainer, name):
            setattr(trainer, name, clock.writing(getattr(trainer, name), about))
    save_checkpoint = trainer._save_checkpoint  # noqa: SLF001

    def timed_save(*arguments: Any) -> None:
        with measured.timing("checkpoint"):
            save_checkpoint(*arguments)

    trainer._save_checkpoint = timed_save  # noqa: SLF001
    before = len(measured.samples)
    trainer.train()
    measured.stop.check()
    ran = [sample.seconds for sample in measured.samples[before:]]
    whole = time.perf_counter() - started - measured.once["checkpoint"]
    measured.once["step"] = sorted(clock.rest)[len(clock.rest) // 2] if clock.rest else 0.0
    measured.once["trainer"] = max(0.0, whole - sum(ran) - measured.once["step"] * len(ran))
    measured.once["checkpoint bytes"] = float(
        _size(checkpoints.newest(job.checkpoints).directory or job.checkpoints)
    )
    return trainer.model


def _few(plan: Ready, steps: int) -> tuple[Ready, int]:
    """The plan with so many steps of one micro-batch each, and a checkpoint behind the last."""
    arguments = {"max_steps": steps, "save_steps": steps, "gradient_accumulation_steps": 1}
    step = plan.train.model_copy(update={"arguments": {**plan.train.arguments, **arguments}})
    return replace(plan, train=step), steps


def _lengths(dataset: Any) -> list[int]:
    """Tokens of each row, or of each packed sequence."""
    if "length" in dataset.column_names:
        return list(dataset["length"])
    import pyarrow.compute as pc

    table = dataset.with_format("arrow")
    return [
        length
        for start in range(0, len(table), 65_536)
        for length in pc.list_value_length(table[start : start + 65_536].column("input_ids")).to_pylist()
    ]
