"""The GPU that a recipe asks for in [hardware], and what is wrong with how it asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ftc import tuning
from ftc.diagnostics import Finding, Severity
from ftc.estimate import catalogue
from ftc.estimate.catalogue import Device
from ftc.recipe.layers import Origins
from ftc.recipe.model import Recipe
from ftc.recipe.suggest import either, listed

AUTO = "auto"
"""Value of `hardware.gpu` that leaves the choice of the GPU to ftc."""


def requested_gpu(recipe: Recipe) -> Device | None:
    """The GPU that a recipe names; None where it names none, leaves it open or names one nobody knows."""
    name = recipe.hardware.gpu
    return None if name in (None, AUTO) else catalogue.find(str(name))


def check_hardware(recipe: Recipe, origins: Origins) -> tuple[Finding, ...]:
    """What is wrong with a recipe's [hardware]; the catalogue is read only where there is one."""
    if not recipe.hardware.model_fields_set:
        return ()
    found = (*_gpu(recipe, origins), *_device(recipe, origins), *_dtype(recipe, origins))
    return (*found, *_prices(recipe, origins))


def unknown_gpu(code: str, message: str, name: str) -> Finding:
    """A finding about a GPU that the catalogue does not have, without its place."""
    near = catalogue.suggestions(name)
    if near:
        return Finding(code, message, help=(f"did you mean {either([f'`{other}`' for other in near])}?",))
    return Finding(code, message, notes=(f"known GPUs: {listed(catalogue.devices(), most=99)}",))


def _gpu(recipe: Recipe, origins: Origins) -> Iterator[Finding]:
    """The GPU must be one whose memory and rates are known."""
    name = recipe.hardware.gpu
    if name in (None, AUTO) or catalogue.find(str(name)) is not None:
        return
    if str(name).casefold() == AUTO:
        place = origins.value("hardware", "gpu")
        yield Finding("FTC851", f"`{name}` is no GPU that ftc knows", place, help=(f'write gpu = "{AUTO}"',))
        return
    several = len(catalogue.sharing(str(name))) > 1
    message = f"`{name}` may be several GPUs" if several else f"`{name}` is no GPU that ftc knows"
    found = unknown_gpu("FTC851", message, str(name))
    helps = found.help or ("remove `gpu` to plan for this machine's own device",)
    yield replace(found, span=origins.value("hardware", "gpu"), help=helps)


def _device(recipe: Recipe, origins: Origins) -> Iterator[Finding]:
    """A GPU is what PyTorch calls a CUDA device, so nothing else can be asked for beside it."""
    gpu, device = recipe.hardware.gpu, recipe.train.device
    if gpu is None or device not in ("cpu", "mps"):
        return
    other = origins.value("hardware", "gpu")
    notes = (f"`hardware.gpu` stands at {other.place}",) if other else ()
    message = f'`train.device` is "{device}", but `hardware.gpu` asks for a GPU ({gpu})'
    yield Finding(
        "FTC850", message, origins.value("train", "device"), help=("remove one of the two",), notes=notes
    )


def _dtype(recipe: Recipe, origins: Origins) -> Iterator[Finding]:
    """bfloat16 on a device without it runs, but far slower: a warning, as the weights come out as asked."""
    device = requested_gpu(recipe)
    if device is None or device.has_bfloat16 or recipe.model.dtype != "bfloat16":
        return
    adapters = tuning.load(recipe.tune.method).adapter
    better = "float16" if adapters else "float32"
    yield Finding(
        "FTC853",
        f"{device.name} has no bfloat16: PyTorch imitates it, at a fraction of the speed",
        origins.value("model", "dtype"),
        severity=Severity.WARNING,
        help=(f'write dtype = "{better}", or leave it out: ftc then picks it',),
    )


def _prices(recipe: Recipe, origins: Origins) -> Iterator[Finding]:
    """A price is of a known GPU, and a GPU has one price."""
    owners: dict[str, str] = {}
    for name in recipe.hardware.prices:
        device = catalogue.find(name)
        path = ("hardware", "prices", name)
        if device is None:
            message = f"a price is given for `{name}`, which is no GPU that ftc knows"
            yield replace(unknown_gpu("FTC852", message, name), span=origins.key(*path))
            continue
        first = owners.setdefault(device.name, name)
        if first != name:
            message = f"`{name}` and `{first}` are both names of {device.name}, and it has one price"
            yield Finding("FTC852", message, origins.key(*path), help=("remove one of the two",))
