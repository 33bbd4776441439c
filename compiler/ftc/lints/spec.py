"""What the lints of single rows need to know of the plan; it can be handed to another process."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("ftfy", "phonenumbers", "py3langid")
"""Libraries that decide what lints find; all but the first belong to the extra `lints`."""


@dataclass(frozen=True)
class LintSpec:
    """The plan's control tokens and template, and how many rows there are.

    `controls` are the texts of the tokenizer's special tokens. The number of rows decides which of them are
    looked at where a lint looks at a sample.
    """

    controls: tuple[str, ...] = ()
    chat_template: str | None = None
    rows: int = 0


def library_versions() -> dict[str, str | None]:
    """The installed versions of the libraries, None for those that are not there."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
