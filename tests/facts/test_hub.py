"""Models of the hub through the real client: its cache, and a server of our own that speaks its protocol."""

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

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEWER = "fedcba9876543210fedcba9876543210fedcba98"
REPO = "someone/tiny"
RECIPE = f"""
[model]
base = "{REPO}"
[data]
sources.rows = "rows.jsonl"
[train]
steps = 2
batch = 2
"""


class Hub(BaseHTTPRequestHandler):
    """Answers what the client asks for one repository; counts the files it gives out."""

    directory: Path
    given: list[str]
    main: list[str]

    def _commit(self, path: str) -> str:
        """The commit that a request is about: the one it names, or the newest."""
        return next((commit for commit in (COMMIT, NEWER) if commit in path), self.main[-1])

    def _info(self, commit: str) -> bytes:
        siblings = []
        for path in sorted(self.directory.iterdir()):
            entry: dict[str, Any] = {"rfilename": path.name, "size": path.stat().st_size}
            if path.suffix == ".safetensors":
                digest = sha256(path.read_bytes()).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": path.stat().st_size, "pointerSize": 134}
            siblings.append(entry)
        return json.dumps({"id": REPO, "sha": commit, "private": False, "siblings": siblings}).encode()

    def _tree(self) -> bytes:
        files = [
            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0" * 40}
            for path in sorted(self.directory.iterdir())
        ]
        return json.dumps(files).encode()

    def _reply(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        name, commit = path.rpartition("/")[2], self._commit(path)
        if path.startswith(f"/api/models/{REPO}/tree/"):
            content = self._tree()
        elif path.startswith(f"/api/models/{REPO}"):
            content = self._info(commit)
        elif path.startswith(f"/{REPO}/resolve/{commit}/") and (self.directory / name).is_file():
            content = (self.directory / name).read_bytes()
            if body:
                self.given.append(name)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_GET(self) -> None:
        self._reply(body=True)

    def do_HEAD(self) -> None:
        self._reply(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def commits() -> list[str]:
    """The commits of the hub's model; the last one is its newest."""
    return [COMMIT]


@pytest.fixture
def hub(tiny_model: Path, commits: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with one model, and the names of the files it gave out."""
    given: list[str] = []
    handler = type("OneModel", (Hub,), {"directory": tiny_model, "given": given, "main": commits})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", given
    server.shutdown()


def ftc(directory: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Run ftc in a process with a hub cache of its own; its exit code and document."""
    (directory / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    rows = [json.dumps({"prompt": f"the {i}", "completion": "fox"}) for i in range(4)]
    (directory / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    home = {"HF_HOME": str(directory / "hf"), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ftc", *arguments, "--json", "recipe.toml"],
        cwd=directory,
        env={**os.environ, **home, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)["results"][0]


def test_a_plan_fetches_no_weights_and_a_build_pins_the_commit(
    tmp_path: Path, hub: tuple[str, list[str]], tiny_model: Path, commits: list[str]
) -> None:
    address, given = hub
    online = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"}
    code, planned = ftc(tmp_path, "plan", **online)
    assert code == 0, planned
    assert planned["plan"]["model"]["revision"] == COMMIT
    (weights,) = planned["plan"]["model"]["weights"]
    assert weights["sha256"] == sha256((tiny_model / "model.safetensors").read_bytes()).hexdigest()
    assert "tokenizer.json" in given
    assert "model.safetensors" not in given
    code, built = ftc(tmp_path, "build", **online)
    assert (code, built["status"]) == (0, "built"), built
    assert "model.safetensors" in given
    lock = (tmp_path / built["run"] / "recipe.lock").read_text(encoding="utf-8")
    assert COMMIT in lock
    # What has been fetched serves without a network, and gives the same plan.
    code, offline = ftc(tmp_path, "plan", HF_HUB_OFFLINE="1")
    assert (code, offline["digest"]) == (0, planned["digest"])
    # The model moves on: the lock that the build wrote holds it where it was, until it is moved.
    commits.append(NEWER)
    code, held = ftc(tmp_path, "plan", "--locked", **online)
    assert (code, held["digest"]) == (0, planned["digest"])
    code, moved = ftc(tmp_path, "lock", "--update", "model", **online)
    assert (code, moved["moved"]) == (
        0,
        [{"input": "model", "said": [f"it is at {NEWER[:12]}, and the lock has {COMMIT[:12]}"]}],
    )
    assert NEWER in (tmp_path / "recipe.lock").read_text(encoding="utf-8")


def test_a_model_the_hub_has_not(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    address, _ = hub
    code, result = ftc(
        tmp_path, "plan", "--set", "model.base=someone/else", HF_ENDPOINT=address, HF_HUB_OFFLINE="0"
    )
    assert code == 1
    assert [finding["code"] for finding in result["findings"]] == ["FTC401"]
    assert "no model" in result["findings"][0]["message"]


def test_no_hub_to_be_reached(tmp_path: Path) -> None:
    for environment in (
        {"HF_HUB_OFFLINE": "1"},
        {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"},
    ):
        code, result = ftc(tmp_path, "plan", **environment)
        assert code == 1
        assert [finding["code"] for finding in result["findings"]] == ["FTC401"]
        assert result["findings"][0]["help"]
