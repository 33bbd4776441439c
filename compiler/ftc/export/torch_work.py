"""Starts the process that does what needs torch, and reads what it found as checks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding
from ftc.export.conversations import conversations, rendered
from ftc.export.work import Check, Work
from ftc.launch.local import environment

if TYPE_CHECKING:
    from ftc.jobs.opening import OpenRun

FEW = 8
LONGEST = 256
EXACT = 1e-3
DIVERGENCE = {"bfloat16": 0.05, "float16": 0.01, "bf16": 0.05, "f16": 0.01, "q8_0": 0.05}
"""The largest mean divergence of the next token's distribution that rounding may cause, in nats."""


def done(work: Work, asked: dict[str, Any]) -> dict[str, Any] | Finding:
    """What `ftc.runtime.exported` makes of a job; a finding where it fails."""
    with tempfile.TemporaryDirectory(prefix="ftc-export-") as scratch:
        job, report = Path(scratch) / "job.json", Path(scratch) / "report.json"
        job.write_text(json.dumps(asked), encoding="utf-8")
        command = [sys.executable, "-m", "ftc.runtime.exported", str(job), str(report)]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        found: dict[str, Any] = json.loads(report.read_bytes()) if report.is_file() else {}
    failed = found.get("failed")
    if failed:
        return Finding(
            failed["code"], failed["message"], place=str(work.run.directory), help=tuple(failed["help"])
        )
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        message = f"the process that makes the export ended with status {ended.returncode}"
        return Finding("FTC771", message, place=str(work.run.directory), notes=tuple(lines[-3:]))
    return found


def texts_to_read(run: OpenRun) -> list[list[int]]:
    """Tokens whose logits are compared: some of the run's own rows, and some conversations."""
    own = [row["input_ids"][:LONGEST] for row in run.rows[:FEW] if not row.get("lengths")]
    talks = rendered(run, conversations())[:FEW] if run.is_chat else []
    return [ids for ids in (*own, *(run.ids(text) for _, text in talks)) if ids] or [[0, 1, 2]]


def logits_job(work: Work, base: Path | None, exported: dict[str, str]) -> dict[str, Any]:
    """The part of a job that compares logits; `exported` says where the exported model is."""
    places = {"plan": str(work.run.directory / "plan.json"), "tuned": str(work.run.model)}
    return {
        **places,
        "base": None if base is None else str(base),
        "rows": texts_to_read(work.run),
        **exported,
    }


def logits_check(found: dict[str, Any], dtype: str) -> Check:
    """The figures against the tolerance of a precision."""
    over = f"{found['positions']} positions of {found['texts']} texts"
    if dtype in ("float32", "f32"):
        allowed = EXACT * max(1.0, found["spread"])
        passed = found["finite"] and found["largest"] <= allowed
        said = f"over {over} the largest difference is {found['largest']:.2g} (at most {allowed:.2g})"
        return Check("logits", passed, said, {**found, "tolerance": {"largest": allowed}})
    allowed = DIVERGENCE[dtype]
    passed = found["finite"] and found["divergence"] <= allowed
    said = (
        f"over {over} the distributions differ by {found['divergence']:.2g} nats on average (at most "
        f"{allowed:.2g}), the logits by {found['largest']:.2g} at most; the likeliest token is the same at "
        f"{found['same']:.1%}"
    )
    return Check("logits", passed, said, {**found, "tolerance": {"divergence": allowed}})


def prompts_job(run: OpenRun, directory: Path) -> dict[str, Any]:
    """The part of a job that has the exported tokenizer make tokens of prompts."""
    talks = [talk for talk, _ in rendered(run, conversations())] if run.is_chat else []
    variables = dict(run.ready.render.variables)
    return {"directory": str(directory), "talks": talks, "texts": own_texts(run), "variables": variables}


def own_texts(run: OpenRun) -> list[str]:
    """The run's own prompts as text; of plain text without the first token, which the tokenizer adds."""
    bos = [] if run.is_chat else [run.ready.tokenizer.bos_id]
    parts = [ids[1:] if ids[:1] == bos else ids for ids in run.prompts]
    return [run.tokenizer.decode(ids, skip_special_tokens=False) for ids in parts]


def prompts_check(run: OpenRun, found: dict[str, Any]) -> Check:
    """The exported tokenizer's tokens beside the run's, over conversations and the run's own prompts."""
    from ftc.export.conversations import conversations

    wanted = [ids_now(run, talk) for talk, _ in rendered(run, conversations())] if run.is_chat else []
    same = sum(ours == theirs for ours, theirs in zip(wanted, found["talks"], strict=True))
    own = [run.tokenizer.encode(text).ids for text in own_texts(run)]
    alike = sum(ours == theirs for ours, theirs in zip(own, found["texts"], strict=True))
    total = len(wanted) + len(own)
    said = f"{same + alike} of {total} prompts have the same tokens: " + counted(len(wanted), len(own))
    figures = {"conversations": [same, len(wanted)], "own_prompts": [alike, len(own)]}
    return Check("prompts", same + alike == total, said, figures)


def counted(talks: int, own: int) -> str:
    """How many prompts of which kind were compared."""
    kinds = [f"{talks} conversations"] if talks else []
    kinds += [f"{own} prompts of the run"]
    return ", ".join(kinds)


def ids_now(run: OpenRun, talk: list[dict[str, Any]]) -> list[int]:
    """The tokens of a conversation with the date as the template prints it by itself."""
    if run.ready.render.date is None:
        return run.ids(run.rendered(talk))
    from ftc.data.template.chat_template import ChatTemplate

    step, tokens = run.ready.render, run.ready.tokenizer.special_tokens
    template = ChatTemplate(step.chat_template or "", special_tokens=tokens, variables=step.variables)
    return run.ids(template.render(talk, generation_prompt=True))
