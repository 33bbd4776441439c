"""Proving the loss mask of a chat row from recordings of its template, beside proving each row in full.

    python benchmarks/masks.py [--rows N] [--json FILE]

Rows have six messages and about 1,500 characters, all different. Measured is `mask_conversation`: from
checked messages to pieces of text, in microseconds of processor time a row. "Full" renders and traces
each row. The templates are those of the installed TRL; the bar is 60 microseconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from ftc.data.mask.masks import Policy, mask_conversation
from ftc.data.rendering.conversation import Chat
from ftc.data.rendering.example import Rendered
from ftc.data.template.chat_template import ChatTemplate

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
WORDS = ("the", "of", "model", "token", "loss", "mask", "column", "answer", "question", "compile", "template")
TEMPLATES = {
    "qwen3": ("<|im_end|>", "keep"),
    "llama3_1": ("<|eot_id|>", "refuse"),
    "chatml": ("<|im_end|>", "refuse"),
}
"""Stop token, and what becomes of turns in history form (Qwen3 has them in every longer conversation)."""
LENGTHS = (150, 350) * 3


def source(name: str) -> str:
    """A template of TRL, or of this project."""
    spec = importlib.util.find_spec("trl")
    folders = [Path(spec.origin).parent / "chat_templates"] if spec and spec.origin else []
    paths = [folder / f"{name}.jinja" for folder in (*folders, Path(__file__).parents[1] / "templates")]
    return next(path for path in paths if path.is_file()).read_text(encoding="utf-8")


def said(chance: random.Random, characters: int) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < characters:
        words.append(chance.choice(WORDS))
    return " ".join(words)


def chats(rows: int) -> list[Chat]:
    chance = random.Random(7)  # noqa: S311
    roles = ("user", "assistant") * 3
    return [
        Chat([{"role": r, "content": said(chance, n)} for r, n in zip(roles, LENGTHS, strict=True)])
        for _ in range(rows)
    ]


def microseconds(work: Callable[[Chat], object], rows: list[Chat], rounds: int) -> float:
    """The processor time of a row, in the best of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for row in rows:
            work(row)
        best = min(best, time.process_time() - start)
    return best / len(rows) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000, help="rows in each round (2,000)")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    rows, found = chats(options.rows), {}
    print(f"{'template':12}{'recorded':>10}{'full':>10}{'ratio':>8}   microseconds a row")
    for name, (stop, history) in TEMPLATES.items():
        template = ChatTemplate(
            source(name),
            special_tokens=SPECIAL,
            variables={"strftime_now": lambda form: "26 Jul 2024"},  # noqa: ARG005
        )
        policy = Policy("assistant", (stop,), history)  # type: ignore[arg-type]
        assert isinstance(mask_conversation(template, rows[0], policy), Rendered), name
        fast = microseconds(lambda row: mask_conversation(template, row, policy), rows, 5)  # noqa: B023
        full = microseconds(
            lambda row: mask_conversation(template, row, policy, full=True),  # noqa: B023
            rows[: max(1, options.rows // 20)],
            2,
        )
        found[name] = {"recorded": round(fast, 1), "full": round(full, 1), "ratio": round(full / fast, 1)}
        print(f"{name:12}{fast:10.1f}{full:10.1f}{full / fast:8.1f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
