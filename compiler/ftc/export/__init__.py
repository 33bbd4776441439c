"""What a finished run's model can be exported to: one file each, one line each, loaded on first use."""

from __future__ import annotations

from importlib import import_module

from ftc.export.work import Target

TARGETS: dict[str, str] = {
    "merged": "whole weights with the tokenizer, for transformers and whatever reads its directories",
    "adapter": "the adapter with the tokenizer, its base model named and pinned, for PEFT",
    "gguf": "one file for llama.cpp and what is built on it",
    "ollama": "that file with a Modelfile whose template is the one that was trained",
    "vllm": "a directory that vLLM serves, with the command line that does so",
    "hub": "what is uploaded to the Hugging Face hub, model card included; --push uploads it",
}
"""Targets by name, with what they are; each is a module of this folder with a function `export`."""


def load(name: str) -> Target:
    """The function that makes a target, by its name in the table."""
    found: Target = import_module(f"ftc.export.{name}").export
    return found
