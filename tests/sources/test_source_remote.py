"""Files on a web server and in S3: fetched once, gone on with, used offline, and read like any other."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from source_jobs import FETCH, bad, declared, good, job, read, words

from data_requests import pairs
from ftc.diagnostics import Severity
from ftc.facts import file_list
from ftc.facts.cache import Cache
from ftc.facts.sources import ResolvedSource
from ftc.facts.sources.place import Reach

pytest.importorskip("aiohttp")

CONTENT = "".join(json.dumps(row) + "\n" for row in pairs(40)).encode()


class Files:
    """What a server has, how it behaves, and what it was asked."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {"/data/t.jsonl": CONTENT}
        self.asked: list[str] = []
        self.tagged = True
        self.ranges = True
        self.status = 200
        self.break_off = 0

    def answer(self, path: str, asked: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content for a request, of a range of bytes if one is asked for."""
        whole = self.content.get(path, b"")
        status = self.status if path in self.content else 404
        if status != 200:
            return status, {"Content-Length": "0"}, b""
        headers = {"ETag": f'"{sha256(whole).hexdigest()}"'} if self.tagged else {}
        headers |= {} if self.ranges else {"Accept-Ranges": "none"}
        content, part = whole, re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        if self.ranges and part:
            first, last = int(part[1]), int(part[2] or len(whole) - 1)
            content, status = whole[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{last}/{len(whole)}"
        return status, headers | {"Content-Length": str(len(content))}, content


def handler(files: Files) -> type[BaseHTTPRequestHandler]:
    class Web(BaseHTTPRequestHandler):
        def _answer(self, *, body: bool) -> None:
            path, asked = self.path.partition("?")[0], self.headers.get("Range", "")
            files.asked.append(f"{self.command} {path} {asked}".rstrip())
            status, headers, content = files.answer(path, asked)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if body and files.break_off:
                self.wfile.write(content[: files.break_off])
                self.wfile.flush()
                time.sleep(0.5)  # so that what was sent arrives before the end
                files.break_off = 0
                self.close_connection = True
                self.connection.close()
            elif body:
                self.wfile.write(content)

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    return Web


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Files]]:
    monkeypatch.setenv("NO_PROXY", "*")
    files = Files()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(files))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    server.server_close()


def fetched(files: Files) -> list[str]:
    """The requests for content; the list is emptied."""
    found = [asked for asked in files.asked if asked.startswith("GET")]
    files.asked.clear()
    return found


def test_a_file_is_fetched_once_and_again_when_it_changes(tmp_path: Path, web: tuple[str, Files]) -> None:
    address, files = web
    entry = f'"{address}/data/t.jsonl"'
    note = bad(tmp_path, entry)
    assert (note.code, note.severity, files.asked) == ("FTC221", Severity.NOTE, [])
    source = good(tmp_path, entry, reach=FETCH)
    assert source.step.files[0].name == f"{address}/data/t.jsonl"
    assert source.step.sha256 == sha256(CONTENT).hexdigest()
    assert fetched(files) == ["GET /data/t.jsonl"]
    assert good(tmp_path, entry, reach=FETCH) == source
    assert fetched(files) == []
    assert good(tmp_path, entry) == source
    assert files.asked == []
    compiled = job(source, tmp_path, "select * from t where n < 30").run()
    assert compiled.ledger is not None
    assert (compiled.ledger.read, compiled.ledger.train) == (40, 30)
    files.content["/data/t.jsonl"] = CONTENT + CONTENT
    changed = good(tmp_path, entry, reach=FETCH)
    assert changed.step.sha256 == sha256(CONTENT * 2).hexdigest()
    assert len(read(changed, tmp_path).rows) == 80


def test_a_file_without_a_tag_is_fetched_each_time(tmp_path: Path, web: tuple[str, Files]) -> None:
    address, files = web
    files.tagged = False
    for _ in range(2):
        assert (
            good(tmp_path, f'"{address}/data/t.jsonl"', reach=FETCH).step.sha256
            == sha256(CONTENT).hexdigest()
        )
        assert fetched(files) == ["GET /data/t.jsonl"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on(tmp_path: Path, web: tuple[str, Files], ranges: bool) -> None:
    address, files = web
    files.ranges, files.break_off = ranges, 1000
    finding = bad(tmp_path, f'"{address}/data/t.jsonl"', reach=FETCH)
    assert finding.code == "FTC222"
    assert "goes on where it stopped" in words(finding)
    files.asked.clear()
    source = good(tmp_path, f'"{address}/data/t.jsonl"', reach=FETCH)
    assert source.step.sha256 == sha256(CONTENT).hexdigest()
    (part,) = fetched(files)
    assert part.startswith("GET /data/t.jsonl bytes=") is ranges
    assert not list((tmp_path / "cache" / "partial").iterdir())


def test_a_part_of_another_state_is_not_gone_on_with(tmp_path: Path, web: tuple[str, Files]) -> None:
    address, files = web
    files.break_off = 1000
    bad(tmp_path, f'"{address}/data/t.jsonl"', reach=FETCH)
    files.content["/data/t.jsonl"] = CONTENT[::-1]
    source = good(tmp_path, f'"{address}/data/t.jsonl"', reach=FETCH)
    assert source.step.sha256 == sha256(CONTENT[::-1]).hexdigest()


@pytest.mark.parametrize(
    ("status", "path", "code"), [(200, "nothing", "FTC201"), (403, "t", "FTC222"), (503, "t", "FTC222")]
)
def test_what_a_server_refuses(
    tmp_path: Path, web: tuple[str, Files], status: int, path: str, code: str
) -> None:
    address, files = web
    files.status = status
    finding = bad(tmp_path, f'"{address}/data/{path}.jsonl"', reach=FETCH)
    assert (finding.code, finding.severity) == (code, Severity.ERROR)


def test_without_a_network_what_was_fetched_is_used_and_that_is_said(
    tmp_path: Path, web: tuple[str, Files]
) -> None:
    address, files = web
    entry = f'"{address}/data/t.jsonl"'
    source = good(tmp_path, entry, reach=FETCH)
    files.status = 503
    offline = good(tmp_path, entry, reach=FETCH)
    assert (offline.step, offline.paths) == (source.step, source.paths)
    (warning,) = offline.warnings
    assert (warning.code, warning.severity) == ("FTC223", Severity.WARNING)
    files.status = 403
    assert bad(tmp_path, entry, reach=FETCH).code == "FTC222"
    finding = bad(tmp_path, '"http://127.0.0.1:9/t.jsonl"', reach=FETCH)
    assert finding.code == "FTC222"


def test_what_is_secret_in_an_address_is_kept_out(tmp_path: Path, web: tuple[str, Files]) -> None:
    address, _ = web
    source = good(tmp_path, f'"{address}/data/t.jsonl?signature=topsecret"', reach=FETCH)
    assert source.step.location == f"{address}/data/t.jsonl"
    assert "topsecret" not in source.step.model_dump_json() + "".join(map(str, tmp_path.rglob("*.jsonl")))
    finding = bad(tmp_path, '"https://me:topsecret@example.org/t.jsonl"', reach=FETCH)
    assert finding.code == "FTC222"
    assert "topsecret" not in words(finding)


@pytest.mark.parametrize("address", ["ftp://example.org/t.csv", "file:///etc/passwd", "gs://bucket/t.csv"])
def test_addresses_of_other_kinds(tmp_path: Path, address: str) -> None:
    assert bad(tmp_path, f'"{address}"', reach=FETCH).code == "FTC201"


def test_a_damaged_copy_is_fetched_again(tmp_path: Path, web: tuple[str, Files]) -> None:
    address, files = web
    source = good(tmp_path, f'"{address}/data/t.jsonl"', reach=FETCH)
    fetched(files)
    source.paths[0].write_bytes(b"short")
    assert bad(tmp_path, f'"{address}/data/t.jsonl"').code == "FTC221"
    again = good(tmp_path, f'"{address}/data/t.jsonl"', reach=FETCH)
    assert again.paths[0].read_bytes() == CONTENT
    assert fetched(files) == ["GET /data/t.jsonl"]


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.facts.sources import store

    monkeypatch.setattr(store, "find_spec", lambda _: None)
    finding = bad(tmp_path, '"s3://bucket/t.jsonl"', reach=FETCH)
    assert finding.code == "FTC222"
    assert 'pip install "ftc[remote]"' in words(finding)


def test_progress_is_told(tmp_path: Path, web: tuple[str, Files]) -> None:
    address, files = web
    files.content["/data/t.jsonl"] = CONTENT * 3000
    said: list[tuple[str, int, int | None]] = []
    good(tmp_path, f'"{address}/data/t.jsonl"', reach=Reach(True, lambda *step: said.append(step)))
    total = len(CONTENT) * 3000 >> 20
    assert said[-1] == ("fetching t (MB)", total, total)
    assert len(said) > 1


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tester")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("NO_PROXY", "*")
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        yield client
    server.stop()


def test_a_glob_in_s3(tmp_path: Path, s3: Any) -> None:
    half = CONTENT.splitlines(keepends=True)
    s3.put_object(Bucket="bucket", Key="rows/b é.jsonl", Body=b"".join(half[20:]))
    s3.put_object(Bucket="bucket", Key="rows/a.jsonl", Body=b"".join(half[:20]))
    s3.put_object(Bucket="bucket", Key="rows/deep/c.jsonl", Body=CONTENT)
    entry = '"s3://bucket/rows/*.jsonl"'
    assert bad(tmp_path, entry).code == "FTC221"
    source = good(tmp_path, entry, reach=FETCH)
    assert [file.name for file in source.step.files] == [
        "s3://bucket/rows/a.jsonl",
        "s3://bucket/rows/b é.jsonl",
    ]
    assert [row["n"] for row in read(source, tmp_path).rows] == list(range(40))
    assert good(tmp_path, entry) == source
    s3.put_object(Bucket="bucket", Key="rows/a.jsonl", Body=b"".join(half[:10]))
    changed = good(tmp_path, entry, reach=FETCH)
    assert [row["n"] for row in read(changed, tmp_path).rows] == [*range(10), *range(20, 40)]
    assert changed.paths[1] == source.paths[1]


def test_what_s3_has_not(tmp_path: Path, s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="dir/a.jsonl", Body=CONTENT)
    for place, code in (
        ("bucket/none.jsonl", "FTC201"),
        ("bucket/none*.jsonl", "FTC201"),
        ("nobucket/a*.jsonl", "FTC201"),
        ("bucket/dir", "FTC201"),
    ):
        found = declared(tmp_path, f'"s3://{place}"', reach=FETCH)
        assert not isinstance(found, ResolvedSource)
        assert [finding.code for finding in found] == [code], place


def test_without_s3_what_was_fetched_is_used(
    tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket="bucket", Key="once/a.jsonl", Body=CONTENT)
    entry, cache = '"s3://bucket/once/*.jsonl"', Cache(tmp_path / "cache")
    source = good(tmp_path, entry, reach=FETCH, cache=cache)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    offline = good(tmp_path, entry, reach=FETCH, cache=cache)
    assert offline.step == source.step
    assert [warning.code for warning in offline.warnings] == ["FTC223"]


def test_a_changed_byte_of_a_fetched_file_reaches_no_row(
    tmp_path: Path, web: tuple[str, Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_list, "SMALL", -1)  # as of a large file, which is not read at every use
    entry = f'"{web[0]}/data/t.jsonl"'
    source = good(tmp_path, entry, reach=FETCH)
    (path,) = source.paths
    path.write_bytes(path.read_bytes().replace(b"capital", b"kapital", 1))
    work = job(source, tmp_path)
    work.cache = Cache(tmp_path / "cache")
    (problem,) = work.run().problems
    assert (problem.code, "was damaged in the cache" in problem.message) == ("FTC210", True)
    assert [one.kind for one in work.cache.damaged] == ["fetched"]
    again = good(tmp_path, entry, reach=FETCH)
    assert again.paths[0].read_bytes() == CONTENT
    assert job(again, tmp_path).run().step is not None
