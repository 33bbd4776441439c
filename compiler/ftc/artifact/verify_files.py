"""The files of a run against its manifest: every byte that changed, every file that came or went, by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ftc.artifact.files import sha256
from ftc.artifact.run_directory import BUILD, MANIFEST, OF_THE_BUILD, SIGNATURE
from ftc.diagnostics import Finding

LINE = re.compile(r"(\\?)([0-9a-f]{64})  ([^\n]+)")
CODE = "FTC755"


class MalformedListError(Exception):
    """A list of digests which is not in the form that was written; the message says why."""


@dataclass(frozen=True)
class Files:
    """What is in a run: the digests of its files by name, their sizes, and what is wrong with them."""

    digests: Mapping[str, str]
    bytes: int
    listed: int
    findings: tuple[Finding, ...]


def read_list(path: Path, *, sizes: bool) -> dict[str, str]:
    """The digests of a list by the names of the files. Raises MalformedListError and OSError.

    With `sizes` its first line has the sizes of the files, in their order.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise MalformedListError("it is not UTF-8") from None
    if not text.endswith("\n"):
        raise MalformedListError("its last line is cut off")
    lines = text[:-1].split("\n")
    if sizes and not re.fullmatch(r"# bytes( \d+)*", lines.pop(0)):
        raise MalformedListError("its first line does not list sizes")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 2 if sizes else 1):
        matched = LINE.fullmatch(line)
        if matched is None:
            raise MalformedListError(f"line {number} is not a digest and a name")
        name = _plain(matched[3]) if matched[1] else matched[3]
        if name in found or not _inside(name):
            raise MalformedListError(f"line {number} names a file twice, or one outside the run")
        found[name] = matched[2]
    return found


def _plain(name: str) -> str:
    """A name from the form in which sha256sum escapes it."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], name)


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name


def look_at_files(run: Path) -> Files:
    """Read every file of a run and compare it with `MANIFEST.sha256` and `BUILD.sha256`. Raises OSError."""
    found, odd = _tree(run)
    digests = {name: sha256(run / name) for name in sorted(found)}
    listed, problems = _listed(run, MANIFEST, sizes=True)
    session, more = _listed(run, BUILD, sizes=False)
    problems += more
    problems += [_finding(f"`{name}` is a link or no file: a run has files of its own") for name in odd]
    if listed is not None:
        problems += _compared(listed, digests, MANIFEST)
    if session is not None:
        problems += _compared(session, digests, BUILD)
        problems += [
            _finding(f"{BUILD} does not list `{name}`")
            for name in OF_THE_BUILD
            if name in digests and name not in session
        ]
        problems += [
            _finding(f"{BUILD} lists `{name}`, which is not its to list")
            for name in session
            if name not in OF_THE_BUILD
        ]
    if listed is not None:
        known = {*listed, *OF_THE_BUILD, BUILD, SIGNATURE}
        problems += [_unlisted(name) for name in digests if name not in known]
        problems += _form(run, listed, digests, whole=not problems)
    size = sum((run / name).stat().st_size for name in digests)
    return Files(digests, size, len(listed or ()), tuple(problems))


def _tree(run: Path) -> tuple[list[str], list[str]]:
    """Names of the files of a run, and of what is there and no file of its own."""
    files, odd = [], []
    for place, folders, names in os.walk(run):
        for name in (*folders, *names):
            path = Path(place) / name
            shown = path.relative_to(run).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                odd.append(shown)
            elif path.is_file():
                files.append(shown)
    return files, sorted(odd)


def _listed(run: Path, name: str, *, sizes: bool) -> tuple[dict[str, str] | None, list[Finding]]:
    try:
        return read_list(run / name, sizes=sizes), []
    except FileNotFoundError:
        return None, [_finding(f"`{name}` is missing")]
    except MalformedListError as error:
        return None, [_finding(f"`{name}` was changed: {error}")]


def _compared(listed: Mapping[str, str], digests: Mapping[str, str], by: str) -> Iterator[Finding]:
    for name, digest in listed.items():
        if name not in digests:
            yield _finding(f"`{name}` is missing, and {by} lists it")
        elif digests[name] != digest:
            yield _finding(f"`{name}` has other bytes than {by} lists")


def _unlisted(name: str) -> Finding:
    help_ = ("keep what is yours beside the run, not in it",)
    return Finding(CODE, f"`{name}` is in the run, and {MANIFEST} does not list it", help=help_)


def _form(run: Path, listed: Mapping[str, str], digests: Mapping[str, str], *, whole: bool) -> list[Finding]:
    """The finding for a manifest whose lines are right, and which was not written so."""
    if not whole:
        return []
    names = sorted(listed, key=lambda name: PurePosixPath(name).parts)
    sizes = " ".join(["#", "bytes", *(str((run / name).stat().st_size) for name in names)])
    lines = "".join(_line(name, digests[name]) for name in names)
    same = (run / MANIFEST).read_bytes() == f"{sizes}\n{lines}".encode()
    return [] if same else [_finding(f"`{MANIFEST}` was changed: its sizes, or the order of its lines")]


def _line(name: str, digest: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}\n"


def _finding(message: str) -> Finding:
    return Finding(CODE, message)
