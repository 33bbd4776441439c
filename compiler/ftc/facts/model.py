"""What the world says of the base model: its configuration, tokenizer and weights, by digest."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.digests import file_digest
from ftc.facts.locate_model import Located
from ftc.facts.remote_code import trusted_code
from ftc.facts.tokenizer import TokenizerFacts, read_json, read_tokenizer
from ftc.plan.steps import FileDigest, ModelStep, NewToken
from ftc.recipe.load import Origins

WEIGHTS = "*.safetensors"
SENTENCES = "sentence_bert_config.json"
"""Where sentence-transformers keeps how long a text may be."""

CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
MODULES = "modules.json"
ENCODER = ("Model", "ForMaskedLM")
"""How the names of architectures end: of language models that write, and of models that only read."""

UNSAFE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
PICKLED = "the model's weights are pickled ({name}), which can run code when they are loaded"


@dataclass(frozen=True)
class ModelFacts:
    """A located model, read: `directory` has config.json and tokenizer.json.

    `weights` are the files whose digests pin the model; a GGUF file pins itself, and its conversion is
    made when the build needs it.
    """

    located: Located
    directory: Path
    config: Mapping[str, Any]
    config_sha256: str
    tokenizer: TokenizerFacts
    weights: tuple[FileDigest, ...]
    commit: str | None
    new_tokens: tuple[NewToken, ...] = ()
    base: ModelFacts | None = None
    """The model before the new tokens came, where there are some."""
    code: tuple[FileDigest, ...] = ()
    """Python files that come with the model and that the recipe trusts."""

    @property
    def architecture(self) -> str:
        """The class that loads the model, by its own configuration."""
        names = self.config.get("architectures") or ["unknown"]
        return str(names[0])

    @property
    def writes(self) -> bool:
        """Whether it is a causal language model."""
        return self.architecture.endswith(CAUSAL)

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The language model's part of the configuration."""
        nested = self.config.get("text_config")
        return nested if isinstance(nested, dict) else self.config

    @property
    def context_length(self) -> int | None:
        """Longest sequence the model has positions for, in tokens, or that sentence-transformers gives it."""
        stated = read_json(self.directory / SENTENCES).get("max_seq_length")
        own = self._positions
        return min(own, stated) if own is not None and isinstance(stated, int) else own

    @property
    def _positions(self) -> int | None:
        for key in ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx"):
            value = self.text_config.get(key)
            if isinstance(value, int):
                return value
        return None

    @property
    def vocabulary(self) -> int | None:
        """Rows of the embedding."""
        value = self.text_config.get("vocab_size")
        return value if isinstance(value, int) else None

    @cached_property
    def tensor_names(self) -> tuple[str, ...]:
        """Names of the weights, from the files' headers alone; empty where no safetensors file is at hand."""
        names = (safetensors_names(path) for path in sorted(self.directory.glob(WEIGHTS)))
        return tuple(name for group in names for name in group)

    def step(self, dtype: Literal["float32", "bfloat16", "float16"]) -> ModelStep:
        """The model's part of the plan."""
        return ModelStep(
            location=self.located.location,
            kind=self.located.kind,
            revision=self.commit,
            architecture=self.architecture,
            context_length=self.context_length or 0,
            vocabulary=self.vocabulary or 0,
            config_sha256=self.config_sha256,
            tokenizer_sha256=(self.base or self).tokenizer.sha256,
            weights=self.weights,
            dtype=dtype,
            new_tokens=self.new_tokens,
            enlarged_tokenizer_sha256=self.tokenizer.sha256 if self.new_tokens else None,
            code=self.code,
        )


def safetensors_names(path: Path) -> tuple[str, ...]:
    """The tensors' names in a safetensors file's header (its first eight bytes give the header's length)."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return tuple(name for name in header if name != "__metadata__")


def local_weights(directory: Path, cache: Cache | None = None) -> tuple[FileDigest, ...]:
    """Digests of a directory's safetensors files, and of what sentence-transformers builds around them."""
    files = sorted(directory.glob(WEIGHTS))
    if (directory / MODULES).is_file():
        more = [directory / MODULES, directory / SENTENCES, *directory.glob("*/config.json")]
        files += sorted(path for path in more if path.is_file())
    return tuple(file_digest(path, path.relative_to(directory).as_posix(), cache) for path in files)


def convert_help(place: str) -> tuple[str, ...]:
    """What to type that turns pickled weights into safetensors, in a process that runs no code of theirs."""
    load = f"t.AutoModelForCausalLM.from_pretrained({place!r}, weights_only=True)"
    return (
        "convert them on a machine that holds nothing of worth, or ask the publisher to:",
        f"python -c \"import transformers as t; {load}.save_pretrained('converted')\"",
    )


def weights_finding(directory: Path, origins: Origins) -> Finding | None:
    """The finding for a directory without safetensors weights."""
    if any(directory.glob(WEIGHTS)):
        return None
    span = origins.value("model", "base")
    files = sorted(path.name for path in directory.iterdir() if path.name.endswith(UNSAFE_ENDINGS))
    if files:
        return Finding("FTC405", PICKLED.format(name=files[0]), span, help=convert_help(str(directory)))
    return Finding(
        "FTC405",
        "the model directory has no .safetensors file",
        span,
        help=("name a directory that `save_pretrained` wrote, weights included",),
    )


def read_model(
    located: Located,
    directory: Path,
    origins: Origins,
    *,
    weights: tuple[FileDigest, ...],
    commit: str | None = None,
) -> ModelFacts | Finding:
    """Read configuration and tokenizer of a model directory."""
    span = origins.value("model", "base")
    config_file = directory / "config.json"
    try:
        config = read_json(config_file)
        tokenizer = read_tokenizer(directory)
    except FileNotFoundError as error:
        name = Path(str(error.filename)).name
        return Finding("FTC402", f"the model `{located.location}` has no {name}", span)
    except (ValueError, OSError, KeyError) as error:
        return Finding("FTC403", f"the model `{located.location}` cannot be read: {error}", span)
    code = trusted_code(directory, config, origins, trusted=located.trusted)
    if isinstance(code, Finding):
        return code
    facts = ModelFacts(
        located=located,
        directory=directory,
        config=config,
        config_sha256=file_digest(config_file, "config.json").sha256,
        tokenizer=tokenizer,
        weights=weights,
        commit=commit,
        code=code,
    )
    return _readable(facts, origins) or facts


def _readable(facts: ModelFacts, origins: Origins) -> Finding | None:
    span = origins.value("model", "base")
    if "architectures" not in facts.config:
        return Finding("FTC403", "the model's config.json names no architecture", span)
    if not facts.architecture.endswith((*CAUSAL, *ENCODER)):
        return Finding(
            "FTC404",
            f"`{facts.architecture}` is not a causal language model",
            span,
            help=("name a model whose architecture ends in ForCausalLM",),
        )
    if facts.context_length is None or facts.vocabulary is None:
        return Finding("FTC403", "the model's config.json gives no context length or vocabulary", span)
    return None
