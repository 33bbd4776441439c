"""The base model, its tokenizer, and what is optimised."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from ftc.plan.steps.base import Digest, FileDigest
from ftc.recipe.base import Frozen


class NewToken(Frozen):
    """A token that the base does not have: its number, and the base's tokens that its text is made of.

    Its rows begin as the means of theirs.
    """

    text: str
    id: int
    special: bool
    pieces: tuple[int, ...]


class ModelStep(Frozen):
    """The base model as the world has it.

    What another recipe makes has the kind `run`: its location is the name of that run, its revision the
    digest of that plan, from which its weights follow. They are not listed, as they need not be there yet;
    configuration and tokenizer are those which that run began with. With `new_tokens` the vocabulary is that
    of the enlarged model, and rows are compiled by the `enlarged_tokenizer_sha256`. Of a model that runs
    `code` of its own, which the recipe trusts, the Python files are listed.
    """

    location: str
    kind: Literal["hub", "directory", "gguf", "run"]
    revision: str | None
    architecture: str
    context_length: int
    vocabulary: int
    config_sha256: Digest
    tokenizer_sha256: Digest
    weights: tuple[FileDigest, ...]
    dtype: Literal["float32", "bfloat16", "float16"]
    new_tokens: tuple[NewToken, ...] = Field(default=(), exclude_if=lambda tokens: not tokens)
    enlarged_tokenizer_sha256: Digest | None = Field(default=None, exclude_if=lambda digest: digest is None)
    code: tuple[FileDigest, ...] = Field(default=(), exclude_if=lambda files: not files)

    @property
    def compiled_by(self) -> str:
        """The digest of the tokenizer that rows are compiled by."""
        return self.enlarged_tokenizer_sha256 or self.tokenizer_sha256


class TokenizerStep(Frozen):
    """What of the tokenizer decides the tokens: special tokens by role, and their ids.

    `bos` is prepended to text that no chat template renders; None where the tokenizer adds none.
    """

    special_tokens: dict[str, str]
    bos_id: int | None
    eos_id: int
    pad_id: int


class RewardStep(Frozen):
    """What an answer is worth: a metric's score under options, or that of a function in a Python file.

    The `source` of the file is its whole text. Scores are multiplied by `weight` and added up. Where a reward
    model scores, it is `model`, and `ending` the tokens that its own rows have behind an answer's stop token.
    """

    name: str
    metric: str | None
    options: dict[str, JsonValue]
    python: str | None
    source: str | None
    weight: float
    model: ModelStep | None = Field(default=None, exclude_if=lambda step: step is None)
    ending: tuple[int, ...] = Field(default=(), exclude_if=lambda tokens: not tokens)


class ObjectiveStep(Frozen):
    """What is optimised, chosen from the columns or stated, and what the trainer needs for it.

    `batches` names how compiled rows become the trainer's batches, `head` what stands on the model's
    layers; with `reference` the model before training is there too.
    """

    name: str
    trainer: str
    config: str
    options: dict[str, JsonValue] = Field(default_factory=dict)
    batches: str = "rows"
    head: Literal["vocabulary", "scores", "classes", "embedding"] = "vocabulary"
    reference: bool = False
    rewards: tuple[RewardStep, ...] = ()
    teacher: ModelStep | None = None
