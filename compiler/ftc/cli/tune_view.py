"""Which weights train, in a line of `ftc plan`."""

from __future__ import annotations

from ftc.cli.layout import number, plural
from ftc.plan.steps import TuneStep, UnfrozenStep

WORDS = {
    "r": "rank",
    "init_r": "first rank",
    "target_r": "mean rank",
    "lora_alpha": "alpha",
    "alpha": "alpha",
    "lora_dropout": "dropout",
    "vera_dropout": "dropout",
    "module_dropout": "dropout",
    "boft_dropout": "dropout",
    "oft_block_size": "blocks of",
    "boft_block_size": "blocks of",
    "num_virtual_tokens": "virtual tokens:",
    "encoder_hidden_size": "width",
}
"""Options of PEFT that are shown, in the recipe's words."""


def tune_line(tune: TuneStep) -> str:
    """Which weights train, and how many numbers that is."""
    return f"{tune.method}: {_trained(tune)}; {_parameters(tune)}"


def _parameters(tune: TuneStep) -> str:
    if tune.parameters is None or not tune.total:
        return "how many parameters train is not known for this model type"
    return f"{number(tune.parameters)} of {number(tune.total)} parameters train ({_share(tune)})"


def _share(tune: TuneStep) -> str:
    share = 100 * (tune.parameters or 0) / (tune.total or 1)
    return "all" if share == 100 else f"{share:.2g} %" if share < 10 else f"{share:.0f} %"


def _trained(tune: TuneStep) -> str:
    if tune.unfrozen is not None:
        return _unfrozen(tune.unfrozen)
    if tune.peft is None:
        return "every weight"
    options, base = tune.peft, f", base in {tune.quantise.kind}" if tune.quantise else ""
    shown = [(word, options.get(key)) for key, word in WORDS.items()]
    parts = [f"{word} {value:g}" for word, value in shown if isinstance(value, (int, float)) and value]
    parts += [word for key, word in (("use_dora", "DoRA"), ("use_rslora", "rsLoRA")) if options.get(key)]
    if options.get("init_lora_weights"):
        parts.append(f"begins with {options['init_lora_weights']}")
    saved = options.get("modules_to_save")
    if isinstance(saved, list):
        parts.append(f"{', '.join(map(str, saved))} whole")
    targets = options.get("target_modules")
    if targets:
        parts.append(f"on {', '.join(map(str, targets)) if isinstance(targets, list) else targets}")
    return ", ".join(parts) + base


def _unfrozen(how: UnfrozenStep) -> str:
    named = [f"the first {plural(how.first, 'layer')}"] if how.first else []
    named += [f"the last {plural(how.last, 'layer')}"] if how.last else []
    named += [name for name in ("embeddings", "norms", "head") if getattr(how, name)]
    return ", ".join((*named, *how.modules)) + ", the rest is frozen"
