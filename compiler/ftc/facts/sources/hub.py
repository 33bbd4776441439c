"""A data set of the hub: its files by their names and its card, fetched without running any code of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from ftc.facts.cache import Cache
from ftc.facts.hub import failures
from ftc.facts.sources.base import SourceError
from ftc.facts.sources.hub_files import Listing, choose
from ftc.facts.sources.place import Entry, Found, NotFetched, Reach

LISTS = "hub"
COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True)
class Chosen:
    """The files that a source's table chooses of a data set, at one commit."""

    commit: str
    names: tuple[str, ...]
    options: dict[str, str]
    reasons: dict[str, str]


def find(entry: Entry, cache: Cache, reach: Reach) -> Found:
    """The chosen files in the hub's own cache. Raises SourceError."""
    known = _known(entry, cache)
    local = None if known is None else _paths(entry, known, lambda *_: None, local=True)
    pinned = COMMIT.match(entry.declared.revision or "")
    if known is not None and local is not None and (pinned or not reach.fetch):
        return _found(entry, known, local)
    if not reach.fetch:
        message = f"the source `{entry.name}` is not fetched yet, so its columns are not checked"
        raise NotFetched(message, ("`ftc plan` fetches it",), code="FTC221")
    try:
        chosen = _asked(entry)
        paths = _paths(entry, chosen, reach.progress, local=False)
    except _Unreachable as error:
        if known is None or local is None:
            raise error.problem from None
        warning = SourceError(
            f"the hub cannot be reached, and what was fetched of `{entry.declared.dataset}` before is used",
            notes=error.problem.notes,
            code="FTC223",
        )
        return _found(entry, known, local, (warning,))
    assert paths is not None  # noqa: S101 - None stands for files that are not here
    for revision in (entry.declared.revision, chosen.commit):  # a lock asks for the commit
        cache.remember(LISTS, _key(entry, revision), json.dumps(asdict(chosen)).encode())
    return _found(entry, chosen, paths)


class _Unreachable(Exception):  # noqa: N818 - it becomes a finding
    """The hub gives no answer; `problem` says so."""

    def __init__(self, problem: SourceError) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _key(entry: Entry, revision: str | None) -> str:
    declared = entry.declared
    wanted = [declared.dataset, revision, declared.subset, declared.split, declared.format]
    return sha256(json.dumps(wanted).encode()).hexdigest()


def _known(entry: Entry, cache: Cache) -> Chosen | None:
    value = cache.recall(LISTS, _key(entry, entry.declared.revision))
    if value is None:
        return None
    fields = json.loads(value)
    return Chosen(fields["commit"], tuple(fields["names"]), fields["options"], fields["reasons"])


def _found(
    entry: Entry, chosen: Chosen, paths: Sequence[Path], warnings: tuple[SourceError, ...] = ()
) -> Found:
    location = f"hf://datasets/{entry.declared.dataset}@{chosen.commit}"
    return Found(
        location,
        chosen.names,
        tuple(paths),
        options=chosen.options,
        reasons=chosen.reasons,
        warnings=warnings,
    )


def _asked(entry: Entry) -> Chosen:
    """The files as the hub lists them now. Raises SourceError and _Unreachable."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, revision = entry.declared.dataset, entry.declared.revision
    if constants.HF_HUB_OFFLINE:
        raise _Unreachable(
            SourceError(
                f"the data set `{name}` is not in the hub's local cache, and the hub is switched off",
                ("set HF_HUB_OFFLINE=0",),
                code="FTC222",
                key="dataset",
            )
        )
    try:
        info = HfApi().dataset_info(str(name), revision=revision)
    except RevisionNotFoundError:
        message = f"the data set `{name}` has no revision `{revision}`"
        raise SourceError(message, code="FTC201", key="revision") from None
    except (RepositoryNotFoundError, GatedRepoError, HFValidationError) as error:
        raise SourceError(
            f"the hub has no data set `{name}` that you may read",
            ("check the name; for a gated data set log in first: hf auth login",),
            notes=(str(error).splitlines()[0],),
            code="FTC201",
            key="dataset",
        ) from None
    except failures() as error:
        raise _unreachable(name, error) from None
    files = tuple(str(file.rfilename) for file in info.siblings or ())
    subsets = info.card_data.get("configs") if info.card_data is not None else None
    chosen = choose(entry.name, entry.declared, Listing(files, subsets or ()))
    return Chosen(str(info.sha), chosen.names, chosen.options, chosen.reasons)


def _unreachable(name: str | None, error: Exception) -> _Unreachable:
    return _Unreachable(
        SourceError(
            f"the data set `{name}` cannot be read from the hub",
            ("check the network",),
            notes=(str(error).splitlines()[0],) if str(error) else (),
            code="FTC222",
            key="dataset",
        )
    )


def _paths(
    entry: Entry, chosen: Chosen, progress: Callable[[str, int, int | None], None], *, local: bool
) -> tuple[Path, ...] | None:
    """The files on this machine, fetched unless `local`; None where one is not here. Raises _Unreachable."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    paths = []
    for number, name in enumerate(chosen.names):
        progress(f"fetching {entry.name} (files)", number, len(chosen.names))
        try:
            path = hf_hub_download(
                str(entry.declared.dataset),
                name,
                repo_type="dataset",
                revision=chosen.commit,
                local_files_only=local,
            )
        except (LocalEntryNotFoundError, FileNotFoundError) as error:
            if local:
                return None
            raise _unreachable(entry.declared.dataset, error) from None
        except failures() as error:
            raise _unreachable(entry.declared.dataset, error) from None
        paths.append(Path(path))
    return tuple(paths)
