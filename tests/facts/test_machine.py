"""What the driver is asked, by a driver made of Python, and what follows from its answers."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.facts import machine
from ftc.facts.machine import CudaDevice, cuda_devices, detect_device, first_cuda_device, missing_device


class Driver:
    """libcuda as cuda.h declares it: every function returns 0, or an error, and writes its answer."""

    def __init__(self, count: int = 1, *, fails: str = "") -> None:
        self.count, self.fails = count, fails

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            if name == self.fails:
                return 999
            getattr(self, "_" + name)(*arguments)
            return 0

        return call

    def _cuInit(self, flags: int) -> None:  # noqa: N802
        assert flags == 0

    def _cuDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = self.count

    def _cuDeviceGet(self, device: Any, ordinal: int) -> None:  # noqa: N802
        device._obj.value = ordinal

    def _cuDeviceGetName(self, name: Any, length: int, device: Any) -> None:  # noqa: N802, ARG002
        name.value = b"NVIDIA L4"[: length - 1]

    def _cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> None:  # noqa: N802, ARG002
        memory._obj.value = 23_655_000_000

    def _cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> None:  # noqa: N802, ARG002
        value._obj.value = {75: 8, 76: 9}[attribute]


def use(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    def library(name: str) -> Driver:
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", library)


def test_a_driver_describes_its_first_device(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(2))
    assert cuda_devices() == 2
    assert first_cuda_device() == CudaDevice("NVIDIA L4", 23_655_000_000, (8, 9))
    assert detect_device() == ("cuda", "the driver reports 2 CUDA devices")
    assert missing_device("cuda") is None


@pytest.mark.parametrize("fails", ["cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetAttribute"])
def test_a_driver_that_fails_describes_none(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    use(monkeypatch, Driver(fails=fails))
    assert first_cuda_device() is None or fails == "cuDeviceGetCount"
    assert cuda_devices() == (fails not in ("cuInit", "cuDeviceGetCount"))


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, None)
    monkeypatch.setattr(machine, "AMD_DRIVER", tmp_path / "kfd")
    assert (cuda_devices(), first_cuda_device()) == (0, None)
    assert missing_device("cuda") == "no CUDA device was found"
    (tmp_path / "kfd").touch()
    assert missing_device("cuda") is None


def test_apples_device_is_on_apples_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for system, kind, there in (("Darwin", "arm64", True), ("Linux", "x86_64", False)):
        monkeypatch.setattr(platform, "system", lambda found=system: found)
        monkeypatch.setattr(platform, "machine", lambda found=kind: found)
        assert (missing_device("mps") is None) is there
    assert missing_device("cpu") is None


@pytest.mark.parametrize(
    ("capability", "has"), [((7, 0), False), ((7, 5), False), ((8, 0), True), ((12, 0), True)]
)
def test_bfloat16_came_with_capability_8(capability: tuple[int, int], has: bool) -> None:
    assert CudaDevice("X", 1, capability).has_bfloat16 is has


def test_memory_is_the_machines_or_what_a_control_group_leaves_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "self"
    monkeypatch.setattr(machine, "GROUPS", tmp_path)
    monkeypatch.setattr(machine, "GROUP_OF_PROCESS", own)
    whole = machine.memory_size()
    assert whole == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own.write_text("1:memory:/other\n0::/outer/inner\n")
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "memory.max").write_text("max\n")
    assert machine.memory_size() == whole
    (tmp_path / "outer" / "memory.max").write_text("1048576\n")
    assert machine.memory_size() == 1 << 20
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("4096\n")
    assert machine.memory_size() == 4096
