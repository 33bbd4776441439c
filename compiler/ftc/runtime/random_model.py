"""`python -m ftc.runtime.random_model DIRECTORY`: a small model of random weights, for measuring."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

END, PAD = "<|end|>", "<|pad|>"
VOCABULARY = 16_384
"""Rows of the embedding; the tokenizer uses as many of them as there are bytes, and two."""

SHAPES: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
}


def write_tokenizer(directory: Path) -> dict[str, Any]:
    """A tokenizer of bytes; returns the ids of its special tokens as a model's configuration has them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END, special=True), AddedToken(PAD, special=True)])
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": PAD}
    (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    end, pad = (tokenizer.token_to_id(token) for token in (END, PAD))
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": pad}


def write_model(directory: Path) -> None:
    """A Llama of 25 million random weights beside its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    directory.mkdir(parents=True, exist_ok=True)
    ids = write_tokenizer(directory)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **SHAPES, **ids)).save_pretrained(directory)


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))
