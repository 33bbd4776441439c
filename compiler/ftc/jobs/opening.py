"""A finished run opened for use: its plan, tokenizer and template, and the weights it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache, CacheProblem

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ftc.artifact.merged import BaseRun
    from ftc.data.template.chat_template import ChatTemplate
    from ftc.plan.steps import Part, Plan
    from ftc.runtime.ready import Ready

MODEL, DATA = "model", "data"
ROWS = 64
"""Rows of the run whose prompts are looked at, and whose ends tell what ends an answer."""
WRITES = "vocabulary"
"""The head of a model that writes text."""
INSTEAD = {
    "scores": "it gives a text one score; load it with AutoModelForSequenceClassification",
    "classes": "it tells classes apart; load it with AutoModelForSequenceClassification",
    "embedding": "it makes a vector of a text; load it with SentenceTransformer",
}
"""What a model does that does not write, by its head."""


def refused(run: Path, why: str, *helps: str) -> Finding:
    """The finding for a run that cannot be used."""
    return Finding("FTC770", f"`{run}` cannot be used: {why}", place=str(run), help=helps)


@dataclass(frozen=True)
class OpenRun:
    """A whole run: `plan` as the passes made it, `ready` with every step that the runtime needs."""

    directory: Path
    plan: Plan
    ready: Ready
    digest: str
    cache: Cache

    @property
    def model(self) -> Path:
        """The directory of what was trained: adapter or weights, with the tokenizer."""
        return self.directory / MODEL

    @property
    def is_adapter(self) -> bool:
        """Whether the run keeps an adapter, and not all weights."""
        return self.ready.tune.peft is not None

    @property
    def merges(self) -> bool:
        """Whether what was trained can be had as whole weights."""
        from ftc import tuning

        return not self.is_adapter or tuning.load(self.ready.tune.method).merges

    @property
    def is_chat(self) -> bool:
        """Whether the model was trained on conversations."""
        return self.ready.render.form == "chat"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.model / "tokenizer.json"))

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template that was trained with, at the date that it was trained with."""
        return chat_template(self.ready)

    def ids(self, text: str) -> list[int]:
        """The tokens of a prompt as it was trained: behind the first token where plain text has one."""
        bos = None if self.is_chat else self.ready.tokenizer.bos_id
        first = [] if bos is None else [bos]
        return [*first, *self.tokenizer.encode(text, add_special_tokens=False).ids]

    def rendered(self, messages: Sequence[Mapping[str, Any]], tools: Any = None) -> str:
        """A conversation up to where the model begins to speak. Raises TemplateProblem."""
        return self.template.render(messages, tools=tools, generation_prompt=True)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Some of the run's own compiled rows: tokens, mask and how many tokens the prompt has."""
        from ftc.runtime.rows import batches

        found: list[dict[str, Any]] = []
        for part in (self.ready.data.eval, self.ready.data.train):
            columns = self._columns(part)
            for batch in batches(part, self.directory / DATA, columns) if part and part.rows else ():
                found += batch.slice(0, ROWS).to_pylist()
                break
        return found[: 2 * ROWS]

    def _columns(self, part: Part | None) -> list[str]:
        import pyarrow.parquet as pq

        if part is None or not part.shards:
            return []
        there = pq.read_schema(self.directory / DATA / part.shards[0].file.name).names
        return [name for name in ("id", "input_ids", "mask", "prompt_length", "lengths") if name in there]

    @cached_property
    def prompts(self) -> list[list[int]]:
        """The tokens before the answer of some of the run's own rows; none where its rows have no prompt."""
        found = [row["input_ids"][: row["prompt_length"]] for row in self.rows if row.get("prompt_length")]
        return [ids for number, ids in enumerate(found) if ids not in found[:number]]

    @cached_property
    def begins_with_bos(self) -> bool:
        """Whether rows were trained behind a first token which the tokenizer or the template put there.

        A template may begin with the same token for its own reasons, as ChatML does where that token begins
        a turn: then it is the template's text.
        """
        bos = self.ready.tokenizer.special_tokens.get("bos_token")
        if self.is_chat and not self.template.uses("bos_token"):
            return False
        number = self.tokenizer.token_to_id(bos) if bos else None
        return bool(self.rows) and all(row["input_ids"][:1] == [number] for row in self.rows)

    @cached_property
    def stops(self) -> list[int]:
        """Ids that end an answer: the plan's end token, and special tokens that end the rows' answers."""
        from ftc.runtime.heldout import trained_end

        special = {id_ for id_, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        places = [(row["input_ids"], trained_end(row["mask"])) for row in self.rows if not row.get("lengths")]
        ends = {ids[end - 1] for ids, end in places if end}
        return sorted({self.ready.tokenizer.eos_id} | (ends & special))

    def stop_texts(self) -> tuple[str, ...]:
        """The same as text."""
        texts = (self.tokenizer.id_to_token(number) for number in self.stops)
        return tuple(text for text in texts if text)

    def base(self) -> Path | Finding:
        """The directory with the weights that the run began with; fetched or converted where it must be."""
        try:
            return base_weights(self)
        except CacheProblem as problem:
            from ftc.jobs.planning import cache_finding

            return cache_finding(problem)

    def whole(self) -> Path | Finding:
        """The directory with the run's whole weights, an adapter merged in float32; kept in the cache."""
        from ftc.artifact.merged import run_model
        from ftc.jobs.planning import cache_finding

        if not self.merges:
            method = self.ready.tune.method
            why = f"what {method} trains stands beside the model's weights and cannot be merged into them"
            return refused(self.directory, why, "use the adapter: ftc export RUN --to adapter")
        try:
            return run_model(self.as_base, self.base, self.cache)
        except CacheProblem as problem:
            return cache_finding(problem)

    @property
    def as_base(self) -> BaseRun:
        """The run as one that others begin with."""
        from ftc.artifact.merged import BaseRun

        return BaseRun(self.directory, self.plan, None)


def chat_template(ready: Ready) -> ChatTemplate:
    """The chat template of a plan, as inference renders it."""
    from ftc.data.rendering.renderer import clock
    from ftc.data.template.chat_template import ChatTemplate

    step = ready.render
    return ChatTemplate(
        step.chat_template or "",
        special_tokens=ready.tokenizer.special_tokens,
        variables={**step.variables, **clock(step.date)},
    )


def opened(run: Path, cache: Cache | None = None) -> OpenRun | Finding:
    """A run directory opened, or why it cannot be: it is not whole, or of another release."""
    from pydantic import ValidationError

    from ftc.artifact.run_directory import changed_since
    from ftc.plan.canonical import digest
    from ftc.plan.steps import Plan
    from ftc.runtime.failure import BuildError
    from ftc.runtime.ready import ready

    run = run.absolute()
    if not run.is_dir():
        return refused(run, "there is no such directory", "name a finished run: runs/NAME/DIGEST")
    if run.name.endswith(".partial"):
        return refused(run, "it is not finished", "run `ftc build` again: it goes on where it stopped")
    try:
        plan = Plan.model_validate_json((run / "plan.json").read_bytes())
        made = ready(plan)
    except (OSError, ValidationError, BuildError):
        return refused(run, "it has no plan that this release reads", "name a finished run: runs/NAME/DIGEST")
    changed = changed_since(run)
    if changed:
        why = f"its files are not those of its manifest ({', '.join(changed[:3])})"
        return refused(run, why, "look what differs: ftc verify RUN", "or delete it, and build it again")
    return OpenRun(run, plan, made, digest(plan), cache or Cache(user=str(run)))


def base_weights(run: OpenRun) -> Path | Finding:
    """The directory with the weights that a run began with. Raises CacheProblem."""
    from ftc.facts.materialise import model_directory, model_facts
    from ftc.recipe.load import load_recipe

    if run.ready.model.kind == "run":
        return _below(run)
    origins = load_recipe(run.directory / "recipe.toml").origins
    located = _located(run)
    facts = located if isinstance(located, Finding) else model_facts(located, origins, run.cache)
    return facts if isinstance(facts, Finding) else model_directory(facts, origins, run.cache)


def _below(run: OpenRun) -> Path | Finding:
    """The whole weights of the run that a run builds on, if it is still the one it was built on."""
    from ftc.artifact.chain import bases, manifest_digest, read_chain

    chain = bases(read_chain(run.directory))
    if not chain:
        return refused(run.directory, "its chain.json is missing", "build it again")
    link = chain[-1]
    place = (run.directory / link.place).resolve()
    again = f"build `{link.name}` again: it is made with the same bytes"
    lower = opened(place, run.cache)
    if isinstance(lower, Finding):
        return refused(run.directory, f"it builds on the run `{place}`, which is not there whole", again)
    if manifest_digest(place) != link.manifest_sha256:
        return refused(run.directory, f"the run it builds on has changed since: `{place}`", again)
    return lower.whole()


def _located(run: OpenRun) -> Any:
    """Where the model is that a run began with: on the hub, in a package, or beside the recipe."""
    from ftc.facts.locate_model import Located
    from ftc.facts.packaged import is_packaged, packaged_path

    step = run.ready.model
    if step.kind == "hub":
        return Located(step.location, "hub", None, step.revision)
    named = Path(step.location).expanduser()
    homes = [run.directory.parents[2], run.directory.parents[2].parent, Path.cwd()]
    places = [packaged_path(step.location)] if is_packaged(step.location) else [h / named for h in homes]
    found = next((place for place in places if place is not None and place.exists()), None)
    if found is None:
        why = f"the model it began with is not here: {step.location}"
        return refused(run.directory, why, "put it where the recipe says, or run this in the recipe's folder")
    return Located(step.location, step.kind, found, None)
