"""What this machine offers: the device to train on, and the versions of the packages that matter."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ftc import __version__

PACKAGES = (
    "accelerate",
    "apollo-torch",
    "bitsandbytes",
    "galore-torch",
    "liger-kernel",
    "peft",
    "schedulefree",
    "tokenizers",
    "torch",
    "torch-optimi",
    "transformers",
    "trl",
)
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


AMD_DRIVER = Path("/dev/kfd")
"""There where AMD's compute driver is loaded; PyTorch calls its devices CUDA devices too."""

MAJOR, MINOR = 75, 76
"""The driver's numbers of the attributes that make up the compute capability (cuda.h, CUdevice_attribute)."""


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """A GPU as its driver has it: `memory` in bytes, as PyTorch shows it; `capability` such as (8, 9)."""

    name: str
    memory: int
    capability: tuple[int, int]

    @property
    def has_bfloat16(self) -> bool:
        """Whether the device computes in bfloat16 itself: from compute capability 8.0."""
        return self.capability >= (8, 0)


def _driver() -> Any | None:
    """NVIDIA's driver library, ready for use; None without one, or where it finds no device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return None if driver.cuInit(0) else driver


def cuda_devices() -> int:
    """Number of CUDA devices the driver reports; 0 without a driver."""
    driver = _driver()
    count = ctypes.c_int(0)
    failed = driver is None or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def first_cuda_device() -> CudaDevice | None:
    """The CUDA device that training would run on; None where the driver reports none."""
    driver = _driver()
    device = ctypes.c_int(0)
    if driver is None or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t(0)
    major, minor = ctypes.c_int(0), ctypes.c_int(0)
    failed = (
        driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device)
    )
    if failed:
        return None
    return CudaDevice(name.value.decode("utf-8", "replace"), memory.value, (major.value, minor.value))


def memory_size() -> int | None:
    """Bytes of memory that this process may use: the machine's, or less where a control group says so."""
    limits = [_machine_memory(), *map(_group_limit, _group_files())]
    return min((limit for limit in limits if limit is not None), default=None)


GROUPS = Path("/sys/fs/cgroup")
GROUP_OF_PROCESS = Path("/proc/self/cgroup")
"""Where Linux keeps control groups, and says of which ones a process is."""


def _group_files() -> Iterator[Path]:
    """Files that may hold a limit: of each group around the process (version 2), and of version 1."""
    lines = GROUP_OF_PROCESS.read_text("utf-8").splitlines() if GROUP_OF_PROCESS.is_file() else []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    for group in (Path(own), *Path(own).parents):
        yield GROUPS / group / "memory.max"
    yield GROUPS / "memory" / "memory.limit_in_bytes"


def _machine_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not on every system
        return None


def _group_limit(file: Path) -> int | None:
    try:
        text = file.read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def detect_device() -> tuple[str, str]:
    """The device to train on, and the reason."""
    devices = cuda_devices()
    if devices:
        return "cuda", f"the driver reports {devices} CUDA device{'s' if devices > 1 else ''}"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps", "an Apple silicon machine"
    return "cpu", "no CUDA driver was found"


def missing_device(device: str) -> str | None:
    """Why a plan for a device cannot run on this machine, as far as its drivers tell; None where it may."""
    if device == "cuda" and not cuda_devices() and not AMD_DRIVER.exists():
        return "no CUDA device was found"
    if device == "mps" and (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return "this is no Apple silicon machine"
    return None
