"""Import a file: read it, find out whose it is, make a draft of it, and hold that to the language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ftc.diagnostics import Finding, Severity, sort_findings
from ftc.importing import PEERS, load
from ftc.importing.document import Document, dotted, read_document
from ftc.importing.draft import Draft, Home, Verdict, Where
from ftc.importing.peer import Peer
from ftc.importing.places import base
from ftc.importing.rules import apply
from ftc.importing.settle import settle
from ftc.recipe.layers import Key
from ftc.recipe.suggest import did_you_mean

NEEDED: tuple[tuple[Where, str, str], ...] = (
    (("model", "base"), "no base model", "say which one: --base MODEL"),
    (
        ("data", "sources"),
        "no data that ftc could read",
        "add the data set to the file, or `ftc init DATAFILE`",
    ),
    (("train", "objective", "rewards"), "no reward", "add `reward_funcs` to the file"),
)
"""Settings without which there is no recipe, with what is said where a file has them not."""


@dataclass(frozen=True)
class Wish:
    """What the command line says beside the file: whose it is, objective, model, the recipe's place."""

    out: Path
    peer: str | None = None
    objective: str | None = None
    base: str | None = None


@dataclass(frozen=True)
class Imported:
    """A file as a recipe: `text` is None where there is none, and the findings say why.

    `verdicts` are in the order of the file. `stated` are settings that are written out because the peer's
    default is another one than ftc's.
    """

    file: Path
    peer: str | None
    text: str | None
    verdicts: Mapping[Key, Verdict]
    stated: tuple[str, ...]
    findings: tuple[Finding, ...]
    objective: str | None = None


def import_file(file: Path, wish: Wish) -> Imported:
    """Make a recipe of a peer's configuration; writes nothing."""
    document = read_document(file)
    if not isinstance(document, Document):
        return Imported(file, wish.peer, None, {}, (), document)
    peer = load(wish.peer) if wish.peer else recognised(document)
    if isinstance(peer, Finding):
        return Imported(file, None, None, {}, (), (peer,))
    home = Home(Path.cwd(), wish.out.parent.absolute(), file)
    draft = Draft(peer.title, document, home, wish.objective)
    made(draft, peer)
    if wish.base:
        draft.settings["model", "base"] = _base(wish.base, home)
    return _result(draft, peer)


def _base(name: str, home: Home):  # type: ignore[no-untyped-def]
    from ftc.importing.draft import Setting

    return Setting(base(name, home), "--base")


def recognised(document: Document) -> Peer | Finding:
    """The peer that knows the most of a file's keys; a finding where none does, or two know as many."""
    given = set(document.values)
    peers = [load(name) for name in PEERS]
    known = {peer.name: len(given & peer.known) for peer in peers}
    best = max(known.values())
    fitting = [peer for peer in peers if known[peer.name] == best]
    if best and len(fitting) == 1:
        return fitting[0]
    names = " or ".join(f"--from {peer.name}" for peer in (fitting if best else peers))
    message = f"`{document.source.name}` has no key that tells whose configuration it is"
    return Finding("FTC122", message, place=document.source.name, help=(f"say it: {names}",))


def made(draft: Draft, peer: Peer) -> None:
    """Give every key its verdict, and make the settings."""
    for step in peer.steps:
        step(draft)
    apply(peer.rules, draft)
    for path in list(draft.open()):
        draft.verdicts[path] = _left(path, draft, peer)


def _left(path: Key, draft: Draft, peer: Peer) -> Verdict:
    """The verdict on a key of which no rule speaks."""
    if path[0] not in peer.known:
        near = did_you_mean(str(path[0]), peer.known)
        return Verdict("unknown", why=f"{peer.title} has no such key", instead="".join(near))
    if draft.document.get(*path) is None:
        return Verdict("not_needed", why="empty, which is the default")
    return Verdict("not_carried", why="ftc has no counterpart")


def _result(draft: Draft, peer: Peer) -> Imported:
    text, left = settle(draft, peer.title)
    order = {path: number for number, path in enumerate(draft.document.leaves())}
    by_place = sorted(draft.verdicts, key=lambda path: _rank(path, order))
    verdicts = {path: draft.verdicts[path] for path in by_place}
    stated = tuple(".".join(where) for where, one in draft.settings.items() if one.comment and not one.keys)
    lacking = [_lacking(draft, said, line) for where, said, line in NEEDED if _is_missing(draft, where)]
    unknown = [_unknown(draft, path, one) for path, one in verdicts.items() if one.kind == "unknown"]
    wrong = [] if lacking else [finding for finding in left if finding.severity is Severity.ERROR]
    stays = [finding for finding in wrong if finding.code != "FTC227"]
    findings = sort_findings([*draft.findings, *lacking, *unknown, *stays])
    whole = None if draft.findings or lacking or stays else text
    return Imported(draft.home.file, peer.name, whole, verdicts, stated, findings, draft.objective)


def _rank(path: Key, order: Mapping[Key, int]) -> int:
    return min((number for leaf, number in order.items() if leaf[: len(path)] == path), default=len(order))


def _is_missing(draft: Draft, where: Where) -> bool:
    if where[:2] == ("train", "objective") and draft.objective not in ("grpo", "rloo"):
        return False
    return not any(one[: len(where)] == where for one in draft.settings)


def _lacking(draft: Draft, said: str, help_line: str) -> Finding:
    name = draft.document.source.name
    return Finding("FTC123", f"`{name}` names {said}", place=name, help=(help_line,))


def _unknown(draft: Draft, path: Key, verdict: Verdict) -> Finding:
    helps = (verdict.instead,) if verdict.instead else ()
    message = f"{draft.peer} has no key `{dotted(path)}`"
    return Finding("FTC124", message, draft.document.span(path), help=helps, severity=Severity.WARNING)
