"""A real HTTP server that speaks as an OpenAI-compatible endpoint, with replies that a test decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

Reply = str | tuple[str, int] | tuple[str, int, dict[str, str]]


def verdict(score: int, reason: str = "it fits") -> str:
    return f'{{"reason": "{reason}", "score": {score}}}'


@dataclass
class Server:
    """What the endpoint was asked, and what it says: `reply` is given the body and its number."""

    reply: Callable[[dict[str, Any], int], Reply]
    delay_s: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    endpoint: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self) -> Response:
        """One chat completion, or the status that the test wants."""
        body = request.get_json()
        with self.lock:
            self.bodies.append(body)
            self.keys.append(request.headers.get("Authorization"))
            number = len(self.bodies)
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        time.sleep(self.delay_s)
        said = self.reply(body, number)
        with self.lock:
            self.open_now -= 1
        if isinstance(said, str):
            return jsonify({"choices": [{"message": {"role": "assistant", "content": said}}]})
        return Response(said[0], status=said[1], headers=said[2] if len(said) > 2 else None)


@contextmanager
def serving(reply: Callable[[dict[str, Any], int], Reply], delay_s: float = 0.0) -> Iterator[Server]:
    server, app = Server(reply, delay_s), Flask("judge")
    app.add_url_rule("/v1/chat/completions", "chat", server.answer, methods=["POST"])
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    server.endpoint = f"http://127.0.0.1:{listening.server_port}/v1"
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
