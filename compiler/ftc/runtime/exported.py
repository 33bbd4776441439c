"""What an export needs of torch: weights in another precision, and the export's model beside the run's.

`python -m ftc.runtime.exported JOB REPORT` reads a JSON object from JOB, each of whose keys asks for a thing,
and writes a JSON object with an entry for each: `cast`, `prompts`, `logits`, `tensors`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_json
from ftc.runtime.failure import BuildError, explain
from ftc.runtime.ready import Ready, read_plan

POSITIONS = 32
"""Last positions of a text whose logits are compared."""
BLOCK = 32
"""Numbers that share a scale in q8_0."""
HALF_STEP = {"f32": 1e-6, "f16": 2.0**-11, "bf16": 2.0**-8}
"""How far a number may be off its rounding, as a part of itself."""
SUBNORMAL = 2.0**-24
EIGHT_BITS = 0.0045
"""How far q8_0 may be off, as a part of the largest of its block: half a step, and a scale in 16 bits."""

WEIGHTS = "*.safetensors"
SKIPPED = ("merge.json",)


def cast(asked: dict[str, Any]) -> dict[str, Any]:
    """Copy a model directory with its floating-point weights in another precision."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    source, target = Path(asked["source"]), Path(asked["target"])
    dtype = getattr(torch, asked["dtype"])
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix != ".safetensors" and path.name not in SKIPPED:
            shutil.copyfile(path, target / path.name)
    count = 0
    for path in sorted(source.glob(WEIGHTS)):
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            tensors = {name: _as(file.get_tensor(name), dtype) for name in names}
        save_file(tensors, str(target / path.name), metadata={"format": "pt"})
        count += len(names)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    write_json(target / "config.json", {**_without_dtype(config), "dtype": asked["dtype"]})
    return {"tensors": count}


def _without_dtype(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "torch_dtype"}


def _as(tensor: Any, dtype: Any) -> Any:
    return tensor.to(dtype).contiguous() if tensor.is_floating_point() else tensor


def prompts(asked: dict[str, Any]) -> dict[str, Any]:
    """Conversations and texts as the export's own tokenizer makes tokens of them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asked["directory"], local_files_only=True)
    talks = [
        tokenizer.apply_chat_template(
            talk, add_generation_prompt=True, tokenize=True, return_dict=False, **asked["variables"]
        )
        for talk in asked["talks"]
    ]
    return {"talks": talks, "texts": [list(tokenizer(text)["input_ids"]) for text in asked["texts"]]}


def reference(plan: Ready, base: Path | None, tuned: Path) -> Any:
    """The run's model as it was trained, in float32: the base with its adapter, or its own weights."""
    from ftc.runtime import load
    from ftc.runtime.evaluated import ADAPTER

    step = plan.model.model_copy(update={"dtype": "float32"})
    more: dict[str, Any] = {"head": plan.objective.head, "classes": plan.data.classes}
    if not (tuned / ADAPTER).is_file():
        return load.load_model(step, tuned, **more)
    from peft import PeftModel

    assert base is not None  # noqa: S101 - an adapter has a base
    load.verify(plan.model, base)
    model = load.load_model(step, base, **more)
    return PeftModel.from_pretrained(model, str(tuned), local_files_only=True)


def as_exported(plan: Ready, asked: dict[str, Any]) -> Any:
    """The exported model, computed in float32."""
    if "gguf" in asked:
        return from_gguf(Path(asked["gguf"]))
    base = Path(asked["base"]) if asked["base"] else None
    return reference(plan, base, Path(asked["exported"]))


@lru_cache(maxsize=1)
def from_gguf(file: Path) -> Any:
    """The model in a GGUF file, read by transformers, once as that takes long.

    Raises BuildError where it does not know its form.
    """
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    try:
        return AutoModelForCausalLM.from_pretrained(
            str(file.parent),
            gguf_file=file.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    except (ValueError, NotImplementedError, KeyError) as error:
        raise BuildError("FTC777", f"transformers cannot read the file back: {error}") from error


def read(model: Any, rows: list[list[int]]) -> list[Any]:
    """The logits of the last positions of each text."""
    import torch

    model.eval()
    with torch.no_grad():
        found = [model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float() for ids in rows]
    return [logits[-POSITIONS:].reshape(-1, logits.shape[-1]).clone() for logits in found]


def logits(asked: dict[str, Any]) -> dict[str, Any]:
    """How far the export's logits are from the run's: the models are loaded one after the other."""
    import torch

    plan = read_plan(Path(asked["plan"]))
    base = Path(asked["base"]) if asked["base"] else None
    ours = torch.cat(read(reference(plan, base, Path(asked["tuned"])), asked["rows"])).double()
    theirs = torch.cat(read(as_exported(plan, asked), asked["rows"])).double()[:, : ours.shape[1]]
    before, after = ours.log_softmax(-1), theirs.log_softmax(-1)
    divergence = (before.exp() * (before - after)).sum(-1)
    return {
        "texts": len(asked["rows"]),
        "positions": len(ours),
        "largest": float((ours - theirs).abs().max()),
        "spread": float(ours.std()),
        "divergence": max(0.0, float(divergence.mean())),
        "same": float((ours.argmax(-1) == theirs.argmax(-1)).double().mean()),
        "finite": bool(torch.isfinite(theirs).all()),
    }


def tensors(asked: dict[str, Any]) -> dict[str, Any]:
    """Every tensor of a GGUF file beside the one it was made of; errors as a part of what is allowed."""
    model = from_gguf(Path(asked["gguf"])).state_dict()
    worst, where, count, missing = 0.0, "", 0, []
    for name, old in _weights(Path(asked["source"])):
        new = model.get(name)
        if new is None or new.shape != old.shape:
            missing.append(name)
            continue
        count += 1
        error = off(old.float(), new.float(), asked["quantised"])
        worst, where = max((worst, where), (error, name))
    return {"tensors": count, "missing": missing, "worst": worst, "where": where}


def _weights(directory: Path) -> Iterator[tuple[str, Any]]:
    from ftc.runtime.merge import before

    return before(directory)


def off(old: Any, new: Any, quantised: str) -> float:
    """The largest error of a tensor, in units of what its form allows; above 1 is wrong.

    q8_0: blocks of 32 numbers share a scale (absmax / 127 as a half-precision number), numbers are rounded
    to it. What has one dimension is kept in float32.
    """
    error = (old - new).abs()
    if old.dim() < 2:
        return float((error / (old.abs() * HALF_STEP["f32"] + 1e-6)).max())
    if quantised == "q8_0" and old.shape[-1] % BLOCK == 0:
        blocks = error.reshape(-1, BLOCK).amax(-1)
        allowed = old.abs().reshape(-1, BLOCK).amax(-1) * EIGHT_BITS + SUBNORMAL * 127
        return float((blocks / allowed).max())
    step = HALF_STEP["f16" if quantised == "q8_0" else quantised]
    return float((error / (old.abs() * step + SUBNORMAL)).max())


ASKED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "cast": cast,
    "prompts": prompts,
    "logits": logits,
    "tensors": tensors,
}
"""What may be asked for, in the order in which it is done."""


def main(job: Path, report: Path) -> int:
    """Do what is asked and write what came of it; 1 where something foreseen is in the way."""
    asked = json.loads(job.read_bytes())
    try:
        found = {name: work(asked[name]) for name, work in ASKED.items() if name in asked}
    except (BuildError, OSError, RuntimeError, ValueError) as error:
        traceback.print_exception(error)
        failed = explain(error)
        found = {"failed": {"code": failed.code, "message": failed.message, "help": list(failed.help)}}
    write_json(report, found)
    return int("failed" in found)


if __name__ == "__main__":
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
