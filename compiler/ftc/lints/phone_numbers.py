"""Telephone numbers, by the library `phonenumbers` (Google's libphonenumber)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ftc.lints.kinds import Match
from ftc.lints.scan import Scan

_ABROAD = re.compile(r"\+\d[\d ().\-]{6,22}\d")
_AMERICAN = re.compile(r"[(\d](?<![\w.+-].)(?:\d{3}\)|\d\d)[-. /]{0,2}\d{3}[-. ]\d{4}(?![\w-]|\.\d)")
"""What may be a number: the library is asked about such stretches alone."""

HOME = "US"


def phones(scan: Scan) -> Iterator[Match]:
    """Telephone numbers that exist: with a country's code, or as they are written in North America.

    Numbers without a country's code are told from other numbers by their grouping, which is North
    America's; a row of digits alone is none.
    """
    if not scan.numbers:
        return
    import phonenumbers

    grouped, valid = phonenumbers.Leniency.STRICT_GROUPING, phonenumbers.Leniency.VALID
    for pattern, leniency in ((_ABROAD, valid), (_AMERICAN, grouped)):
        for stretch in pattern.finditer(scan.text):
            for found in phonenumbers.PhoneNumberMatcher(stretch.group(), HOME, leniency=leniency):
                first = stretch.start()
                yield Match(
                    first + found.start, first + found.end, "telephone number", _is_free(found.number)
                )


def _is_free(number: Any) -> bool:
    """Whether a number is kept free for fiction: 555-0100 to 555-0199 in North America."""
    national = str(number.national_number)
    return number.country_code == 1 and len(national) == 10 and national[3:8] == "55501"
