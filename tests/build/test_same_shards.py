"""Compiled data is the same bytes, whatever machine, user and place it is compiled on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from models import write_tiny_tokenizer

PLAN = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[2], 8))
from ftc.data.query import result
from ftc.data.work import dispatch
from ftc.facts import sandbox
os.cpu_count = lambda: int(sys.argv[3])
sandbox.MOST_THREADS = 8
dispatch.INLINE_BYTES, result.BATCH = -1, 64
import ftc
made = ftc.plan(Path(sys.argv[1]) / "r.toml")
assert made.ok, made.findings
print(made.digest)
"""
RECIPE = """[model]
base = "model"
[data]
sources.parts = "rows/*.jsonl"
sources.more = "more.csv"
query = "select prompt, completion from parts where not prompt in (select prompt from more)"
dedupe = "near"
packing = true
max_length = 128
sample = 0.9
[data.split]
eval = 0.2
[render]
chat = false
[lints]
small_eval = "allow"
[train]
steps = 1
"""
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}


def project(directory: Path, *, backwards: bool) -> Path:
    """A project whose files were written in one order or the other."""
    vocabulary = write_tiny_tokenizer(directory / "model")
    config = json.dumps(MODEL | {"vocab_size": vocabulary})
    (directory / "model" / "config.json").write_text(config, encoding="utf-8")
    (directory / "model" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (directory / "rows").mkdir()
    numbers = range(5, -1, -1) if backwards else range(6)
    for part in numbers:
        asked = [f"what is {n * 7919} times {part}, İı ß?" for n in range(60)]
        told = [f" it is {n * part} " * (n % 9) for n in range(60)]
        lines = [{"prompt": a, "completion": b} for a, b in zip(asked, told, strict=True)]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (directory / "rows" / f"part-{part}.jsonl").write_text(text, encoding="utf-8")
    rows = "".join(f'"what is {n * 7919} times 3, İı ß?"\n' for n in range(5))
    (directory / "more.csv").write_text(f"prompt\n{rows}", encoding="utf-8")
    (directory / "r.toml").write_text(RECIPE, encoding="utf-8")
    return directory


def compiled(directory: Path, umask: str, threads: str, **environment: str) -> tuple[str, dict[str, str]]:
    """The plan's digest and the digests of all compiled files, of a process with that environment."""
    own = {**os.environ, "FTC_CACHE_DIR": str(directory / "cache"), **environment}
    command = [sys.executable, "-c", PLAN, str(directory), umask, threads]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found = {}
    for kind in ("data", "sequences"):
        for path in sorted((directory / "cache" / kind).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                name = path.relative_to(directory / "cache").as_posix()
                found[name] = sha256(path.read_bytes()).hexdigest()
    return ran.stdout.strip(), found


def test_the_bytes_depend_on_no_machine_user_or_place(tmp_path: Path) -> None:
    """One process and several, threads, hash seeds, locales, zones, umasks, directories, orders of files."""
    one = project(tmp_path / "one", backwards=False)
    here = compiled(one, "022", "1", FTC_JOBS="1", PYTHONHASHSEED="0", LC_ALL="C", TZ="UTC")
    assert {name.split("/")[0] for name in here[1]} == {"data", "sequences"}
    assert len(here[1]) > 6
    other = project(tmp_path / "a place with blanks" / "ü", backwards=True)
    several = {"FTC_JOBS": "2", "PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "Asia/Kolkata"}
    assert compiled(other, "077", "3", **several) == here
    third = project(tmp_path / "3", backwards=True)
    many = {"FTC_JOBS": "5", "PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns"}
    assert compiled(third, "002", "8", **many) == here
