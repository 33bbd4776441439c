"""What this machine offers: the device to train on, and the versions of the packages that matter."""

from __future__ import annotations

import ctypes
import platform
from importlib.metadata import PackageNotFoundError, version

from ftc import __version__

PACKAGES = ("accelerate", "peft", "tokenizers", "torch", "transformers", "trl")
"""Packages whose version can change the weights."""


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide the weights; a missing one is left out."""
    found = {"ftc": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return dict(sorted(found.items()))


def cuda_devices() -> int:
    """Number of CUDA devices the driver reports; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def detect_device() -> tuple[str, str]:
    """The device to train on, and the reason."""
    devices = cuda_devices()
    if devices:
        return "cuda", f"the driver reports {devices} CUDA device{'s' if devices > 1 else ''}"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps", "an Apple silicon machine"
    return "cpu", "no CUDA driver was found"
