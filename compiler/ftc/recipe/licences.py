"""Licences that a card may name: those of the hub's list, and SPDX expressions."""

from __future__ import annotations

OTHER = "other"
"""What the hub's metadata says of a licence that is not on its list."""

HUB: tuple[str, ...] = (
    "apache-2.0",
    "mit",
    "openrail",
    "bigscience-openrail-m",
    "creativeml-openrail-m",
    "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m",
    "afl-3.0",
    "artistic-2.0",
    "bsl-1.0",
    "bsd",
    "bsd-2-clause",
    "bsd-3-clause",
    "bsd-3-clause-clear",
    "c-uda",
    "cc",
    "cc0-1.0",
    "cc-by-2.0",
    "cc-by-2.5",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "cdla-sharing-1.0",
    "cdla-permissive-1.0",
    "cdla-permissive-2.0",
    "deepfloyd-if-license",
    "wtfpl",
    "ecl-2.0",
    "epl-1.0",
    "epl-2.0",
    "etalab-2.0",
    "eupl-1.1",
    "eupl-1.2",
    "agpl-3.0",
    "gfdl",
    "gpl",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl",
    "lgpl-2.1",
    "lgpl-3.0",
    "isc",
    "h-research",
    "intel-research",
    "lppl-1.3c",
    "ms-pl",
    "apple-ascl",
    "apple-amlr",
    "mpl-2.0",
    "odc-by",
    "odbl",
    "openmdw-1.0",
    "openrail++",
    "osl-3.0",
    "postgresql",
    "ofl-1.1",
    "ncsa",
    "unlicense",
    "zlib",
    "pddl",
    "lgpl-lr",
    "fair-noncommercial-research-license",
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "llama4",
    "gemma",
    "unknown",
    OTHER,
)
"""The names that the hub's metadata takes as `license`, in the order in which it lists them."""

_LATER = ("-only", "-or-later")


def hub_name(licence: str) -> str | None:
    """The name of the hub's list for a licence; None where it is not on it."""
    name = licence.strip().lower()
    for ending in ("", *_LATER):
        if ending and not name.endswith(ending):
            continue
        plain = name.removesuffix(ending)
        if plain in HUB:
            return plain
    return None


def spdx(licence: str) -> str | None:
    """An SPDX expression as SPDX spells it; None where it is none."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return str(canonicalize_license_expression(licence))
    except InvalidLicenseExpression:
        return None


def is_known(licence: str) -> bool:
    """Whether a licence is on the hub's list or an SPDX expression."""
    return hub_name(licence) is not None or spdx(licence) is not None


def address(licence: str) -> str | None:
    """The page of SPDX on a single licence; None for expressions of several, and what SPDX does not list."""
    name = spdx(licence)
    if name is None or " " in name or name.startswith("LicenseRef-"):
        return None
    return f"https://spdx.org/licenses/{name}.html"
