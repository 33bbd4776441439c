"""A finished run's model writes: requests come as JSON lines on standard input, answers leave as JSON lines.

`python -m ftc.runtime.generate PLAN MODEL [TUNED]`, where TUNED is the run's adapter or weights. A request is
{"prompts": [[id, …], …], "stops": [id, …], "longest": n, "temperature": t, "top_p": p, "seeds": [s, …],
"stream": b}; its answer is {"kind": "tokens", "ids": […]} for each piece where it streams, then
{"kind": "written", "rows": [[id, …], …], "stopped": b}. The process ends with its input, and SIGINT ends an
answer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftc.runtime.failure import BuildError, explain
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop

Say = Callable[[dict[str, Any]], None]


class Streamer:
    """Hands on each token as it is made; transformers gives the prompt first."""

    def __init__(self, say: Say) -> None:
        self._say, self._begun = say, False

    def put(self, value: Any) -> None:
        """The prompt, and then a token each time."""
        if self._begun:
            self._say({"kind": "tokens", "ids": value.reshape(-1).tolist()})
        self._begun = True

    def end(self) -> None:
        """Nothing: the whole answer is told afterwards."""


def _halting(stop: Stop) -> Callable[..., Any]:
    """What transformers asks after each token: whether to go on."""
    import torch

    def halted(ids: Any, _scores: Any, **_: Any) -> Any:
        return torch.full((ids.shape[0],), stop.asked, dtype=torch.bool, device=ids.device)

    return halted


def written(model: Any, request: dict[str, Any], stop: Stop, say: Say, pad_id: int) -> list[list[int]]:
    """The tokens behind each prompt, to a stop token (left out) or to the longest answer.

    With a temperature each prompt is answered alone from its own seed, so that an answer depends on its
    prompt, its number and the seed, and on no other prompt.
    """
    from ftc.runtime import score

    settings = {"stops": request["stops"], "pad_id": pad_id, "longest": request["longest"]}
    told: dict[str, Any] = {"stopping_criteria": [_halting(stop)]}
    told |= {"streamer": Streamer(say)} if request.get("stream") else {}
    if not request["temperature"]:
        return _cut(score.continued(model, request["prompts"], **settings, told=told), request["stops"])
    found: list[list[int]] = []
    drawn = {"do_sample": True, "temperature": request["temperature"], "top_p": request["top_p"], "top_k": 0}
    for prompt, seed in zip(request["prompts"], request["seeds"], strict=True):
        if stop.asked:
            break
        _seed(seed)
        made = score.continued(model, [prompt], **settings, drawn=drawn, told=told)
        found += _cut(made, request["stops"])
    return found


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


def _cut(made: Any, stops: list[int]) -> list[list[int]]:
    """Each row to its stop token, which stays: it says that the answer ended by itself."""
    rows: list[list[int]] = made.tolist()
    ends = [next((place for place, token in enumerate(row) if token in stops), len(row)) for row in rows]
    return [row[: end + 1] for row, end in zip(rows, ends, strict=True)]


def at_hand(plan: Ready) -> Ready:
    """The plan on its own device, or on the CPU where this machine does not have that."""
    from ftc.runtime import machine

    try:
        machine.require(plan.environment.device)
    except BuildError:
        return replace(plan, environment=plan.environment.model_copy(update={"device": "cpu"}))
    return plan


def load(plan_file: Path, base: Path, tuned: Path | None) -> tuple[Any, int]:
    """The base, or the run's model on it, ready to write; and the padding token. Raises BuildError."""
    from ftc.runtime import load as loading
    from ftc.runtime.evaluated import tuned_model
    from ftc.runtime.ready import read_plan

    plan = at_hand(read_plan(plan_file))
    loading.verify(plan.model, base)
    model = loading.load_base(plan, base)
    if tuned is not None:
        model = tuned_model(plan, model, tuned)
    return model.eval(), plan.tokenizer.pad_id


def serve(lines: Iterator[bytes], say: Say, stop: Stop, model: Any, pad_id: int) -> None:
    """Answer every request until the input ends."""
    import torch

    for line in lines:
        stop.renew()
        with torch.no_grad():
            rows = written(model, json.loads(line), stop, say, pad_id)
        say({"kind": "written", "rows": rows, "stopped": stop.asked})


def _speaker(descriptor: int) -> Say:
    file = os.fdopen(descriptor, "wb")

    def say(event: dict[str, Any]) -> None:
        file.write(json.dumps(event).encode() + b"\n")
        file.flush()

    return say


def main(words: list[str]) -> int:
    """Load, say so, and answer until the input ends; the exit status is 1 where that fails."""
    say = _speaker(os.dup(1))
    os.dup2(2, 1)  # what libraries print is no answer
    stop = Stop()
    signal.signal(signal.SIGINT, lambda *_: stop.ask())
    plan, base, *tuned = map(Path, words)
    try:
        model, pad_id = load(plan, base, tuned[0] if tuned else None)
        say({"kind": "ready"})
        serve(iter(sys.stdin.buffer.readline, b""), say, stop, model, pad_id)
    except (BuildError, OSError, RuntimeError, ValueError) as error:
        failed = explain(error)
        say({"kind": "failed", "code": failed.code, "message": failed.message, "help": list(failed.help)})
        return 1
    return 0


if __name__ == "__main__":
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    sys.exit(main(sys.argv[1:]))
