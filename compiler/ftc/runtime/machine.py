"""What of this machine can decide the weights, written down beside them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ftc.runtime.failure import BuildError

PACKAGES = (
    "accelerate",
    "datasets",
    "numpy",
    "peft",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
)


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def require(device: str) -> None:
    """Raise BuildError unless PyTorch can use the plan's device here."""
    import torch

    usable: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if device not in usable or usable[device]():
        return
    built = "was built without CUDA" if device == "cuda" and torch.version.cuda is None else "finds none"
    raise BuildError(
        "FTC855",
        f"the plan is for a GPU ({device}), and PyTorch {torch.__version__} here {built}",
        "run the same command on a machine that has one, with a PyTorch that was built for it",
        "or remove `gpu` from [hardware] and `device` from [train], to build on what this machine has",
    )


def describe(device: str) -> dict[str, Any]:
    """The content of environment.json."""
    import torch

    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "packages": _versions({"ftc", *PACKAGES}),
    }
