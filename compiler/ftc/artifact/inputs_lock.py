"""recipe.lock: the digest of every input, as sorted TOML that a person can review."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from ftc import __version__
from ftc.plan.steps import FileDigest, ModelStep, Plan, SourceStep

HEADER = "# Every input of the build by its digest. Written by ftc; commit it beside the recipe.\n"
Tables = dict[tuple[str, ...], dict[str, str]]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(text: str) -> str:
    bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if bare else _quoted(text)


def _digest_of(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _files(files: tuple[FileDigest, ...]) -> dict[str, str]:
    return {file.name: f"sha256:{file.sha256}" for file in files}


def _model(step: ModelStep) -> Tables:
    facts = {"kind": step.kind, "location": step.location, "revision": step.revision or ""}
    digests = {
        "config.json": f"sha256:{step.config_sha256}",
        "tokenizer.json": f"sha256:{step.tokenizer_sha256}",
        **_files(step.weights),
    }
    return {("model",): {key: text for key, text in facts.items() if text}, ("model", "files"): digests}


def _source(step: SourceStep) -> Tables:
    table = ("sources", step.name)
    facts = {"format": step.format, "location": step.location, "sha256": step.sha256}
    return {table: facts, (*table, "files"): _files(step.files)}


def _tables(plan: Plan) -> Tables:
    tables: Tables = {("ftc",): {"version": __version__}}
    for source in plan.sources or ():
        tables |= _source(source)
    if plan.model:
        tables |= _model(plan.model)
    for query in plan.queries or ():
        tables[("query", query.name) if query.name else ("query",)] = {"sql": _digest_of(query.sql)}
    if plan.render and plan.render.chat_template is not None:
        tables[("template",)] = {"jinja": _digest_of(plan.render.chat_template)}
    if plan.environment:
        tables[("packages",)] = dict(plan.environment.packages)
    return tables


def _section(path: tuple[str, ...], entries: Mapping[str, str]) -> str:
    head = "[" + ".".join(_key(part) for part in path) + "]\n"
    return head + "".join(f"{_key(key)} = {_quoted(entries[key])}\n" for key in sorted(entries))


def lock_text(plan: Plan) -> str:
    """The content of recipe.lock for a plan."""
    tables = _tables(plan)
    return HEADER + "".join("\n" + _section(path, tables[path]) for path in sorted(tables))
