"""Where files elsewhere lie: web servers and S3 through fsspec, their failures in one form."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ftc.facts.sources.base import MEGABYTE

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BLOCK = 4 * MEGABYTE
CONNECT, SILENT = 20, 60
"""Seconds after which a server that does not answer, or sends nothing any more, is given up."""

STALE = 7 * 24 * 3600.0
"""Seconds after which nobody goes on with a download that was broken off."""

NEEDS = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}
INSTALL = ('install what fetches files: pip install "ftc[remote]"',)
CREDENTIALS = ("check the credentials",)
LATER = ("check the address and the network; a download goes on where it stopped",)


class Unreachable(Exception):  # noqa: N818 - it becomes a finding
    """A file or its server cannot be reached; `final` where a copy would not be what is asked for."""

    def __init__(self, reason: str, help_: tuple[str, ...] = LATER, *, final: bool = False) -> None:
        super().__init__(reason)
        self.help, self.final = help_, final


@dataclass(frozen=True)
class Remote:
    """A file elsewhere: its address, a tag that is another whenever its content is, its size if known."""

    address: str
    tag: str
    size: int | None
    ranges: bool = True


def _failures() -> tuple[type[Exception], ...]:
    """What the clients raise where they get no good answer."""
    names = {"aiohttp": ("ClientError",), "botocore.exceptions": ("BotoCoreError", "ClientError")}
    installed = {module: names[module] for module in names if find_spec(module.partition(".")[0])}
    classes = [getattr(import_module(module), name) for module in installed for name in installed[module]]
    return (OSError, TimeoutError, *classes)


@contextmanager
def _told() -> Iterator[None]:
    """Failures of the clients as Unreachable; what is not there stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError as error:
        _refuse_other(error)
        raise
    except IsADirectoryError:
        raise
    except PermissionError as error:
        raise Unreachable(f"it may not be read: {_words(error)}", CREDENTIALS, final=True) from None
    except _failures() as error:
        if getattr(error, "errno", None) in (28, 122):  # the disk here is full
            raise
        raise Unreachable(_words(error)) from None


def _refuse_other(error: FileNotFoundError) -> None:
    """Raises Unreachable where the file may well be there: fsspec says of every failure that it is not."""
    cause = error.__cause__
    status = _status(cause)
    if status in (401, 403):
        raise Unreachable(f"it may not be read: {_words(cause)}", CREDENTIALS, final=True) from None
    if isinstance(cause, _failures()) and status not in (404, 410):
        raise Unreachable(_words(cause)) from None


def _status(error: BaseException | None) -> int | None:
    """The status that a server answered with, as aiohttp or botocore keeps it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) or None
    return getattr(error, "status", None)


def _words(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextmanager
def open_store(protocol: str) -> Iterator[Store]:
    """The store of a protocol. Raises Unreachable where a package is missing."""
    if find_spec(NEEDS[protocol]) is None:
        reason = f"it needs a package that is not installed: {NEEDS[protocol]}"
        raise Unreachable(reason, INSTALL, final=True)
    import fsspec

    options: dict[str, Any] = {"skip_instance_cache": True}
    if protocol == "s3":
        options |= {"config_kwargs": {"connect_timeout": CONNECT, "read_timeout": SILENT}}
    else:
        options |= {"client_kwargs": {"timeout": _patience(), "trust_env": True}}
    yield Store(fsspec.filesystem(protocol, **options), protocol)


def _patience() -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENT)


class Store:
    """Files of one protocol."""

    def __init__(self, files: AbstractFileSystem, protocol: str) -> None:
        self._files, self._protocol = files, protocol

    def about(self, address: str) -> Remote:
        """What the server says of a file. Raises FileNotFoundError, IsADirectoryError and Unreachable."""
        with _told():
            info = self._info(address)
        if info.get("type") == "directory":
            raise IsADirectoryError(address)
        return self._remote(address, info)

    def _info(self, address: str) -> Mapping[str, Any]:
        """Public files are read without credentials where there are none."""
        if self._protocol != "s3":
            found: Mapping[str, Any] = self._files.info(address)
            return found
        from botocore.exceptions import NoCredentialsError

        try:
            found = self._files.info(address)
        except NoCredentialsError:
            import fsspec

            self._files = fsspec.filesystem("s3", anon=True, skip_instance_cache=True)
            found = self._files.info(address)
        return found

    def matching(self, pattern: str) -> tuple[Remote, ...]:
        """The files that a glob names, in the order of their names. Raises Unreachable."""
        with _told():
            self._look(pattern)
            found = self._files.glob(pattern, detail=True)
        return tuple(
            self._remote(f"{self._protocol}://{name}", found[name])
            for name in sorted(found)
            if found[name].get("type") == "file"
        )

    def _look(self, pattern: str) -> None:
        """Ask for the bucket, which tells whether there are credentials and rights."""
        bucket = pattern.partition("://")[2].partition("/")[0]
        self._info(f"{self._protocol}://{bucket}")

    def _remote(self, address: str, info: Mapping[str, Any]) -> Remote:
        changed = info.get("Last-Modified") or info.get("LastModified")
        tag = str(info.get("ETag") or (f"{changed} {info.get('size')}" if changed else ""))
        size = info.get("size")
        ranges = bool(info.get("partial", True)) and size is not None
        return Remote(address, tag, int(size) if size is not None else None, ranges)

    def download(self, file: Remote, part: Path, tell: Callable[[int, int | None], None]) -> tuple[str, int]:
        """Fetch a file, going on with what is there of it; its SHA-256 and size.

        Raises Unreachable and OSError.
        """
        _sweep(part.parent)
        digest = sha256()
        total = None if file.size is None else file.size // MEGABYTE
        with part.open("ab+") as out:
            done = _seen(out, digest, file)
            for block in self._blocks(file, done):
                out.write(block)
                digest.update(block)
                done += len(block)
                tell(done // MEGABYTE, total)
        if file.size is not None and done != file.size:
            part.unlink(missing_ok=True)
            raise Unreachable(f"it has {file.size:,} bytes, but {done:,} came")
        return digest.hexdigest(), done

    def _blocks(self, file: Remote, start: int) -> Iterator[bytes]:
        if file.size == start and start:
            return
        with _told():
            whole = not start and self._protocol != "s3"
            options = {"block_size": 0} if whole else {"block_size": BLOCK, "cache_type": "none"}
            with self._files.open(file.address, "rb", **options) as opened:
                if start:
                    opened.seek(start)
                while block := opened.read(BLOCK):
                    yield block


def _seen(out: BinaryIO, digest: Any, file: Remote) -> int:
    """How much of a file is there already, which goes into the digest; none where that is of no use."""
    out.seek(0, 2)
    if not file.ranges or (file.size is not None and out.tell() > file.size):
        out.truncate(0)
    out.seek(0)
    while block := out.read(BLOCK):
        digest.update(block)
    return out.tell()


def _sweep(directory: Path) -> None:
    """Remove downloads that nobody goes on with."""
    for path in directory.glob("*.part"):
        if time.time() - path.stat().st_mtime > STALE:
            path.unlink(missing_ok=True)
