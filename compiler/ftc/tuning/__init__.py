"""The tuning methods: one file each, one line each in this table, loaded by name on first use."""

from __future__ import annotations

from importlib import import_module

from ftc.tuning.base import Method

METHODS: dict[str, str] = {
    "full": "ftc.tuning.full",
    "lora": "ftc.tuning.lora",
}


def load(name: str) -> Method:
    """The method called `name`, a key of `METHODS`."""
    method: Method = import_module(METHODS[name]).METHOD
    return method
