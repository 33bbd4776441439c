"""Personal data that its own form gives away: addresses, account numbers, each with its check digits.

Names of people and places have no form; finding them takes a language model, which is not tried here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from ftc.lints.kinds import Match
from ftc.lints.scan import Scan

_LOCAL = re.compile(r"[\w%+-](?:[\w.%+-]{0,62}[\w%+-])?\Z")
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?!@)")
_FILES = ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "py", "html", "md", "json", "yml", "txt")
"""Endings of file names, which are no top-level domains (`logo@2x.png`)."""
_RESERVED = re.compile(
    r"(?:^|\.)(?:example\.(?:com|org|net|edu)|example|test|invalid|localhost|local)$", re.IGNORECASE
)
_NOBODY = frozenset({"git", "noreply", "no-reply", "user", "username", "someone", "name"})
"""Local parts that are no person's: `git@host` is how repositories are cloned."""


def emails(scan: Scan) -> Iterator[Match]:
    """Addresses of e-mail (RFC 5322's common form); those of RFC 2606's reserved domains are public."""
    text, at = scan.text, scan.text.find("@")
    while at >= 0:
        host = _HOST.match(text, at + 1)
        name = host and _LOCAL.search(text[max(0, at - 64) : at])
        if host and name and host.group().rpartition(".")[2].lower() not in _FILES:
            public = bool(_RESERVED.search(host.group())) or name.group().lower() in _NOBODY
            yield Match(at - len(name.group()), host.end(), "e-mail address", public)
        at = text.find("@", at + 1)


_CARD = re.compile(
    r"\d(?<![\w.,/+=-]\d)(?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{4}|\d{3}([ -])\d{6}\2\d{4,5})"
    r"(?![\w=/+-]|[.,]\d)"
)
_ISSUERS = re.compile(
    r"(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12})\Z"
)
_CARDS_FOR_TESTS = """
    4111111111111111 4242424242424242 4012888888881881 4000056655665556 5555555555554444 5105105105105100
    5200828282828210 2223003122003222 378282246310005 371449635398431 6011111111111117 6011000990139424
    3056930009020004 30569309025904 38520000023237 3530111333300000 3566002020360505
"""
"""Numbers that payment processors publish for tests."""


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


def credit_cards(scan: Scan) -> Iterator[Match]:
    """Numbers of payment cards: the length and first digits of an issuer, and the check digit."""
    for match in _CARD.finditer(scan.text) if scan.numbers else ():
        digits = re.sub(r"[ -]", "", match.group())
        if _ISSUERS.match(digits) and luhn(digits):
            public = digits in _CARDS_FOR_TESTS or len(set(digits)) <= 2
            yield Match(match.start(), match.end(), "card number", public)


_IBAN = re.compile(
    r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 "
    "EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 "
    "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 "
    "NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 "
    "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _COUNTRIES.split()}
"""Characters of an account number by country (SWIFT's IBAN registry)."""
_PUBLISHED_IBANS = frozenset({"GB82WEST12345698765432", "DE89370400440532013000", "GB29NWBK60161331926819"})


def ibans(scan: Scan) -> Iterator[Match]:
    """International bank account numbers: a country's length, and the check digits (ISO 13616)."""
    for match in _IBAN.finditer(scan.text) if scan.numbers else ():
        number = match.group().replace(" ", "")
        length = _LENGTHS.get(number[:2])
        if length is None or length > len(number):
            continue
        end = match.start() + _cut(match.group(), length)
        number = number[:length]
        if int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1:
            yield Match(match.start(), end, "bank account number", number in _PUBLISHED_IBANS)


def _cut(written: str, length: int) -> int:
    """Where the first `length` characters end, blanks not counted."""
    places = [at for at, character in enumerate(written) if character != " "]
    return places[length - 1] + 1


_SSN = re.compile(r"\d(?<![\w-]\d)(?<!9)\d\d(?<!000)(?<!666)-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_PUBLISHED_SSNS = frozenset({"078-05-1120", "219-09-9999", "457-55-5462", "123-45-6789", "111-11-1111"})


def us_ssns(scan: Scan) -> Iterator[Match]:
    """Social security numbers of the United States as they are written: 3, 2 and 4 digits with dashes."""
    for match in _SSN.finditer(scan.text) if scan.numbers else ():
        yield Match(*match.span(), "social security number", match.group() in _PUBLISHED_SSNS)


_ADDRESS = re.compile(r"\d(?<![\w.-]\d)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![\w-]|\.\d)")


def ip_addresses(scan: Scan) -> Iterator[Match]:
    """IPv4 addresses; private and reserved ones are public."""
    for match in _ADDRESS.finditer(scan.text) if scan.text.count(".") > 2 else ():
        try:
            address = IPv4Address(match.group())
        except AddressValueError:
            continue
        yield Match(*match.span(), "IP address", not address.is_global)
