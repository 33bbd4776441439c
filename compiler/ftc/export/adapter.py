"""The adapter as PEFT loads it, with tokenizer and chat template, its base model named and pinned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ftc.artifact.files import sha256, write_json, write_text
from ftc.diagnostics import Finding
from ftc.export.known import of_few_bits, of_the_template
from ftc.export.torch_work import done, logits_check, logits_job, prompts_check, prompts_job
from ftc.export.work import Check, Choice, Made, Work, impossible
from ftc.runtime.save import ADAPTER_CONFIG

BASE = "base_model.json"
"""What the adapter stands on, by digest."""


def export(work: Work) -> Made | Finding:
    """Copy the adapter, pin its base, and compare logits and prompts with the run's."""
    if not work.run.is_adapter:
        return impossible(work, "all its weights were trained", "export them: --to merged")
    return adapter(work, work.directory)


def adapter(work: Work, target: Path) -> Made | Finding:
    """The same into a directory of a larger export."""
    run = work.run
    base = run.base() if run.is_adapter else None
    if isinstance(base, Finding):
        return base
    copied = copy(work, target)
    work.say("comparing it with the run")
    asked: dict[str, Any] = {"prompts": prompts_job(run, target)}
    if run.ready.objective.head != "embedding":
        asked["logits"] = logits_job(work, base, {"exported": str(target)})
    found = done(work, asked)
    if isinstance(found, Finding):
        return found
    checks = [copied, prompts_check(run, found["prompts"])]
    checks += [logits_check(found["logits"], "float32")] if "logits" in found else []
    return Made(tuple(checks), pinned(work), (*of_the_template(run), *of_few_bits(run)))


def copy(work: Work, target: Path) -> Check:
    """Copy the run's model; its configuration names the base's commit where it has one."""
    model, step = work.run.model, work.run.ready.model
    shutil.copytree(model, target, dirs_exist_ok=True)
    file = target / ADAPTER_CONFIG
    if file.is_file():
        config = json.loads(file.read_text(encoding="utf-8"))
        write_json(file, {**config, "revision": step.revision if step.kind == "hub" else None})
        write_json(target / BASE, _base(work))
        write_text(target / "README.md", _readme(work))
    names = [p.relative_to(model).as_posix() for p in sorted(model.rglob("*")) if p.is_file()]
    kept = [name for name in names if name != ADAPTER_CONFIG]
    same = sum(sha256(model / name) == sha256(target / name) for name in kept)
    return Check("files", same == len(kept), f"{same} of {len(kept)} files are the run's, byte for byte")


def _base(work: Work) -> dict[str, Any]:
    step = work.run.ready.model
    return {
        "location": step.location,
        "kind": step.kind,
        "revision": step.revision,
        "config_sha256": step.config_sha256,
        "tokenizer_sha256": step.tokenizer_sha256,
        "weights": [{"name": one.name, "sha256": one.sha256, "bytes": one.bytes} for one in step.weights],
    }


def pinned(work: Work) -> tuple[Choice, ...]:
    """How the base is pinned."""
    step = work.run.ready.model
    if step.kind == "hub":
        return (Choice("base", f"{step.location}@{step.revision}", "its commit on the hub"),)
    why = f"it is no model of a hub: {BASE} has the digests of its files"
    return (Choice("base", step.location, why),)


def _texts(work: Work, place: str) -> str:
    """The same of a model that makes vectors, which sentence-transformers loads with its base."""
    return (
        f"# {work.run.plan.name}, as an adapter\n\n"
        f"The base model is `{work.run.ready.model.location}`. Its place is"
        f" `base_model_name_or_path` in adapter_config.json ({place}).\n\n"
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer(".")\n```\n'
    )


def _readme(work: Work) -> str:
    step, name = work.run.ready.model, work.run.plan.name
    commit = f', revision="{step.revision}"' if step.kind == "hub" and step.revision else ""
    kinds = {"scores": "AutoModelForSequenceClassification", "classes": "AutoModelForSequenceClassification"}
    kind = kinds.get(work.run.ready.objective.head, "AutoModelForCausalLM")
    place = step.location if step.kind == "hub" else "THE-BASE-MODEL"
    if work.run.ready.objective.head == "embedding":
        return _texts(work, place)
    where = {
        "hub": "It is a model of the hub, pinned by its commit.",
        "run": "It is what another run makes: export that run with `ftc export BASE-RUN --to merged "
        "--dtype float32`.",
    }.get(step.kind, f"Its files are known by the digests in {BASE}.")
    return (
        f"# {name}, as an adapter\n\nThe base model is `{step.location}`. {where}\n\n"
        "```python\n"
        f"from peft import PeftModel\nfrom transformers import AutoTokenizer, {kind}\n\n"
        f'base = {kind}.from_pretrained("{place}"{commit}, dtype="{step.dtype}")\n'
        'model = PeftModel.from_pretrained(base, ".")\n'
        'tokenizer = AutoTokenizer.from_pretrained(".")\n'
        "```\n"
    )
