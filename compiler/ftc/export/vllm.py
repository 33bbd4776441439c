"""A directory that vLLM serves: the adapter on its base model where vLLM can, whole weights otherwise."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from ftc.artifact.files import write_text
from ftc.diagnostics import Finding
from ftc.export import adapter, merged
from ftc.export.work import Check, Choice, Made, Work, unwritten

if TYPE_CHECKING:
    from ftc.jobs.opening import OpenRun

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that --max-lora-rank takes."""
HEADS = ("embed_tokens", "lm_head", "wte")
UNSERVED = {
    "use_dora": "vLLM has no DoRA",
    "modules_to_save": "vLLM serves no layers that were trained whole beside an adapter",
    "rank_pattern": "vLLM has one rank for all layers",
    "alpha_pattern": "vLLM has one scale for all layers",
    "target_parameters": "vLLM serves adapters of layers, not of single parameters",
    "trainable_token_indices": "vLLM serves no words that were trained beside an adapter",
    "layer_replication": "vLLM repeats no layers",
}
"""Settings of a LoRA that vLLM refuses, or passes over."""
ARGUMENTS = (
    "--revision",
    "--dtype",
    "--max-model-len",
    "--served-model-name",
    "--enable-lora",
    "--max-lora-rank",
    "--lora-modules",
    "--chat-template",
    "--default-chat-template-kwargs",
)
"""Every argument that may stand in the command line."""


def export(work: Work) -> Made | Finding:
    """Write the directory, serve.sh and README.md."""
    refused = unwritten(work)
    if refused is not None:
        return refused
    why = unserved(work.run) if work.options.dtype is None else "--dtype asks for whole weights"
    whole = bool(why)
    folder = "model" if whole else "adapter"
    target = work.directory / folder
    made = merged.weights(work, target) if whole else adapter.adapter(work, target)
    if isinstance(made, Finding):
        return made
    words = command(work, whole=whole)
    if work.run.is_chat:
        write_text(work.directory / "chat_template.jinja", work.run.ready.render.chat_template or "")
    _write_script(work, words)
    write_text(work.directory / "README.md", _readme(work, words, whole=whole))
    reason = why or "the base model is loaded once, and other adapters can be served beside this one"
    choice = Choice("weights", "merged" if whole else "adapter", reason)
    checks = (*made.checks, _said(words), *_template(work))
    return Made(checks, (choice, *made.choices), made.differences, ("sh serve.sh",))


def unserved(run: OpenRun) -> str:
    """Why vLLM cannot serve the run's adapter on its base model; empty where it can."""
    if not run.is_adapter:
        return "all weights were trained"
    if run.ready.model.kind not in ("hub", "directory"):
        return "the base model is no directory that vLLM loads"
    config: dict[str, Any] = json.loads((run.model / "adapter_config.json").read_bytes())
    if config.get("peft_type") != "LORA":
        return f"vLLM serves LoRA alone, and this is {config.get('peft_type')}"
    if config.get("bias", "none") != "none":
        return "vLLM serves no biases of an adapter"
    reason = next((said for key, said in UNSERVED.items() if config.get(key)), "")
    targets = _listed(config.get("target_modules"))
    heads = [name for name in targets if name.rpartition(".")[2] in HEADS]
    if heads and not reason:
        return f"the adapter is on {', '.join(heads)} too, which vLLM serves of few models"
    if config["r"] > RANKS[-1]:
        return f"the rank {config['r']} is above vLLM's largest, {RANKS[-1]}"
    return reason


def _listed(targets: str | list[str] | None) -> list[str]:
    return [targets] if isinstance(targets, str) else targets or []


def command(work: Work, *, whole: bool) -> list[str]:
    """The command line, to be run in the directory."""
    run = work.run
    step, name = run.ready.model, run.plan.name
    length = str(step.context_length)
    if whole:
        words = ["vllm", "serve", "./model", "--served-model-name", name, "--max-model-len", length]
    else:
        config = json.loads((run.model / "adapter_config.json").read_bytes())
        rank = next(one for one in RANKS if one >= config["r"])
        words = ["vllm", "serve", _base(work), "--dtype", step.dtype, "--max-model-len", length]
        words += ["--revision", step.revision] if step.kind == "hub" and step.revision else []
        words += ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", f"{name}=./adapter"]
    if run.is_chat:
        words += ["--chat-template", "./chat_template.jinja"]
        variables = run.ready.render.variables
        words += ["--default-chat-template-kwargs", json.dumps(variables)] if variables else []
    return words


def _base(work: Work) -> str:
    """The base model: its name on the hub, or where its directory is."""
    if work.run.ready.model.kind == "hub":
        return work.run.ready.model.location
    place = work.run.base()
    assert not isinstance(place, Finding)  # noqa: S101 - the adapter was compared on it
    return str(place.resolve())


def _write_script(work: Work, words: list[str]) -> None:
    script = work.directory / "serve.sh"
    write_text(script, f'#!/bin/sh\ncd "$(dirname "$0")" || exit 1\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o755)


def _said(words: list[str]) -> Check:
    """The arguments beside those that are known to be vLLM's."""
    given = [word for word in words if word.startswith("--")]
    unknown = [word for word in given if word not in ARGUMENTS]
    said = f"{len(given)} arguments, all by names that vLLM documents; vLLM itself was not started"
    return Check("command", not unknown, said, {"arguments": given})


def _template(work: Work) -> list[Check]:
    if not work.run.is_chat:
        return []
    written = (work.directory / "chat_template.jinja").read_text(encoding="utf-8")
    same = written == work.run.ready.render.chat_template
    return [Check("template", same, "the chat template is the trained one, byte for byte")]


def _readme(work: Work, words: list[str], *, whole: bool) -> str:
    run = work.run
    what = (
        "The weights are in `model/`."
        if whole
        else "The adapter is in `adapter/`, its base in `base_model.json`."
    )
    if run.is_chat:
        path = "chat/completions"
        body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
    else:
        path, body = "completions", {"prompt": "Hello"}
    asked = json.dumps({"model": run.plan.name, **body, "temperature": 0})
    return (
        f"# {run.plan.name}, served by vLLM\n\nPlan {run.digest[:16]}. {what}\n\n"
        f"```sh\n{shlex.join(words)}\n```\n\n"
        "`serve.sh` runs that in this directory, with more arguments behind it.\n\n"
        f"```sh\ncurl http://localhost:8000/v1/{path} -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(asked)}\n```\n\n"
        f"The model is asked for by the name `{run.plan.name}`. An answer ends with "
        f"{' or '.join(f'`{text}`' for text in run.stop_texts())}.\n"
    )
