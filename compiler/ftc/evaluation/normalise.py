"""How texts are made alike before they are compared."""

from __future__ import annotations

import re
import string

from ftc.evaluation.base import Normalise

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad(text: str) -> str:
    """Lower case, without ASCII punctuation, English articles and repeated white space.

    Source: the evaluation script of SQuAD v1.1 (Rajpurkar et al. 2016), `normalize_answer`.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def label(text: str) -> str:
    """A label as it is compared: case folded, white space single, no punctuation around it."""
    return " ".join(text.casefold().split()).strip(string.punctuation + "“”‘’«» ")


def normalised(text: str, how: Normalise) -> str:
    """The text as it is compared: as it is, without outer white space, or as SQuAD does it."""
    if how == "squad":
        return squad(text)
    return text.strip() if how == "strip" else text
