"""Rows in another language than most; `py3langid` tells the language of a sample."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Any

from ftc.lints.base import LintResult, Said, percent
from ftc.lints.evidence import Evidence
from ftc.lints.features import Look
from ftc.lints.kinds import is_installed
from ftc.lints.row import Row, Sighting
from ftc.lints.spec import LintSpec

PACKAGE = "py3langid"
SAMPLE = 2000
"""Rows whose language is told, chosen by the hash of their ids: the shares are right to two points."""

LEAST, MOST = 60, 1000
"""Characters of a text that are needed to tell, and that are looked at."""

CERTAIN = 0.9
"""Probability from which a language counts. At it, the library called none of 5,000 English questions,
chats, and manual pages of 40 characters or more anything but English."""

LETTERS = 0.8
"""Share of letters and blanks that makes a text prose; code and tables have no language to tell."""

MAIN, STRAY = 0.8, 0.005
"""From which share on a language is that of the data, and another one is worth a word.

Where no language has such a share, the data is meant to be in several.
"""

NO_LANGUAGE = "zxx"


@cache
def identifier() -> Any:
    """The library's identifier with its own model, which comes with the package."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def load() -> None:
    """Load the library's model, if it is there."""
    if is_installed(PACKAGE):
        identifier()


def looker(spec: LintSpec) -> Look:
    """Tells the language of what a sample of the rows teaches."""
    installed = is_installed(PACKAGE)
    below = (2**64 * SAMPLE // max(spec.rows, SAMPLE + 1)).to_bytes(8, "big")
    every = spec.rows <= SAMPLE

    def look(row: Row) -> Sighting | None:
        if not installed or len(row.learned) < LEAST:
            return None
        if every or sha256(row.id.encode()).digest() < below:
            text = row.learned[:MOST]
            language = language_of(text)
            return None if language is None else Sighting((language,), text, 0, len(text))
        return None

    return look


def language_of(text: str) -> str | None:
    """The ISO 639 code of a text's language; None where it is not certain, or the text is no prose."""
    if sum(map(str.isalpha, text)) + text.count(" ") < LETTERS * len(text):
        return None
    language, probability = identifier().classify(text)
    return str(language) if probability >= CERTAIN and language != NO_LANGUAGE else None


def judge(evidence: Evidence) -> LintResult | None:
    """Rows in another language, where most are in one."""
    if not is_installed(PACKAGE):
        return LintResult(lint="language_mix", rows=0, looked_at=0, missing=PACKAGE)
    seen = evidence.seen["language_mix"]
    if not seen.rows:
        return None
    main, rows = max(seen.kinds.items(), key=lambda pair: (pair[1], pair[0]))
    strays = {kind: number for kind, number in sorted(seen.kinds.items()) if kind != main}
    strange = sum(strays.values())
    if not strange or rows < MAIN * seen.rows:
        return None
    return LintResult(
        lint="language_mix",
        rows=strange,
        looked_at=seen.rows,
        notable=strange >= max(2, STRAY * seen.rows),
        first=seen.examples(tuple(strays)),
        facts={"main": main, "share": percent(rows / seen.rows), "languages": dict(strays)},
    )


def describe(result: LintResult) -> Said:
    """The result in words."""
    languages = ", ".join(f"{number:,} {name}" for name, number in result.counts("languages").items())
    rows = "one row is" if result.rows == 1 else f"{result.rows:,} rows are"
    main, share = result.word("main"), result.word("share")
    return Said(
        f"{rows} in another language than the others, of {result.looked_at:,} whose language was told",
        (
            "leave them out in the query, or state a column that tells the language",
            'where several languages are meant, write language_mix = "allow" in [lints]',
        ),
        (
            f"{share} are {main}; of the others {languages} (ISO 639 codes)",
            f"it is told of about {SAMPLE:,} rows at most, in prose of {LEAST} characters or more",
        ),
    )
