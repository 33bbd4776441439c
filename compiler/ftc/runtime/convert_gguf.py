"""Convert a GGUF file to a transformers directory: `python -m ftc.runtime.convert_gguf FILE DIR WHAT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NOISE = ("is_local", "local_files_only", "gguf_file")
ABSURD_LENGTH = 10**9


def clean_tokenizer_config(directory: Path) -> None:
    """Drop keys of tokenizer_config.json that describe the conversion and not the tokenizer."""
    file = directory / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    kept = {key: value for key, value in config.items() if key not in NOISE}
    if kept.get("model_max_length", 0) > ABSURD_LENGTH:
        del kept["model_max_length"]
    file.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def convert(source: Path, target: Path, what: str) -> None:
    """Write configuration and tokenizer, and for `model` the weights in float32 too."""
    import torch
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
        AutoTokenizer,
        GgufConfig,
    )

    directory, name = str(source.parent), source.name
    AutoTokenizer.from_pretrained(directory, gguf_file=name).save_pretrained(target)
    clean_tokenizer_config(target)
    if what == "tokenizer":
        config = AutoConfig.from_pretrained(directory, gguf_file=name)
        causal: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        config.architectures = [causal.__name__]
        config.save_pretrained(target)
        return
    model = AutoModelForCausalLM.from_pretrained(
        directory,
        gguf_file=name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
