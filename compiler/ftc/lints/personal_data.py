"""Personal data that its form gives away: addresses of e-mail, telephone, card and account numbers."""

from __future__ import annotations

from ftc.lints.base import LintResult, Said, count, listed
from ftc.lints.evidence import Evidence
from ftc.lints.features import Look
from ftc.lints.kinds import KINDS, available, detect
from ftc.lints.prefilter import BEYOND, WORD
from ftc.lints.row import Row, Sighting
from ftc.lints.spec import LintSpec

LOOKED_FOR = ("iban", "credit_card", "us_ssn", "email", "phone")
"""Addresses of machines (`ip_address`) can be replaced too, but on their own they point at nobody."""


HINTS = (
    rf"[\w%+{BEYOND}-]@{WORD}+\.{WORD}",
    r"\d(?:[ \-.()/\t]*\d){8}",
)
"""An address of e-mail, and the digits of `Scan.numbers`, without which no other kind is looked for."""


def looker(spec: LintSpec) -> Look:
    """Looks for what has the form and the check digits; reserved and published values are nobody's."""
    del spec
    kinds = available(LOOKED_FOR)

    def look(row: Row) -> Sighting | None:
        if not row.said.numbers and "@" not in row.said.text:
            return None
        found = [one for one in detect(row.said, kinds) if not one.match.public]
        if not found:
            return None
        first = found[0].match
        return Sighting(
            tuple(dict.fromkeys(one.kind for one in found)), row.said.text, first.start, first.end
        )

    return look


def hints(spec: LintSpec) -> tuple[str, ...]:
    """What is in every text with personal data."""
    del spec
    return HINTS


def judge(evidence: Evidence) -> LintResult | None:
    """Every such row counts; says so where telephone numbers could not be looked for."""
    absent = [KINDS[kind].package for kind in LOOKED_FOR if kind not in available(LOOKED_FOR)]
    missing = absent[0] if absent else None
    found = evidence.result("personal_data", missing=missing)
    if found is None and missing is not None:
        return LintResult(lint="personal_data", rows=0, looked_at=evidence.rows, missing=missing)
    return found


def describe(result: LintResult) -> Said:
    """The result in words."""
    kinds = result.counts("kinds")
    named = ", ".join(f'"{kind}"' for kind in kinds)
    return Said(
        count(result.rows, "has personal data in its text", "have personal data in their texts"),
        (
            f"write redact = [{named}] in [data] to have it replaced in every text",
            'or personal_data = "allow" in [lints] where it may be learned',
        ),
        (listed(kinds), "names and postal addresses are not looked for: they have no form of their own"),
    )
