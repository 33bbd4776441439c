"""Secrets kept out of what is shown or written: values of the environment, and passwords in addresses."""

from __future__ import annotations

import os
import re

SHORTEST = 8
"""Characters of the shortest value of a variable that is taken for a secret."""

_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|_DSN|_URL|_URI", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^/\s:@'\"]*:)([^\s/@'\"]+)@")
_SIGNED = re.compile(
    r"([?&](?:x-amz-(?:signature|credential|security-token)|signature|sig|token|access_token|api[_-]?key|"
    r"password|secret)=)([^&\s'\"#]{4,})",
    re.IGNORECASE,
)

_TOKEN = re.compile(
    r"\b(gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|sk-|hf_|AKIA|ASIA|AIza|npm_|pypi-|ya29\.|SG\.)([\w.-]{16,})"
)
"""Tokens by the beginnings that their publishers gave them."""


def values() -> dict[str, str]:
    """Values of the environment that are secrets by their variables' names, longest first."""
    found = {
        value: name
        for name, value in os.environ.items()
        if len(value) >= SHORTEST and _NAMES.search(name) and not value.startswith("/")
    }
    inner = {
        part[2]: name
        for value, name in found.items()
        for part in _PASSWORD.finditer(value)
        if len(part[2]) >= SHORTEST
    }
    every = {**inner, **found}
    return dict(sorted(every.items(), key=lambda item: -len(item[0])))


def masked(text: str) -> str:
    """Text with tokens, and passwords and signatures of addresses, as asterisks, each in its place."""
    text = _TOKEN.sub(lambda one: one[1] + "*" * len(one[2]), text)
    if "://" not in text:
        return text
    hidden = _PASSWORD.sub(lambda one: f"{one[1]}{'*' * len(one[2])}@", text)
    return _SIGNED.sub(lambda one: one[1] + "*" * len(one[2]), hidden)


def scrubbed(text: str) -> str:
    """Text with secrets of the environment by the names of their variables, and addresses masked."""
    for value, name in values().items():
        text = text.replace(value, f"${name}")
    return masked(text)


def in_address(text: str) -> str:
    """What an address holds that is secret, in words; empty where it holds nothing such."""
    if _PASSWORD.search(text):
        return "a password in an address"
    return "a signature or key in an address" if "://" in text and _SIGNED.search(text) else ""
