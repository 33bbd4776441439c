"""The trained model on the disk, so that PEFT and transformers load it as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_json, write_text
from ftc.runtime.convert import convert
from ftc.runtime.ready import Ready

TOKENIZER_FILES = (
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "chat_template.jinja",
)
"""What a tokenizer may consist of; those that the base has are copied byte for byte."""

NOISE = ("is_local", "local_files_only", "gguf_file", "name_or_path", "tokenizer_file")
ABSURD_LENGTH = 10**9
ADAPTER_CONFIG = "adapter_config.json"
TOKENS = "trainable_token_indices"
PORTABLE_CLASS = {"TokenizersBackend": "PreTrainedTokenizerFast"}
"""The same class under the name that transformers 4 knows too."""


def tokenizer_config(config: dict[str, Any], *, own_template: bool) -> dict[str, Any]:
    """The tokenizer's configuration without traces of where it was read.

    `own_template` leaves out the template it holds, because a file beside it takes its place.
    """
    dropped = {*NOISE, "chat_template"} if own_template else set(NOISE)
    kept = {key: value for key, value in config.items() if key not in dropped}
    if kept.get("model_max_length", 0) > ABSURD_LENGTH:
        del kept["model_max_length"]
    name = kept.get("tokenizer_class")
    return {**kept, "tokenizer_class": PORTABLE_CLASS[name]} if name in PORTABLE_CLASS else kept


def save_tokenizer(plan: Ready, base: Path, target: Path) -> None:
    """Copy the base's tokenizer; the chat template becomes the one that was trained with."""
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)
    template = plan.render.chat_template if plan.render else None
    if template is not None:
        write_text(target / "chat_template.jinja", template)
    source = base / "tokenizer_config.json"
    config = json.loads(source.read_text(encoding="utf-8")) if source.is_file() else {}
    write_json(target / "tokenizer_config.json", tokenizer_config(config, own_template=template is not None))


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value


def portable_adapter_config(config: dict[str, Any], base: str) -> dict[str, Any]:
    """PEFT's configuration with the base as the recipe names it, and its sets in one order."""
    ordered = {key: _sorted(config[key]) for key in sorted(config)}
    named = {"tokenizer_name_or_path": base} if config.get("tokenizer_name_or_path") else {}
    return {**ordered, **named, "base_model_name_or_path": base, "inference_mode": True}


def save_model(
    plan: Ready, model: Any, base: Path, target: Path, before: dict[str, Any] | None = None
) -> tuple[str, ...]:
    """Write adapter or weights with the tokenizer into `target`, at once; returns the files' names.

    `before` has the adapter's factors before training where they were taken out of the base.
    """
    part = target.with_name(f".{target.name}.part")
    texts = plan.objective.head == "embedding"
    for old in (part, target):
        shutil.rmtree(old, ignore_errors=True)
    options: dict[str, Any] = {"create_model_card": False} if texts else {}
    if (plan.tune.peft or {}).get(TOKENS):  # the rows of new tokens are in the adapter, and no others changed
        options["save_embedding_layers"] = False
    model.save_pretrained(str(part), **options)
    if plan.tune.peft is not None:
        (part / "README.md").unlink(missing_ok=True)
        if before:
            convert(part, before)
        file = part / ADAPTER_CONFIG
        config = json.loads(file.read_text(encoding="utf-8"))
        write_json(file, portable_adapter_config(config, plan.model.location))
    save_tokenizer(plan, base, part)
    part.rename(target)
    return tuple(sorted(path.name for path in target.iterdir()))
