"""A repository of the hub: the model with its card, put together and listed; uploaded with --push."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftc.artifact.files import sha256
from ftc.diagnostics import Finding
from ftc.export import adapter, merged
from ftc.export.work import Check, Choice, Made, Work, impossible

TOKEN = "HF_TOKEN"  # noqa: S105 - the variable's name
CARDS = ("README.md", "DATA_CARD.md")
"""Documents of the run that travel with the model."""
NAME = r"[A-Za-z0-9][\w.-]*/[\w.-]+"
IN_FOLDER = ("export.json",)


def export(work: Work) -> Made | Finding:
    """Put the files together, list them, and upload them if that was asked for."""
    wrong = _unready(work)
    if wrong is not None:
        return wrong
    made = _weights(work)
    if isinstance(made, Finding):
        return made
    for name in CARDS:
        if (work.run.directory / name).is_file():
            shutil.copyfile(work.run.directory / name, work.directory / name)
    card = work.directory / "README.md"
    if not card.is_file():
        return impossible(work, "the run has no model card, README.md", "build it again")
    checks = [*made.checks, _metadata(card)]
    listing = list(_listing(work.directory))
    if not work.options.push:
        lines = (*listing, f"nothing is sent; to upload it to {work.options.repo}: the same with --push")
        return Made(tuple(checks), made.choices, made.differences, lines)
    work.say(f"uploading to {work.options.repo}")
    sent = _uploaded(work)
    if isinstance(sent, Finding):
        return sent
    address, check = sent
    return Made((*checks, check), made.choices, made.differences, (*listing, address))


def _weights(work: Work) -> Made | Finding:
    """The adapter as it is, or whole weights where there is none or a precision was asked for."""
    run = work.run
    if run.ready.objective.head == "embedding" or (run.is_adapter and work.options.dtype is None):
        made = adapter.adapter(work, work.directory)
        what, why = (
            ("adapter", "as the run has it; --dtype merges it")
            if run.is_adapter
            else ("weights", "as trained")
        )
    else:
        made = merged.weights(work, work.directory)
        what, why = "merged", "--dtype was given" if run.is_adapter else "all weights were trained"
    if isinstance(made, Finding):
        return made
    return Made(made.checks, (Choice("weights", what, why), *made.choices), made.differences)


def _unready(work: Work) -> Finding | None:
    """What keeps an upload from being tried."""
    import re

    if not re.fullmatch(NAME, work.options.repo or ""):
        return impossible(
            work, f"`{work.options.repo}` names no repository", "write it as OWNER/NAME", code="FTC779"
        )
    if not work.options.push:
        return None
    if find_spec("huggingface_hub") is None:
        return impossible(
            work, "huggingface_hub is not installed", "pip install huggingface_hub", code="FTC779"
        )
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return impossible(work, "the hub is switched off", "set HF_HUB_OFFLINE=0", code="FTC779")
    if not os.environ.get(TOKEN):
        return impossible(work, f"there is no token in {TOKEN}", f"{TOKEN}=… ftc export …", code="FTC779")
    return None


def _listing(directory: Path) -> Iterator[str]:
    """The files with their sizes in bytes."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield f"{path.stat().st_size:>13,}  {path.relative_to(directory).as_posix()}"


def _metadata(card: Path) -> Check:
    """Whether the hub will read the card's head."""
    text = card.read_text(encoding="utf-8")
    head = text.partition("\n---\n")[0] if text.startswith("---\n") else ""
    names = [line.partition(":")[0] for line in head.splitlines()[1:] if line[:1].isalpha()]
    said = f"the model card's head has {', '.join(names) or 'nothing'}"
    return Check("card", {"library_name", "pipeline_tag"} <= set(names), said, {"keys": names})


def _problems() -> tuple[type[Exception], ...]:
    from ftc.facts.hub import failures

    return (*failures(), ValueError)


def _uploaded(work: Work) -> tuple[str, Check] | Finding:
    """Upload the folder in one commit, and read back what the hub has."""
    from huggingface_hub import HfApi

    repo = work.options.repo or ""
    token = os.environ[TOKEN]
    try:
        api = HfApi(token=token)
        api.create_repo(repo, private=work.options.private or None, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=work.directory,
            commit_message=f"{work.run.plan.name}, plan {work.run.digest[:16]}",
            ignore_patterns=list(IN_FOLDER),
        )
        info: Any = api.model_info(repo, revision=commit.oid, files_metadata=True)
    except _problems() as error:
        said = str(error).replace(token, "…").splitlines()
        return impossible(
            work, said[0] if said else "it gave no answer", "check name and token", code="FTC779"
        )
    return str(commit.commit_url), _compared(work.directory, info)


def _compared(directory: Path, info: Any) -> Check:
    """The digests that the hub states beside those of the files."""
    theirs = {one.rfilename: one.lfs.sha256 if one.lfs else one.blob_id for one in info.siblings or []}
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    names = {path.relative_to(directory).as_posix(): path for path in files}
    same = sum(theirs.get(name) in (sha256(path), _blob(path)) for name, path in names.items())
    said = f"the hub has {same} of {len(names)} files with the digests that were sent"
    return Check("upload", same == len(names), said, {"files": [same, len(names)]})


def _blob(path: Path) -> str:
    """The digest that git knows a file by."""
    data = path.read_bytes()
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
