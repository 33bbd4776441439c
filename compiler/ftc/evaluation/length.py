"""Length: the answer is as long as it should be."""

from __future__ import annotations

from ftc.evaluation import checks
from ftc.evaluation.base import Answer, Metric, Options
from ftc.evaluation.form import lines


def measured(text: str, options: Options) -> int:
    """How long a text is, outer white space aside.

    In characters, words between white space, lines that are not empty, or tokens of the model. Raises
    ValueError where tokens are asked for and nothing counts them.
    """
    text = text.strip()
    if options.unit == "tokens":
        if options.count_tokens is None:
            raise ValueError("a length in tokens needs the model's tokenizer")
        return options.count_tokens(text)
    if options.unit == "lines":
        return len(lines(text))
    return len(text.split()) if options.unit == "words" else len(text)


def score(answer: Answer, options: Options) -> float | None:
    """1 where the length is from `at_least` to `at_most`, both included; None where neither is stated."""
    own = options.of(answer)
    if own.at_least is None and own.at_most is None:
        return None
    found = measured(answer.answer, own)
    return float((own.at_least or 0) <= found and (own.at_most is None or found <= own.at_most))


def check(options: Options) -> checks.Findings:
    """No bound is stated, or two that contradict each other."""
    low, high = options.at_least, options.at_most
    if low is None and high is None:
        own = options.columns & {"at_least", "at_most"}
        return () if own else checks.needed("length", "at_most", "at_most = 50")
    if low is not None and high is not None and low > high:
        return checks.unusable("at_most", f"{high} is less than at_least, {low}", "exchange the two")
    return ()


METRIC = Metric("length", "has the length", score=score, alone=True, check=check)
