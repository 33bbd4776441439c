"""Merge a run's adapter into the model it was trained on: `python -m ftc.runtime.merge RUN MODEL DIR`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_json
from ftc.plan.steps import ModelStep

LOWER = ("bfloat16", "float16")
REPORT = "merge.json"
WEIGHTS = "*.safetensors"


def before(directory: Path) -> Iterator[tuple[str, Any]]:
    """The weights that a model directory has, by name, one at a time."""
    from safetensors import safe_open

    for path in sorted(directory.glob(WEIGHTS)):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield name, file.get_tensor(name)


def drift(directory: Path, weights: dict[str, Any]) -> dict[str, Any]:
    """How large the merge's change is, and what part of it rounding to lower precision would undo.

    `change` is the Frobenius norm of the change over all weights that changed; `lost` the norm of the
    rounding of those weights, as a part of it.
    """
    import torch

    changed, change, lost = 0, 0.0, dict.fromkeys(LOWER, 0.0)
    for name, old in before(directory):
        new = weights.get(name)
        if new is None or new.shape != old.shape or torch.equal(new, old.to(new.dtype)):
            continue
        changed += 1
        change += float((new.double() - old.double()).pow(2).sum())
        for dtype in LOWER:
            rounded = new.to(getattr(torch, dtype)).double()
            lost[dtype] += float((rounded - new.double()).pow(2).sum())
    parts = {dtype: (part / change) ** 0.5 if change else 0.0 for dtype, part in lost.items()}
    return {"weights_changed": changed, "change": change**0.5, "lost": parts}


def copy_tokenizer(run: Path, target: Path) -> None:
    """The run's tokenizer with the chat template it was trained with."""
    from ftc.runtime.save import TOKENIZER_FILES

    for name in (*TOKENIZER_FILES, "tokenizer_config.json"):
        if (run / "model" / name).is_file():
            shutil.copyfile(run / "model" / name, target / name)


def merge(run: Path, directory: Path, target: Path) -> None:
    """Write the run's model with its adapter merged in float32, and how far lower precision is from it."""
    import peft

    from ftc.runtime.load import load_model
    from ftc.runtime.ready import read_plan

    plan = read_plan(run / "plan.json")
    step: ModelStep = plan.model.model_copy(update={"dtype": "float32"})
    model = load_model(step, directory, head=plan.objective.head, classes=plan.data.classes)
    adapted = peft.PeftModel.from_pretrained(model, str(run / "model"))
    whole: Any = adapted.merge_and_unload(safe_merge=True)
    whole.save_pretrained(str(target))
    copy_tokenizer(run, target)
    write_json(target / REPORT, drift(directory, whole.state_dict()))


if __name__ == "__main__":
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    merge(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
