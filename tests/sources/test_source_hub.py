"""Data sets of the hub through the real client, against a server of our own that speaks its protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_requests import pairs, write_jsonl
from ftc.facts.sources.base import SourceError
from ftc.facts.sources.hub_files import Listing, choose
from ftc.recipe.rows import SourceFiles

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "89abcdef0123456789abcdef0123456789abcdef"
REPO = "someone/chats"


class Hub(BaseHTTPRequestHandler):
    """Answers what the client asks for one data set; counts the files it gives out."""

    directory: Path
    given: list[str]
    configs: list[dict[str, Any]]

    def _reply(self, *, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        content = self._content(path, body=body)
        if content is None:
            self.send_response(404)
            missing = path.startswith("/api/") and REPO in path
            self.send_header("X-Error-Code", "RevisionNotFound" if missing else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", OLDER if f"/resolve/{OLDER}/" in path else COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _content(self, path: str, *, body: bool) -> bytes | None:
        if path in (f"/api/datasets/{REPO}", f"/api/datasets/{REPO}/revision/main"):
            return self._info(COMMIT)
        if path in (f"/api/datasets/{REPO}/revision/v1", f"/api/datasets/{REPO}/revision/{OLDER}"):
            return self._info(OLDER)
        for commit in (COMMIT, OLDER):
            name = path.removeprefix(f"/datasets/{REPO}/resolve/{commit}/")
            if name != path and (self.directory / name).is_file():
                if body:
                    self.given.append(name)
                return (self.directory / name).read_bytes()
        return None

    def _info(self, commit: str) -> bytes:
        files = sorted(path for path in self.directory.rglob("*") if path.is_file())
        siblings = [{"rfilename": path.relative_to(self.directory).as_posix()} for path in files]
        card = {"configs": self.configs} if self.configs else None
        value = {"id": REPO, "sha": commit, "private": False, "siblings": siblings, "cardData": card}
        return json.dumps(value).encode()

    def do_GET(self) -> None:
        self._reply(body=True)

    def do_HEAD(self) -> None:
        self._reply(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


class Server:
    """A hub with one data set: where it is, what it gave out, what its card declares."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.given = directory, list[str]()
        self.configs: list[dict[str, Any]] = []
        fields = {"directory": directory, "given": self.given, "configs": self.configs}
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("OneDataset", (Hub,), fields))
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Server]:
    data = tmp_path / "repository" / "data"
    data.mkdir(parents=True)
    rows = pa.Table.from_pylist(pairs(30))
    pq.write_table(rows.slice(0, 10), data / "train-00000-of-00002.parquet")
    pq.write_table(rows.slice(10, 10), data / "train-00001-of-00002.parquet")
    pq.write_table(rows.slice(20), data / "test-00000-of-00001.parquet")
    (data.parent / "README.md").write_text("# Chats")
    (data.parent / "chats.py").write_text("raise SystemExit('never run')")
    server = Server(data.parent)
    yield server
    server.http.shutdown()


def ftc(directory: Path, entry: str, command: str, **environment: str) -> dict[str, Any]:
    """Run ftc in a process with a hub cache of its own; its document's result."""
    recipe = f'[model]\nbase = "./model"\n[data]\nsources.t = {entry}\n'
    (directory / "recipe.toml").write_text(recipe, encoding="utf-8")
    home = {"HF_HOME": str(directory / "hf"), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    home["FTC_CACHE_DIR"] = str(directory / "cache")
    done = subprocess.run(
        [sys.executable, "-m", "ftc", command, "--json", "recipe.toml"],
        cwd=directory,
        env={**os.environ, **home, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    results = json.loads(done.stdout)["results"]
    assert results, done.stdout
    result: dict[str, Any] = results[0]
    return result


def codes(result: dict[str, Any]) -> list[str]:
    """What is said of sources."""
    return [finding["code"] for finding in result["findings"] if finding["code"] < "FTC300"]


def test_a_data_set_is_fetched_at_a_commit_and_serves_without_a_network(
    tmp_path: Path, hub: Server, tiny_model: Path
) -> None:
    (tmp_path / "model").symlink_to(tiny_model)
    online = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"}
    entry = f'{{ dataset = "{REPO}", split = "train" }}'
    assert codes(ftc(tmp_path, entry, "check", **online)) == ["FTC221"]
    assert hub.given == []
    planned = ftc(tmp_path, entry, "plan", **online)
    assert planned["ok"], planned
    (source,) = planned["plan"]["sources"]
    assert source["location"] == f"hf://datasets/{REPO}@{COMMIT}"
    assert (source["format"], source["options"]) == ("parquet", {"split": "train"})
    assert [file["name"] for file in source["files"]] == [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
    ]
    assert planned["plan"]["data"]["ledger"]["read"] == 20
    assert sorted(hub.given) == [file["name"] for file in source["files"]]
    assert codes(ftc(tmp_path, entry, "check", HF_HUB_OFFLINE="1")) == []
    offline = ftc(tmp_path, entry, "plan", HF_HUB_OFFLINE="1")
    assert offline["plan"] == planned["plan"]
    assert offline["digest"] == planned["digest"]
    assert codes(offline) == ["FTC223"]
    unreachable = ftc(tmp_path, entry, "plan", HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert (unreachable["digest"], codes(unreachable)) == (planned["digest"], ["FTC223"])
    pinned = f'{{ dataset = "{REPO}", split = "train", revision = "{OLDER}" }}'
    assert ftc(tmp_path, pinned, "plan", **online)["ok"]
    assert codes(ftc(tmp_path, pinned, "plan", HF_HUB_OFFLINE="1")) == []


def test_what_the_hub_has_not(tmp_path: Path, hub: Server, tiny_model: Path) -> None:
    (tmp_path / "model").symlink_to(tiny_model)
    online = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"}
    for entry, code, said in (
        ('{ dataset = "someone/other" }', "FTC201", "no data set"),
        (f'{{ dataset = "{REPO}", revision = "v9" }}', "FTC201", "no revision"),
        (f'{{ dataset = "{REPO}" }}', "FTC106", "several splits"),
        (f'{{ dataset = "{REPO}", split = "tset" }}', "FTC201", "no split `tset`"),
    ):
        result = ftc(tmp_path, entry, "plan", **online)
        assert codes(result) == [code], entry
        assert said in result["findings"][0]["message"]
    result = ftc(tmp_path, f'{{ dataset = "{REPO}" }}', "plan", HF_HUB_OFFLINE="1")
    assert codes(result) == ["FTC222"]
    result = ftc(
        tmp_path, f'{{ dataset = "{REPO}" }}', "plan", HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert codes(result) == ["FTC222"]


def table(**options: str) -> SourceFiles:
    return SourceFiles(dataset=REPO, **options)  # type: ignore[arg-type]


SHARDS = ("data/train-00000-of-00001.parquet", "data/odd_name-00000-of-00001.parquet")


@pytest.mark.parametrize(
    ("files", "options", "expected"),
    [
        (SHARDS, {"split": "odd_name"}, [SHARDS[1]]),
        (("a.jsonl", "b.jsonl", "README.md"), {}, ["a.jsonl", "b.jsonl"]),
        (("train.csv", "dev.csv"), {"split": "validation"}, ["dev.csv"]),
        (("my_test_file.csv", "training-1.csv"), {"split": "train"}, ["training-1.csv"]),
        (("en/train.jsonl", "de/train.jsonl"), {"subset": "de"}, ["de/train.jsonl"]),
        (("default/train/0000.parquet",), {"subset": "default"}, ["default/train/0000.parquet"]),
        (("train.csv", "train.parquet"), {}, ["train.parquet"]),
        (("train.csv", "train.parquet"), {"format": "csv"}, ["train.csv"]),
        (("docs/a.md", "docs/b.md", "README.md"), {}, ["docs/a.md", "docs/b.md"]),
        (("dataset_infos.json", "rows.json"), {}, ["rows.json"]),
    ],
)
def test_which_files_are_read(files: tuple[str, ...], options: dict[str, str], expected: list[str]) -> None:
    assert list(choose("t", table(**options), Listing(files, ())).names) == expected


CARD = [
    {"config_name": "en", "data_files": [{"split": "train", "path": "en/*.jsonl"}], "default": True},
    {"config_name": "de", "data_files": [{"split": "train", "path": ["de/a.jsonl", "de/**/b.jsonl"]}]},
    {"config_name": "plain", "data_files": "plain/*.jsonl"},
    {"config_name": "dir", "data_dir": "dir"},
]
DECLARED = ("en/x.jsonl", "en/deep/y.jsonl", "de/a.jsonl", "de/q/b.jsonl", "plain/z.jsonl", "dir/test.jsonl")


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        (None, ["en/x.jsonl"]),
        ("de", ["de/a.jsonl", "de/q/b.jsonl"]),
        ("plain", ["plain/z.jsonl"]),
        ("dir", ["dir/test.jsonl"]),
    ],
)
def test_which_files_a_card_declares(subset: str | None, expected: list[str]) -> None:
    options = {} if subset is None else {"subset": subset}
    chosen = choose("t", table(**options), Listing(DECLARED, CARD))
    assert list(chosen.names) == expected
    assert chosen.options["subset"] == (subset or "en")
    assert ("subset" in chosen.reasons) is (subset is None)


@pytest.mark.parametrize(
    ("files", "card", "options", "said"),
    [
        (("run.py", "README.md"), (), {}, "made by a program"),
        (("README.md",), (), {}, "no file of rows"),
        (("en/a.jsonl", "de/a.jsonl"), (), {"subset": "fr"}, "no subset `fr`"),
        (DECLARED, CARD[1:], {}, "several subsets"),
        (DECLARED, CARD, {"subset": "eng"}, "no subset `eng`"),
        (("a.jsonl",), (), {"format": "csv"}, "no CSV files"),
    ],
)
def test_what_a_data_set_has_not(
    files: tuple[str, ...], card: Any, options: dict[str, str], said: str
) -> None:
    with pytest.raises(SourceError) as caught:
        choose("t", table(**options), Listing(files, card))
    assert said in caught.value.message


def test_a_file_of_lines_is_read_from_the_hub(tmp_path: Path, hub: Server, tiny_model: Path) -> None:
    (tmp_path / "model").symlink_to(tiny_model)
    for path in hub.directory.rglob("*.parquet"):
        path.unlink()
    write_jsonl(hub.directory / "chats é.jsonl", pairs(12))
    online = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"}
    planned = ftc(tmp_path, f'{{ dataset = "{REPO}" }}', "plan", **online)
    assert planned["ok"], planned
    assert planned["plan"]["data"]["ledger"]["read"] == 12
    keys = {choice["key"]: choice["value"] for choice in planned["plan"]["choices"]}
    assert keys["data.sources.t.split"] == "train"
