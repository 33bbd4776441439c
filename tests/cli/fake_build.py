"""A program for the tests that need a real terminal: `ftc` with a library that answers at once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from test_cli_build import SAID, result

from ftc import api
from ftc.cli.main import main


def build(recipe: Path, **options: Any) -> api.BuildResult:
    pause = float(os.environ.get("PAUSE", "0"))
    for done in range(0, 5501, 500):
        options["progress"]("running the query", done, None if done < 5500 else 5500)
        time.sleep(pause)
    for done in range(0, 5128, 600):
        options["progress"]("compiling rows", done, 5127)
        time.sleep(pause)
    for event in SAID:
        options["on_event"](event)
        time.sleep(pause)
        if os.environ.get("STOP_AT") == str(getattr(event, "step", None)):
            return result(recipe, "stopped")
    return result(recipe)


api.build = build
main()
