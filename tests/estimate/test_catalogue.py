"""The catalogue of GPUs against what others publish of them, and its loader against mistakes."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.estimate import catalogue
from ftc.estimate.catalogue import CatalogueError, devices, find, load, price_range, suggestions

GOOD = """
[[device]]
name = "X1"
aliases = ["Alpha X1"]
memory = 1_000
bandwidth = 1e9
flops = { float16 = 1e12 }
capability = "sm_75"
date = 2026-01-01
source = "data sheet"
prices = [{ provider = "P", usd_per_hour = 1, date = 2026-01-02, source = "list" }]
"""

# Multiprocessors, dense float16 FLOP of one in a clock with float32 accumulation, boost clock in GHz: the
# architectures' whitepapers (CUDA C++ programming guide for the throughput; AMD's CDNA whitepapers).
UNITS = {
    "T4": (40, 1024, 1.59),
    "V100-16GB": (80, 1024, 1.53),
    "V100-32GB": (80, 1024, 1.53),
    "RTX-3090": (82, 512, 1.695),
    "RTX-4090": (128, 512, 2.52),
    "RTX-5090": (170, 512, 2.407),
    "RTX-A5000": (64, 1024, 1.695),
    "RTX-A6000": (84, 1024, 1.80),
    "RTX-6000-Ada": (142, 1024, 2.505),
    "RTX-PRO-6000-Workstation": (188, 1024, 2.617),
    "A10": (72, 1024, 1.695),
    "A10G": (80, 512, 1.71),
    "L4": (58, 1024, 2.04),
    "L40": (142, 512, 2.49),
    "L40S": (142, 1024, 2.49),
    "A40": (84, 1024, 1.74),
    "A100-40GB-PCIe": (108, 2048, 1.41),
    "A100-40GB-SXM": (108, 2048, 1.41),
    "A100-80GB-PCIe": (108, 2048, 1.41),
    "A100-80GB-SXM": (108, 2048, 1.41),
    "H100-80GB-SXM": (132, 4096, 1.83),
    "H200-141GB-SXM": (132, 4096, 1.83),
    "H100-80GB-PCIe": (114, 4096, 1.62),
    "MI210-64GB": (104, 1024, 1.70),
    "MI250X-64GB-GCD": (110, 1024, 1.70),
    "MI300X-192GB": (304, 2048, 2.10),
    "MI325X-256GB": (304, 2048, 2.10),
}

# Width of the memory bus in bits and rate of a pin in Gbit/s, of the same whitepapers and data sheets.
BUSES = {
    "T4": (256, 10),
    "RTX-3090": (384, 19.5),
    "RTX-4090": (384, 21),
    "RTX-5090": (512, 28),
    "RTX-A5000": (384, 16),
    "RTX-A6000": (384, 16),
    "RTX-6000-Ada": (384, 20),
    "RTX-PRO-6000-Server": (512, 24.95),
    "RTX-PRO-6000-Workstation": (512, 28),
    "A10": (384, 12.5),
    "A10G": (384, 12.5),
    "L4": (192, 12.5),
    "L40": (384, 18),
    "L40S": (384, 18),
    "A40": (384, 14.5),
    "A100-40GB-SXM": (5120, 2.43),
    "A100-80GB-SXM": (5120, 3.186),
    "H100-80GB-SXM": (5120, 5.23),
    "MI300X-192GB": (8192, 5.2),
}

# MiB that nvidia-smi shows in all, of which the driver keeps a part: hosts' GPUs in SkyPilot's catalogue
# of Vast.ai (catalogs/v8/vast/vms.csv), for T4, A10G and L4 in modal-labs/modal-client, pull request 2797.
DRIVER_MIB = {
    "T4": 15360,
    "V100-16GB": 16384,
    "RTX-3090": 24576,
    "RTX-4090": 24564,
    "RTX-5090": 32607,
    "RTX-A6000": 49140,
    "RTX-6000-Ada": 49140,
    "RTX-PRO-6000-Server": 97887,
    "A10": 23028,
    "A10G": 23028,
    "L4": 23034,
    "L40S": 46068,
    "A40": 46068,
    "A100-40GB-SXM": 40960,
    "A100-80GB-PCIe": 81920,
    "H100-80GB-SXM": 81559,
    "H100-94GB-NVL": 95830,
    "H200-141GB-SXM": 143771,
    "B200-180GB": 183359,
}

# US dollars an hour of whole machines at Oracle, and their GPUs, in SkyPilot's catalogue (v8/oci/vms.csv of
# pull request 194, 2026-09-18), which reads Oracle's price list apart from the sources of most prices here.
ORACLE = {
    "V100-16GB": (23.6, 8),
    "A10": (8, 4),
    "L40S": (14, 4),
    "A100-40GB-SXM": (24.4, 8),
    "A100-80GB-SXM": (32, 8),
    "RTX-PRO-6000-Server": (36, 8),
    "H100-80GB-SXM": (80, 8),
    "H200-141GB-SXM": (80, 8),
    "B200-180GB": (112, 8),
    "B300-288GB": (120, 8),
    "MI300X-192GB": (48, 8),
}

# What torch.cuda.get_device_name() says of them.
TORCH_NAMES = {
    "Tesla T4": "T4",
    "Tesla V100-SXM2-16GB": "V100-16GB",
    "NVIDIA GeForce RTX 3090": "RTX-3090",
    "NVIDIA GeForce RTX 4090": "RTX-4090",
    "NVIDIA GeForce RTX 5090": "RTX-5090",
    "NVIDIA RTX A6000": "RTX-A6000",
    "NVIDIA RTX 6000 Ada Generation": "RTX-6000-Ada",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX-PRO-6000-Server",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "RTX-PRO-6000-Workstation",
    "NVIDIA A10": "A10",
    "NVIDIA A10G": "A10G",
    "NVIDIA L4": "L4",
    "NVIDIA L40S": "L40S",
    "NVIDIA A40": "A40",
    "NVIDIA A100-PCIE-40GB": "A100-40GB-PCIe",
    "NVIDIA A100-SXM4-40GB": "A100-40GB-SXM",
    "NVIDIA A100 80GB PCIe": "A100-80GB-PCIe",
    "NVIDIA A100-SXM4-80GB": "A100-80GB-SXM",
    "NVIDIA H100 PCIe": "H100-80GB-PCIe",
    "NVIDIA H100 80GB HBM3": "H100-80GB-SXM",
    "NVIDIA H100 NVL": "H100-94GB-NVL",
    "NVIDIA H200": "H200-141GB-SXM",
    "NVIDIA GH200 480GB": "GH200-96GB",
    "NVIDIA B200": "B200-180GB",
    "NVIDIA B300 SXM6 AC": "B300-288GB",
    "AMD Instinct MI210": "MI210-64GB",
    "AMD Instinct MI250X": "MI250X-64GB-GCD",
    "AMD Instinct MI300X": "MI300X-192GB",
    "AMD Instinct MI325X": "MI325X-256GB",
}


def test_there_are_devices_from_t4_to_b300_and_mi325x() -> None:
    assert len(devices()) >= 24
    assert {"T4", "A10G", "L4", "H100-80GB-SXM", "B200-180GB", "MI300X-192GB"} <= set(devices())
    for one in devices().values():
        assert date(2017, 1, 1) <= one.date <= date.today()
        assert all(date(2025, 1, 1) <= price.date <= date.today() for price in one.prices)
        assert len({price.provider for price in one.prices}) == len(one.prices), one.name


def test_rates_are_those_of_the_chips() -> None:
    for name, (units, each, clock) in UNITS.items():
        assert devices()[name].flops["float16"] == pytest.approx(units * each * clock * 1e9, rel=0.01), name


def test_bandwidths_are_those_of_the_memory() -> None:
    for name, (bits, rate) in BUSES.items():
        assert devices()[name].bandwidth == pytest.approx(bits * rate / 8 * 1e9, rel=0.005), name


def test_memory_is_a_little_less_than_the_driver_shows() -> None:
    for name, shown in DRIVER_MIB.items():
        assert 0.96 * shown < devices()[name].memory / 2**20 < shown, name


def test_two_readings_of_one_price_list_agree() -> None:
    for name, (dollars, gpus) in ORACLE.items():
        (price,) = [price for price in devices()[name].prices if price.provider == "Oracle Cloud"]
        assert price.usd_per_hour == pytest.approx(dollars / gpus), name


def test_bfloat16_came_with_ampere() -> None:
    for one in devices().values():
        if one.capability.startswith("sm_"):
            assert one.has_bfloat16 is (int(one.capability[3:]) >= 80), one.name
        assert one.flops.get("bfloat16", one.flops["float16"]) == one.flops["float16"]
        assert one.flops["float32"] < one.flops["float16"]


def test_published_relations_hold() -> None:
    memory = {name: one.memory for name, one in devices().items()}
    assert memory["T4"] < memory["L4"] < memory["RTX-5090"] < memory["L40S"] < memory["A100-80GB-SXM"]
    assert memory["H100-80GB-SXM"] < memory["H100-94GB-NVL"] < memory["H200-141GB-SXM"] < memory["B200-180GB"]
    assert memory["B200-180GB"] < memory["MI300X-192GB"] < memory["MI325X-256GB"] < memory["B300-288GB"]
    rate = {name: one.flops["float16"] for name, one in devices().items()}
    assert rate["T4"] < rate["L4"] < rate["A100-80GB-SXM"] < rate["H100-80GB-PCIe"] < rate["H100-80GB-SXM"]
    assert rate["H100-80GB-SXM"] == rate["H200-141GB-SXM"] < rate["MI300X-192GB"] < rate["B200-180GB"]


@pytest.mark.parametrize(("said", "name"), TORCH_NAMES.items())
def test_a_device_is_known_by_the_name_that_torch_gives_it(said: str, name: str) -> None:
    found = find(said)
    assert found is not None
    assert found.name == name


@given(st.sampled_from(sorted(devices())), st.sampled_from(["-", " ", "_", ""]), st.booleans(), st.booleans())
def test_case_separators_and_maker_do_not_matter(name: str, gap: str, upper: bool, maker: bool) -> None:
    written = ("NVIDIA " * maker) + name.replace("-", gap)
    assert find(written.upper() if upper else written.lower()) == devices()[name]


@given(st.text(max_size=30))
def test_any_name_gets_an_answer(name: str) -> None:
    near = suggestions(name)
    assert len(near) <= 4
    assert set(near) <= set(devices())


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RTX 4900", "RTX-4090"),
        ("h100-sxm4", "H100-80GB-SXM"),
        ("MI300", "MI300X-192GB"),
        ("V100", "V100-32GB"),
        ("A100", "A100-40GB-SXM"),
        ("L40-S", "L40S"),
    ],
)
def test_slips_find_what_was_meant(name: str, near: str) -> None:
    assert near in suggestions(name) or find(name) == devices()[near]


def test_a_name_of_several_devices_is_the_name_of_none() -> None:
    for name in ("A100", "V100", "RTX PRO 6000"):
        assert find(name) is None
        assert len(catalogue.sharing(name)) > 1


def test_the_good_entry_is_good() -> None:
    (one,) = load(GOOD).values()
    assert one.prices[0].usd_per_hour == 1
    assert not one.has_bfloat16


def edited(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (edited("date = 2026-01-01\n", ""), "device X1: date"),
        (edited('source = "data sheet"\n', ""), "device X1: source"),
        (edited('source = "data sheet"', 'source = " "'), "device X1: source"),
        (edited("date = 2026-01-02, ", ""), "device X1: prices.0.date"),
        (edited(', source = "list"', ""), "device X1: prices.0.source"),
        (edited("usd_per_hour = 1", "usd_per_hour = 0"), "device X1: prices.0.usd_per_hour"),
        (edited("memory = 1_000", "memory = 0"), "device X1: memory"),
        (edited("memory = 1_000", "memory = 1e3"), "device X1: memory"),
        (edited("bandwidth = 1e9", "bandwidth = -1.0"), "device X1: bandwidth"),
        (edited("float16 = 1e12", "float16 = inf"), "device X1: flops.float16"),
        (edited("float16 = 1e12", "int4 = 1e12"), "device X1: flops.int4"),
        (edited("{ float16 = 1e12 }", "{}"), "device X1: flops"),
        (edited("sm_75", "7.5"), "device X1: capability"),
        (edited("bandwidth", "bandwith"), "; bandwith: Extra inputs"),
        (edited("date = 2026-01-01", 'date = "2026-01-01"'), "device X1: date"),
        (edited('name = "X1"', ""), "device number 1: name"),
        (edited("Alpha X1", "NVIDIA x-1"), "device X1: the name NVIDIA x-1 belongs to X1 already"),
        (GOOD + GOOD, "device X1: the name X1 belongs to X1 already"),
        (GOOD + GOOD.replace('"X1"', '"X2"'), "device X2: the name Alpha X1 belongs to X1 already"),
        (GOOD + "[other]\n", "tables [[device]] alone"),
        ("", "at least one"),
        ("[[device", "not TOML"),
    ],
)
def test_an_entry_with_a_mistake_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", sorted(devices()))
def test_a_range_holds_every_price_and_says_when(name: str) -> None:
    device = devices()[name]
    found = price_range(device, {})
    if found is None:
        assert device.prices == ()
        return
    figures = sorted(price.usd_per_hour for price in device.prices)
    assert (found.low, found.high) == (figures[0], figures[-1])
    assert figures[(len(figures) - 1) // 2] <= found.likely <= figures[len(figures) // 2]
    assert all(price.provider in found.basis for price in device.prices)
    assert str(max(price.date for price in device.prices)) in found.basis


def test_the_recipe_goes_before_the_file_and_both_before_the_catalogue() -> None:
    device = devices()["L4"]
    own, shared = {"nvidia l4": 0.11, "T4": 9.0}, {"L4": 0.22}
    first, second = price_range(device, own, shared), price_range(device, {"T4": 9.0}, shared)
    third = price_range(device, {"T4": 9.0}, {"T4": 9.0})
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.low, first.likely, first.high) == (0.11, 0.11, 0.11)
    assert "recipe" in first.basis
    assert (second.low, second.high) == (0.22, 0.22)
    assert "FTC_PRICES" in second.basis
    assert third.low < third.high


def test_a_device_that_nobody_rents_out_has_no_price_but_ones_own() -> None:
    device = devices()["MI210-64GB"]
    assert price_range(device, {}) is None
    found = price_range(device, {"mi210": 1.0})
    assert found is not None
    assert found.likely == 1.0


def test_checking_a_recipe_without_hardware_reads_no_catalogue(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[model]\nbase = "a/b"\n[data]\nsources.rows = "rows.csv"\n', encoding="utf-8")
    code = (
        "import sys, ftc.api\n"
        f"ftc.api.check({str(recipe)!r})\n"
        "assert 'ftc.estimate.catalogue' not in sys.modules\n"
        f"ftc.api.check({str(recipe)!r}, set=['hardware.gpu=L4'])\n"
        "assert 'ftc.estimate.catalogue' in sys.modules\n"
        "assert not {'numpy', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
