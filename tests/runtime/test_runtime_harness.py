"""What the harness is given of a model is what its own adapter for transformers finds."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftc.evaluation.harness import adapted
from ftc.runtime.harness import Asked

pytest.importorskip("lm_eval")

PAIRS = [
    ("the quick brown", " fox"),
    ("the quick brown ", "fox jumps"),
    ("what is the capital of this country?", " the lazy dog jumps over it, and the fox does not"),
    ("", "the lazy dog"),
    ("the fox " * 90, "jumps over the dog"),
]
TEXTS = ["the quick brown fox jumps", "the lazy dog " * 60]
PROMPTS = [
    ("the quick", {"until": ["\n\n"], "max_gen_toks": 9}),
    ("what is the capital of", {"max_gen_toks": 5}),
]


def request(*args: Any) -> Any:
    return SimpleNamespace(args=args)


@pytest.fixture(scope="module")
def both(tiny_model: Path) -> tuple[Any, Any]:
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    length = 64
    theirs = HFLM(
        pretrained=model,
        tokenizer=AutoTokenizer.from_pretrained(tiny_model),
        max_length=length,
        batch_size=2,
        add_bos_token=False,
    )
    roles = theirs.tokenizer
    plan = SimpleNamespace(
        tokenizer=SimpleNamespace(bos_id=None, eos_id=roles.eos_token_id, pad_id=roles.pad_token_id),
        model=SimpleNamespace(context_length=length, vocabulary=model.config.vocab_size),
    )
    theirs.custom_prefix_token_id = roles.eos_token_id
    heeded: list[None] = []
    asked = Asked(
        plan,  # type: ignore[arg-type]
        model,
        Tokenizer.from_file(str(tiny_model / "tokenizer.json")),
        lambda: heeded.append(None),
        batch=2,
    )
    return adapted(asked.functions()), theirs


def test_continuations_are_scored_as_the_harness_does(both: tuple[Any, Any]) -> None:
    ours, theirs = (one.loglikelihood([request(*pair) for pair in PAIRS], disable_tqdm=True) for one in both)
    for own, other in zip(ours, theirs, strict=True):
        assert own == (pytest.approx(other[0], rel=1e-4), other[1])


def test_texts_alone_are_scored_as_the_harness_does(both: tuple[Any, Any]) -> None:
    ours, theirs = (
        one.loglikelihood_rolling([request(text) for text in TEXTS], disable_tqdm=True) for one in both
    )
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_answers_are_those_of_the_harness(both: tuple[Any, Any]) -> None:
    ours, theirs = (
        one.generate_until([request(*prompt) for prompt in PROMPTS], disable_tqdm=True) for one in both
    )
    assert ours == theirs


def test_one_next_token_is_the_likeliest_and_all_add_up_to_one(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    context = ours.tok_encode("the quick")
    every = [(("", ""), context, [token]) for token in range(theirs.model.config.vocab_size)]
    found = ours._loglikelihood_tokens(every)
    assert sum(greedy for _, greedy in found) == 1
    assert max(found)[1]
    assert sum(math.exp(score) for score, _ in found) == pytest.approx(1, rel=1e-4)
