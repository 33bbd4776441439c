"""Secrets that their own form gives away: keys and tokens with a published prefix, PEM, assignments.

No general detector by randomness: it takes every identifier for a secret.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ftc.lints.kinds import Match
from ftc.lints.prefilter import BEYOND, BLANK, WORD
from ftc.lints.scan import Scan


@dataclass(frozen=True, slots=True)
class Format:
    """A form of secret: its name, a few characters which every one of them has, and the pattern.

    What the group `secret` matches is the secret, or the whole match where there is no such group.
    """

    what: str
    hints: tuple[bytes, ...]
    pattern: re.Pattern[str]


def _format(what: str, hints: str, pattern: str) -> Format:
    return Format(what, tuple(hint.encode() for hint in hints.split()), re.compile(pattern))


_B, _E = r"(?<![\w-])", r"(?![\w-])"

TOKENS: tuple[Format, ...] = (
    _format("AWS access key", "AKIA ASIA ABIA ACCA", _B + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}" + _E),
    _format("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", _B + r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _format("GitHub token", "github_pat_", _B + r"github_pat_\w{22,255}"),
    _format("GitLab token", "glpat- glptt- gldt- glrt- glsoat-", _B + r"gl(?:pat|ptt|dt|rt|soat)-[\w-]{20,}"),
    _format("Slack token", "xox xapp- xwfp-", _B + r"(?:xox[abeoprs]|xapp|xwfp)-[\w-]{10,}"),
    _format(
        "Slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[\w/]{20,})",
    ),
    _format("Stripe key", "k_live_ k_test_", _B + r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _format("Stripe key", "whsec_", _B + r"whsec_[A-Za-z0-9+/=]{24,}"),
    _format("OpenAI key", "sk-proj- sk-svcacct- sk-admin-", _B + r"sk-(?:proj|svcacct|admin)-[\w-]{20,}"),
    _format("OpenAI key", "sk-", _B + r"sk-(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}" + _E),
    _format("Anthropic key", "sk-ant-", _B + r"sk-ant-[\w-]{20,}"),
    _format("Hugging Face token", "hf_ api_org_", _B + r"(?:hf|api_org)_[A-Za-z]{34}" + _E),
    _format("Google API key", "AIza", _B + r"AIza[\w-]{35}" + _E),
    _format("Google OAuth token", "ya29.", _B + r"ya29\.[\w-]{20,}"),
    _format("Google OAuth secret", "GOCSPX-", _B + r"GOCSPX-[\w-]{28}" + _E),
    _format("npm token", "npm_", _B + r"npm_[A-Za-z0-9]{36}" + _E),
    _format("PyPI token", "pypi-AgE", _B + r"pypi-AgE[\w-]{50,}"),
    _format("SendGrid key", "SG.", _B + r"SG\.[\w-]{16,32}\.[\w-]{16,64}"),
    _format(
        "Twilio key",
        "SK0 SK1 SK2 SK3 SK4 SK5 SK6 SK7 SK8 SK9 SKa SKb SKc SKd SKe SKf",
        _B + r"SK[0-9a-f]{32}" + _E,
    ),
    _format("Mailchimp key", "-us", _B + r"[0-9a-f]{32}-us\d{1,2}" + _E),
    _format("Mailgun key", "key-", _B + r"key-[0-9a-f]{32}" + _E),
    _format("Telegram token", ":AA", _B + r"\d{8,10}:AA[\w-]{33}" + _E),
    _format(
        "Discord token", "MT Mj Mz ND NT Nj Nz OD OT", _B + r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}" + _E
    ),
    _format("DigitalOcean token", "_v1_", _B + r"do[opr]_v1_[0-9a-f]{64}" + _E),
    _format("Shopify token", "shp", _B + r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}" + _E),
    _format("Square token", "sq0", _B + r"sq0(?:atp|csp)-[\w-]{22,60}"),
    _format("Azure storage key", "AccountKey=", r"AccountKey=(?P<secret>[A-Za-z0-9+/]{86}==)"),
    _format("JSON web token", "eyJ", _B + r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    _format(
        "assigned secret",
        "assw ASSW pwd PWD ecret ECRET oken OKEN _key _KEY -key -KEY iKey sKey hKey ikey skey hkey IKEY SKEY",
        r"(?i)(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key)"
        r"[\w-]{0,20}[\"']?\s{0,3}(?:=|:|:=|=>)\s{0,3}[\"'](?P<secret>(?=[^\"']{0,104}[\w+-]{16})[^\s\"']{16,120})[\"']",
    ),
)
"""Each holds a word of 16 characters or more (`Scan.long_words`), which is looked at first."""

PRIVATE_KEY = _format(
    "private key",
    "",
    r"-----BEGIN (?P<label>(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:[\s\S]*?-----END (?P=label)-----|(?:(?:\\r)?\\n|[\sA-Za-z0-9+/=])*)",
)
_ADDRESS = re.compile(r"://[^\s/:@'\"<>]{1,80}:([^\s/@'\"<>]{3,80})@[\w.-]")

HINTS = (
    r"A(?:KI|SI|BI|CC)A[A-Z2-7]{16}|AIza|SG\.|SK[0-9a-f]{32}",
    r"_[A-Za-z0-9+/=]{24}|_pat_|_(?:live|test)_",
    rf"-{WORD}{{20}}|-us[\d{BEYOND}]|xox[abeoprs]-|xapp-|xwfp-",
    rf"\.{WORD}{{20}}|\.slack\.com/",
    r":AA|Key=[A-Za-z0-9+/]{20}|PRIVATE KEY",
    rf"[=:>]{BLANK}{{0,9}}[\"'][^\s\"']{{16}}",
    r"://[^\s/:@'\"<>]+:[^\s/@'\"<>]+@",
)
"""One of these is in every text in which `secrets` finds something: a rare character of the form (never the
first letters, with which words begin), and what follows it there."""

_NAMED = ("password in an address", "assigned secret")
"""Forms in which anything may stand, placeholders too."""

_PLACEHOLDER = re.compile(
    r"(?i)x{4,}|\*{3,}|\.{3}|example|sample|dummy|placeholder|redacted|changeme|your|<|>|\$|\{|\}|%|\[|\]|\(|\)"
    r"|^(?:pass(?:w(?:or)?d)?|secret|hunter2|foo|bar|baz|test|admin|root|token|null|none|true|false|guest)\d*$"
)


def _entropy(text: str) -> float:
    """Shannon entropy in bits a character."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())


def _is_public(what: str, secret: str) -> bool:
    """Whether a secret is a placeholder."""
    if what == "private key":
        return "EXAMPLE" in secret or len(secret) < 100
    if "EXAMPLE" in secret or len(set(secret)) < 6:
        return True
    if what not in _NAMED:
        return False
    if _PLACEHOLDER.search(secret):
        return True
    mixed = any(map(str.isdigit, secret)) and any(map(str.isalpha, secret))
    return what == "assigned secret" and not (mixed and _entropy(secret) >= 3)


def secrets(scan: Scan) -> Iterator[Match]:
    """Keys, tokens and passwords; placeholders are public."""
    text = scan.text
    if "PRIVATE KEY" in text:
        yield from _found(PRIVATE_KEY, text)
    if "@" in text and "://" in text:
        for match in _ADDRESS.finditer(text):
            what = "password in an address"
            yield Match(*match.span(1), what, _is_public(what, match.group(1)))
    words = scan.long_words
    for form in TOKENS if words else ():
        if any(hint in words for hint in form.hints):
            yield from _found(form, text)


def _found(form: Format, text: str) -> Iterator[Match]:
    group = "secret" if "secret" in form.pattern.groupindex else 0
    for match in form.pattern.finditer(text):
        yield Match(*match.span(group), form.what, _is_public(form.what, match.group(group)))
