"""What llama.cpp makes of a GGUF file: prompts as tokens, and answers.

`python -m ftc.runtime.llama_cpp JOB REPORT`, with the package xllamacpp. JOB is {"gguf", "talks", "texts",
"answers": [[id, …], …], "longest"}; the report has, in the same order, the tokens of each conversation
through the template in the file and of each text, and each answer to tokens with what its first token
could have been.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from ftc.artifact.files import write_json

SECONDS = 120
MOST = 5
"""Probabilities of the first token that are told."""


class Server:
    """llama.cpp's own server in this process, asked over the loopback address."""

    def __init__(self, file: Path) -> None:
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(file)
        settings.n_gpu_layers, settings.n_ctx, settings.n_parallel = 0, 512, 1
        settings.warmup, settings.cpuparams.n_threads = False, min(4, os.cpu_count() or 1)
        settings.use_jinja = True
        self._server = xllamacpp.Server(settings)

    def ask(self, path: str, **asked: Any) -> dict[str, Any]:
        """The answer of one endpoint. Raises OSError where it gives none."""
        data = json.dumps(asked).encode()
        place = f"{self._server.listening_address}{path}"
        request = Request(place, data, {"Content-Type": "application/json"})  # noqa: S310 - the loopback's
        with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
        return found

    def tokens(self, text: str) -> list[int]:
        """The tokens of a prompt as the server itself makes them."""
        found = self.ask("/tokenize", content=text, add_special=True, parse_special=True)
        return list(found["tokens"])

    def talk(self, messages: list[dict[str, Any]]) -> list[int]:
        """The tokens of a conversation through the template in the file."""
        return self.tokens(self.ask("/apply-template", messages=messages)["prompt"])

    def answer(self, ids: list[int], longest: int) -> dict[str, Any]:
        """The likeliest answer to tokens, and the logarithms of the first token's largest probabilities."""
        how = {"n_predict": longest, "temperature": 0, "return_tokens": True, "cache_prompt": False}
        found = self.ask("/completion", prompt=ids, n_probs=MOST, **how)
        first = found["completion_probabilities"][0]["top_logprobs"]
        return {"tokens": found["tokens"], "first": [[one["id"], one["logprob"]] for one in first]}


def main(job: Path, report: Path) -> None:
    """Do what is asked and write what came of it."""
    asked = json.loads(job.read_bytes())
    server = Server(Path(asked["gguf"]))
    found = {
        "talks": [server.talk(talk) for talk in asked["talks"]],
        "texts": [server.tokens(text) for text in asked["texts"]],
        "answers": [server.answer(ids, asked["longest"]) for ids in asked["answers"]],
    }
    write_json(report, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    os._exit(0)  # the server's threads are not waited for
