"""Uploads to a hub on this machine: what is sent, what is asked, and where the token goes."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ftc.export.work import Options
from ftc.jobs.exporting import export

TOKEN = "hf_" + "planted" * 4
COMMIT = "c0ffee" * 6 + "abcd"


class Hub(BaseHTTPRequestHandler):
    """The part of the hub that an upload speaks to; `refuses` answers as to a wrong token."""

    files: dict[str, bytes]
    objects: dict[str, bytes]
    asked: list[tuple[str, str, str]]
    refuses = False
    damaged = False

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
        return data

    def do_POST(self) -> None:
        data = self.body()
        if self.refuses:
            self.answer({"error": f"no such token {TOKEN}"}, 401)
        elif self.path.endswith("/api/repos/create"):
            self.answer({"url": f"http://{self.headers['Host']}/me/chats", "name": "me/chats", "id": "x"})
        elif "/preupload/" in self.path:
            files = json.loads(data)["files"]
            large = [".safetensors", ".json"]
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if Path(one["path"]).suffix == large[0] else "regular",
                    "shouldIgnore": False,
                }
                for one in files
            ]
            self.answer({"files": modes})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.answer({"transfer": "basic", "objects": list(map(self.place, json.loads(data)["objects"]))})
        elif "/commit/" in self.path:
            self.commit([json.loads(line) for line in data.splitlines()])
        else:
            self.answer({})

    def place(self, one: dict[str, Any]) -> dict[str, Any]:
        href = f"http://{self.headers['Host']}/object/{one['oid']}"
        return {**one, "actions": {"upload": {"href": href}}}

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
        self.answer(
            {
                "commitUrl": f"http://{self.headers['Host']}/me/chats/commit/{COMMIT}",
                "commitOid": COMMIT,
                "success": True,
            }
        )

    def do_PUT(self) -> None:
        data = self.body()
        self.objects[self.path.rpartition("/")[2]] = data
        self.answer({})

    def do_GET(self) -> None:
        self.body()
        if self.damaged:
            self.files["README.md"] = b"other"
        siblings = [self.sibling(name, data) for name, data in sorted(self.files.items())]
        self.answer({"id": "me/chats", "sha": COMMIT, "siblings": siblings, "private": True})

    def sibling(self, name: str, data: bytes) -> dict[str, Any]:
        found = {
            "rfilename": name,
            "size": len(data),
            "blobId": sha1(b"blob %d\0" % len(data) + data).hexdigest(),  # noqa: S324 - as git does
        }
        if name.endswith(".safetensors"):
            found["lfs"] = {"sha256": sha256(data).hexdigest(), "size": len(data), "pointerSize": 1}
        return found


KNOWN: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter is compared with the run for the first export: it is the same in all of them."""
    from ftc.export import adapter

    honest = adapter.done

    def done(work: Any, asked: dict[str, Any]) -> Any:
        if "found" not in KNOWN:
            KNOWN["found"] = honest(work, asked)
        return KNOWN["found"]

    monkeypatch.setattr(adapter, "done", done)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub on this machine that knows nothing yet."""
    from huggingface_hub import constants, hf_api

    kind = type("OneHub", (Hub,), {"files": {}, "objects": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", place)
    monkeypatch.setattr(hf_api.constants, "ENDPOINT", place)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", place)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield kind
    server.shutdown()


def test_without_push_nothing_is_sent_and_all_is_listed(hub: type[Hub], chat: Path, tmp_path: Path):
    result = export(chat, Options("hub", repo="me/chats"), tmp_path / "out")
    assert result.ok, result.findings
    assert hub.asked == []
    listed = [line.split()[-1] for line in result.lines[:-1]]
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"} < set(
        listed
    )
    assert "--push" in result.lines[-1]


def test_what_is_pushed_is_what_was_listed(hub: type[Hub], chat: Path, tmp_path: Path):
    options = Options("hub", repo="me/chats", push=True, private=True)
    result = export(chat, options, tmp_path / "out")
    assert result.ok, result.findings
    kept = {
        path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.name != "export.json"
    }
    assert hub.files == kept
    assert hub.files["README.md"] == (chat / "README.md").read_bytes()
    uploads = [check for check in result.report["checks"] if check["name"] == "upload"]
    assert uploads[0]["files"] == [len(kept), len(kept)]
    assert any(token == f"Bearer {TOKEN}" for _, _, token in hub.asked)
    assert TOKEN not in "".join(
        map(str, (result, *kept.values(), (tmp_path / "out/export.json").read_text()))
    )


def test_what_keeps_it_from_being_pushed_is_said_before_work_is_done(
    hub: type[Hub], chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = Options("hub", repo="me/chats", push=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "switched off" in export(chat, options, tmp_path / "a").findings[0].message
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("HF_TOKEN")
    assert "HF_TOKEN" in export(chat, options, tmp_path / "a").findings[0].message
    assert export(chat, Options("hub", repo="me"), tmp_path / "a").findings[0].code == "FTC779"
    assert hub.asked == []


def test_a_refusal_is_told_without_the_token_and_a_damaged_upload_is_found(
    hub: type[Hub], chat: Path, tmp_path: Path
):
    options = Options("hub", repo="me/chats", push=True)
    hub.damaged = True
    wrong = export(chat, options, tmp_path / "a")
    assert wrong.findings[0].code == "FTC775", wrong.findings
    assert "upload" in wrong.findings[0].notes[0]
    hub.refuses = True
    refused = export(chat, options, tmp_path / "b")
    assert refused.findings[0].code == "FTC779"
    assert TOKEN not in str(refused)
    assert not (tmp_path / "b").exists()
