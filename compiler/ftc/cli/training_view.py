"""Options of training in words: what is watched meanwhile, and what is on beside the usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.cli.layout import plural
from ftc.plan.steps import WatchStep


def watch_lines(watch: WatchStep | None) -> list[str]:
    """What looks at the held-out loss while training."""
    if watch is None:
        return []
    line = "the held-out loss every " + ("step" if watch.every == 1 else plural(watch.every, "step"))
    if watch.patience is not None:
        delta = f" by more than {watch.min_delta:g}" if watch.min_delta else ""
        line += f"; ends after {plural(watch.patience, 'evaluation')} of which none is better{delta}"
    return [line, "saves the weights of the lowest held-out loss"] if watch.keep == "best" else [line]


def option_lines(options: Mapping[str, Any]) -> list[str]:
    """Options that are off unless they are asked for."""
    named = {
        "label_smoothing_factor": "label smoothing {:g}",
        "neftune_noise_alpha": "NEFTune {:g}",
        "torch_compile": "compiled by torch.compile",
        "use_liger_kernel": "Liger's kernels",
    }
    on = [text.format(options[name]) for name, text in named.items() if options.get(name)]
    return [", ".join(on)] if on else []
