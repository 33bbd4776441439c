"""The tuning methods: one file each, one line each in this table, loaded by name on first use."""

from __future__ import annotations

from importlib import import_module

from ftc.tuning.base import Method

METHODS: dict[str, str] = {
    "full": "ftc.tuning.full",
    "freeze": "ftc.tuning.freeze",
    "lora": "ftc.tuning.lora",
    "qlora": "ftc.tuning.qlora",
    "loha": "ftc.tuning.loha",
    "lokr": "ftc.tuning.lokr",
    "vera": "ftc.tuning.vera",
    "oft": "ftc.tuning.oft",
    "boft": "ftc.tuning.boft",
    "ia3": "ftc.tuning.ia3",
    "ln": "ftc.tuning.ln",
    "prompt": "ftc.tuning.prompt",
    "prefix": "ftc.tuning.prefix",
    "p_tuning": "ftc.tuning.p_tuning",
}

REFUSED: dict[str, str] = {
    "adalora": "AdaLoRA moves ranks between layers after each step, which neither TRL nor transformers calls",
    "adaption_prompt": "PEFT's adaption prompts lose what the loss of TRL puts through the model",
    "corda": 'as an initialisation of LoRA it needs statistics of a data set; PiSSA is `init = "pissa"`',
}
"""Methods that the installed libraries name and that do not train with them, with the reason."""


def load(name: str) -> Method:
    """The method called `name`, a key of `METHODS`."""
    method: Method = import_module(METHODS[name]).METHOD
    return method
