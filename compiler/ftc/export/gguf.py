"""One GGUF file: made by llama.cpp's converter, read back tensor by tensor, with the trained template."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.artifact.files import link_or_copy, write_json
from ftc.diagnostics import Finding
from ftc.export import converter
from ftc.export.known import of_few_bits, of_the_template
from ftc.export.torch_work import done, logits_check, logits_job
from ftc.export.work import Check, Choice, Made, Work, unwritten

if TYPE_CHECKING:
    from ftc.jobs.opening import OpenRun

FORMS = {"float32": "f16", "float16": "f16", "bfloat16": "bf16"}
"""What a model that was trained in a precision is stored as where nobody says otherwise."""


def export(work: Work) -> Made | Finding:
    """Write NAME-FORM.gguf, and compare it with the run's model."""
    refused = unwritten(work)
    return refused if refused is not None else made(work)


def file_name(work: Work) -> str:
    """The file's name: the run's and the form."""
    return f"{work.run.plan.name}-{chosen_form(work)[0]}.gguf"


def chosen_form(work: Work) -> tuple[str, tuple[Choice, ...]]:
    """What the tensors are stored as, and why where nobody said."""
    if work.options.quantise is not None:
        return work.options.quantise, ()
    dtype = work.run.ready.model.dtype
    why = f"16 bits, as the model was trained in {dtype}; --quantise q8_0 halves the file"
    return FORMS[dtype], (Choice("quantise", FORMS[dtype], why),)


def made(work: Work) -> Made | Finding:
    """The file and what was compared."""
    run = work.run
    form, choices = chosen_form(work)
    script = converter.find()
    source: Path | Finding = script if isinstance(script, Finding) else run.whole()
    base = run.base() if run.is_adapter and isinstance(source, Path) else None
    for found in (source, base):
        if isinstance(found, Finding):
            return found
    assert isinstance(source, Path)  # noqa: S101 - findings are gone
    file = work.directory / file_name(work)
    work.say(f"converting to {form}")
    wrong = _converted(run, source, file, form)
    if wrong is not None:
        return wrong
    work.say("reading it back")
    asked: dict[str, Any] = {
        "tensors": {"gguf": str(file), "source": str(source), "quantised": form},
        "logits": logits_job(work, base if isinstance(base, Path) else None, {"gguf": str(file)}),
    }
    report = done(work, asked)
    if isinstance(report, Finding):
        return report
    checks = [*header_checks(run, file), tensors_check(report["tensors"], form)]
    checks.append(logits_check(report["logits"], form))
    checks += _by_llama_cpp(run, file)
    return Made(tuple(checks), choices, (*of_the_template(run), *of_few_bits(run)))


def _converted(run: OpenRun, source: Path, file: Path, form: str) -> Finding | None:
    """Convert a copy of the directory whose tokenizer says what a text begins and ends with."""
    with tempfile.TemporaryDirectory(prefix="ftc-gguf-") as scratch:
        directory = Path(scratch) / "model"
        directory.mkdir()
        for path in source.iterdir():
            if path.name == "tokenizer_config.json":
                continue
            copy = link_or_copy if path.suffix == ".safetensors" else shutil.copyfile
            copy(path, directory / path.name)
        config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
        write_json(directory / "tokenizer_config.json", {**config, **_said_of_ends(run)})
        return converter.convert(directory, file, form, run.plan.name)


def _said_of_ends(run: OpenRun) -> dict[str, Any]:
    """Whether the first token is added, as in training; and the token that ended the trained answers."""
    return {"add_bos_token": run.begins_with_bos, "add_eos_token": False, "eos_token": end_text(run)}


def end_text(run: OpenRun) -> str | None:
    """The text of the token that ends an answer."""
    from ftc.runtime.heldout import trained_end

    ends = [row["input_ids"][trained_end(row["mask"]) - 1] for row in run.rows if any(row["mask"])]
    known = [number for number in ends if number in run.stops]
    return run.tokenizer.id_to_token(max(set(known), key=known.count) if known else run.stops[0])


def header_checks(run: OpenRun, file: Path) -> list[Check]:
    """Tokens, ends and chat template as gguf's own reader finds them in the file."""
    from gguf import GGUFReader

    fields = GGUFReader(str(file)).fields

    def value(name: str) -> Any:
        return fields[name].contents() if name in fields else None

    tokens = value("tokenizer.ggml.tokens") or []
    size = run.tokenizer.get_vocab_size(with_added_tokens=True)
    wrong = [n for n in range(size) if n >= len(tokens) or run.tokenizer.id_to_token(n) != tokens[n]]
    said = f"{size - len(wrong):,} of {size:,} tokens are the run's"
    first = f"; the first that is not: {wrong[0]}" if wrong else ""
    template = run.ready.render.chat_template
    same = template is None or value("tokenizer.chat_template") == template
    ends = value("tokenizer.ggml.eos_token_id") == run.tokenizer.token_to_id(end_text(run) or "")
    begins = bool(value("tokenizer.ggml.add_bos_token")) == run.begins_with_bos
    begin = "begins with" if run.begins_with_bos else "does not begin with"
    return [
        Check("tokens", not wrong, said + first, {"tokens": [size - len(wrong), size]}),
        Check("ends", ends and begins, f"an answer ends with {end_text(run)}, a text {begin} the BOS token"),
        Check("template", same, "the chat template is the trained one, byte for byte"),
    ]


def tensors_check(found: dict[str, Any], form: str) -> Check:
    """Every tensor within what its form allows."""
    passed = not found["missing"] and found["tensors"] > 0 and found["worst"] <= 1
    missing = f"; not found: {', '.join(found['missing'][:3])}" if found["missing"] else ""
    said = (
        f"{found['tensors']} tensors read back; the largest error is {found['worst']:.0%} of what {form} "
        f"allows ({found['where']}){missing}"
    )
    return Check("tensors", passed, said, found)


def _by_llama_cpp(run: OpenRun, file: Path) -> list[Check]:
    """What llama.cpp itself makes of prompts, where its bindings are installed."""
    from ftc.export.llama_cpp import checks

    return checks(run, file)
