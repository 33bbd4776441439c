"""A GGUF file before llama.cpp itself, where the package xllamacpp is installed: its tokens are the run's."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.export.conversations import conversations, rendered
from ftc.export.torch_work import counted, ids_now
from ftc.export.work import Check
from ftc.launch.local import environment

if TYPE_CHECKING:
    from ftc.jobs.opening import OpenRun

BINDINGS = "xllamacpp"


def asked(file: Path, **more: Any) -> dict[str, Any] | str:
    """What `ftc.runtime.llama_cpp` finds; text says why it found nothing."""
    with tempfile.TemporaryDirectory(prefix="ftc-llama-") as scratch:
        job, report = Path(scratch) / "job.json", Path(scratch) / "report.json"
        what = {"gguf": str(file), "talks": [], "texts": [], "answers": [], "longest": 16, **more}
        job.write_text(json.dumps(what), encoding="utf-8")
        command = [sys.executable, "-m", "ftc.runtime.llama_cpp", str(job), str(report)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if report.is_file():
            found: dict[str, Any] = json.loads(report.read_bytes())
            return found
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with status {done.returncode}"


def checks(run: OpenRun, file: Path) -> list[Check]:
    """Prompts through llama.cpp's own template engine and tokenizer; nothing where it is not installed."""
    if find_spec(BINDINGS) is None:
        return []
    talks = [talk for talk, _ in rendered(run, conversations())] if run.is_chat else []
    texts = [_without_first(run, ids) for ids in run.prompts]
    found = asked(file, talks=talks, texts=texts)
    if isinstance(found, str):
        return [Check("llama.cpp", passed=False, said=f"it does not load the file: {found}")]
    first = _first(run)
    wanted = [ids_now(run, talk) for talk in talks]
    own = [[*first, *run.tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]
    same = sum(a == b for a, b in zip([*wanted, *own], [*found["talks"], *found["texts"]], strict=True))
    total = len(wanted) + len(own)
    said = f"{same} of {total} prompts have the run's tokens there too: {counted(len(wanted), len(own))}"
    return [Check("llama.cpp", same == total, said, {"prompts": [same, total]})]


def _first(run: OpenRun) -> list[int]:
    bos = run.ready.tokenizer.special_tokens.get("bos_token")
    number = run.tokenizer.token_to_id(bos) if bos and run.begins_with_bos else None
    return [] if number is None else [number]


def _without_first(run: OpenRun, ids: list[int]) -> str:
    """A prompt as text without the first token, which llama.cpp adds."""
    first = _first(run)
    rest = ids[1:] if first and ids[:1] == first else ids
    return run.tokenizer.decode(rest, skip_special_tokens=False)
