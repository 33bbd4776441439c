"""A training step, fully resolved: everything that decides how much memory it takes, and nothing else.

The closed form and the abstract run read the same value, so what one predicts the other can check.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, Strict, model_validator

from ftc.recipe.base import Frozen

Dtype = Literal["float32", "bfloat16", "float16"]
Count = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], Strict(strict=False)]
Counts = Annotated[tuple[Count, ...], Strict(strict=False)]

BYTES: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
"""Bytes per element by dtype."""

PROMPTS = ("PromptTuningConfig", "PromptEncoderConfig")
"""PEFT's configurations of tokens that are put before a row's own."""

SCORED = 8
"""Answers that a reward model reads at a time (`runtime/rewards.py`)."""


class Quantisation(Frozen):
    """How the frozen linear layers' weights are stored: bitsandbytes' NF4/FP4 in blocks, or LLM.int8().

    `double` quantises the blocks' scales in turn; `head` says whether the output head is quantised too
    (transformers leaves it alone). `upcast` is what `prepare_model_for_kbit_training` does: every weight
    that is not quantised becomes float32; with `upcast_ends` false only the norms do (TRL, with bf16, casts
    embeddings and head back). Releases of bitsandbytes before 0.43.2 keep each layer's input for backward;
    those before 0.43 quantise from float16 and cast dequantised weights from there.
    """

    kind: Literal["nf4", "fp4", "int8"]
    double: bool = False
    block: Count = 64
    compute: Dtype = "bfloat16"
    head: bool = False
    upcast: bool = True
    upcast_ends: bool = True
    keeps_input: bool = False
    through_half: bool = False


class Tuning(Frozen):
    """Which weights train.

    `targets` are the ends of module names, as the model's code has them, or `all-linear`. `modules_to_save`
    are trained whole beside the adapters. `lora` stands for adapters of any kind in the linear layers: those
    of LoRA, also with DoRA's magnitudes, or IA3's scales, of the inputs of `feedforward` layers and of the
    outputs of others. `peft` are adapters of any other kind, by the arguments of PEFT's configuration with
    its `type`. `freeze` trains the last `layers` decoder layers, and the embedding or the head where asked.
    """

    method: Literal["full", "freeze", "lora", "peft"]
    rank: Count | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Literal["all-linear"] | Names | None = None
    dtype: Dtype = "float32"
    adapter: Literal["lora", "ia3"] = "lora"
    dora: bool = False
    feedforward: Names = ()
    modules_to_save: Names = ()
    layers: Annotated[int, Field(ge=0)] = 0
    embedding: bool = False
    head: bool = False
    peft: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        ranked = self.rank is not None or self.adapter == "ia3"
        if self.method == "lora" and not (ranked and self.targets):
            raise ValueError("lora needs a rank and targets")
        if (self.method == "peft") != ("type" in self.peft):
            raise ValueError("the arguments of PEFT's configuration are those of the method peft")
        return self

    @property
    def adapts(self) -> bool:
        """Whether the base stays as it is, under adapters."""
        return self.method in ("lora", "peft")

    @property
    def virtual(self) -> int:
        """Tokens that are put before each row's own, which go through the whole model."""
        tokens = self.peft.get("num_virtual_tokens")
        return tokens if isinstance(tokens, int) and self.peft["type"] in PROMPTS else 0


class Optimizer(Frozen):
    """The optimizer, the dtype of its states, and how it walks through the weights.

    `foreach` makes temporaries of all weights at once, `fused` none, `loop` those of one weight. States of
    `bits` 8 are blockwise quantised; `paged` ones of large weights lie in unified memory, outside
    PyTorch's allocator. `in_backward` steps each weight as its gradient is made, and frees it.
    """

    name: Literal["adamw", "sgd", "adafactor", "lion"] = "adamw"
    form: Literal["foreach", "fused", "loop", "bitsandbytes"] = "foreach"
    state: Dtype = "float32"
    bits: Literal[8, 32] = 32
    paged: bool = False
    in_backward: bool = False
    momentum: bool = False
    clip: bool = True
    wide_embedding: bool = False


class Batch(Frozen):
    """One micro-batch: `rows` of `length` tokens, or padding-free one row holding rows of `packed` lengths.

    `padded` says whether an attention mask of padding reaches the model; `trained` is the number of tokens
    that carry loss, where fewer than all and the loss kernel heeds it. With `accumulated` the gradients of an
    earlier micro-batch are there already.
    """

    rows: Count
    length: Count
    packed: Counts = ()
    padded: bool = False
    trained: Count | None = None
    accumulated: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of the micro-batch, padding included."""
        return self.rows * self.length

    @property
    def longest(self) -> int:
        """Longest stretch that attends to itself, in tokens."""
        return max(self.packed, default=self.length)


class Loss(Frozen):
    """How logits become a loss.

    `logits` materialises them all: `upcast` makes a float32 copy, `early` before they leave the model (as
    transformers did before 4.45), `shift` says how targets are aligned: `slice` copies logits[:-1],
    `pad` pads the labels and copies nothing. `trl` is the head of the installed TRL, which makes logits in
    tiles, again in the backward pass. `fused` (Liger) makes logits in pieces and the gradient with them;
    `chunked` makes logits in `chunks`, or of `chunk_tokens` positions, and keeps them; `triton` is a
    fused cross entropy over materialised logits; `scores` are those of a head of few. `preference` is that of
    two answers over all their logits, where the chosen one may be `learned` by itself, `divergence` that of
    a student's and its teacher's, with a `mixture` of both between them. `in_batch`, `triplet` and
    `contrastive` compare embeddings.
    With `keep_logits` the outputs live through backward.
    """

    kernel: Literal[
        "logits",
        "trl",
        "chunked",
        "fused",
        "triton",
        "scores",
        "preference",
        "divergence",
        "in_batch",
        "triplet",
        "contrastive",
    ] = "logits"
    upcast: bool = True
    early: bool = False
    shift: Literal["slice", "pad"] = "pad"
    chunks: Count | None = None
    chunk_tokens: Count | None = None
    chunked_head: bool = False
    keep_logits: bool = False
    learned: bool = True
    mixture: bool = True


class Teacher(Frozen):
    """Another model that reads the same rows, to judge them: its config.json and its weights' dtype."""

    config: dict[str, JsonValue]
    weights: Dtype = "bfloat16"


class Objective(Frozen):
    """What is optimised.

    For `dpo`, `orpo`, `cpo` and `reward` a batch row is a pair, so twice the rows go through the model; the
    `reference` is a second model, the base under its adapters, or computed before. For `kto` `drift` is the
    length in tokens of the rows from which the model's drift is estimated, without gradient, by the model and
    by its reference.
    For `reward` and `classes` `scores` is the number of those that the head gives in place of the vocabulary.
    For `embedding` the model is an encoder, and `texts` are those that it reads for each row.
    For `gkd` the `teacher` gives the same rows its probabilities; `scorers` are the reward models that read
    sampled answers, `SCORED` at a time.
    For `grpo`, `rloo` and `gkd` `prompt` and `completion` are
    lengths in tokens, `generations` the sequences generated at once, by the model's own generate; they are
    drawn from the whole vocabulary, or from a `nucleus` of it, with scores that a temperature has changed or
    not (`cooled`), and `cached` says whether keys and values are.
    """

    kind: Literal[
        "sft", "dpo", "orpo", "cpo", "kto", "reward", "classes", "gkd", "grpo", "rloo", "embedding"
    ] = "sft"
    reference: Literal["none", "model", "adapter", "precomputed"] = "none"
    drift: Count | None = None
    scores: Count | None = None
    texts: Count | None = None
    teacher: Teacher | None = None
    scorers: Annotated[tuple[Teacher, ...], Strict(strict=False)] = ()
    prompt: Count | None = None
    completion: Count | None = None
    generations: Count | None = None
    nucleus: bool = False
    cooled: bool = False
    cached: bool = True

    @property
    def paired(self) -> bool:
        """Whether a row of a batch is two sequences."""
        return self.kind in ("dpo", "orpo", "cpo", "reward")

    @property
    def sampled(self) -> bool:
        """Whether whole batches are of answers that the model writes before it is trained on them."""
        return self.kind in ("grpo", "rloo")


class Sharding(Frozen):
    """The devices and what each holds of the model.

    `shards` is over how many devices a model is split. FSDP's mixed precision keeps the trained weights in
    `master` and gathers them in the compute dtype.
    """

    kind: Literal["none", "ddp", "fsdp1", "fsdp2", "zero1", "zero2", "zero3"] = "none"
    devices: Count = 1
    master: Dtype | None = None
    reshard: bool = True


class Evaluation(Frozen):
    """Evaluation between steps: its batch, and whether logits of the batch are kept beside the loss.

    With `positions` it is that of ftc's runtime, before training and after: logits of so many positions of
    each row. `generated` tokens are then made behind each prompt, and so many `labels` of `label` tokens
    beside their first tried at a time, each with a copy of the prompt's keys and values. The `prompt` is as
    long as the row unless it is said to be shorter. `attention` is the kernel where it is not
    that of training. What is `watched` is evaluated while training too, among the optimizer's states.
    """

    rows: Count
    length: Count
    keep_logits: bool = False
    positions: Annotated[int, Field(ge=0)] | None = None
    padded: bool = False
    attention: Literal["eager", "efficient", "flash"] | None = None
    generated: Count | None = None
    labels: Count | None = None
    label: Count = 1
    prompt: Count | None = None
    watched: bool = False


class Code(Frozen):
    """Whose modelling code runs, and which of its operations are replaced by fused kernels.

    With `keeps_cache` the model keeps keys and values of a training pass, as transformers' GPTBigCode did
    under checkpointing before 4.50. `versions` are those of the packages (torch, transformers, peft, …)
    where they are known.
    """

    library: Literal["transformers", "litgpt", "torchtune"] = "transformers"
    fused: Annotated[frozenset[Literal["rmsnorm", "rope", "swiglu", "lora"]], Strict(strict=False)] = (
        frozenset()
    )
    keeps_cache: bool = False
    versions: dict[str, str] = Field(default_factory=dict)

    def release(self, package: str) -> tuple[int, ...]:
        """The version of a package as numbers; later than any where it is not known."""
        numbers = [int(part) for part in self.versions.get(package, "").split(".") if part.isdecimal()]
        return tuple(numbers) or (1000,)


class TrainingStep(Frozen):
    """A fully resolved training step on one device of some kind.

    `config` is the model's config.json. `weights` is the dtype in which weights that are neither quantised
    nor adapters are kept, `autocast` that of torch.autocast around the forward pass, if any; what starts it
    (accelerate, Fabric) also converts the model's outputs to float32. `device` names
    an entry of the catalogue, or nothing where only allocated bytes are asked for. `backend` is whose kernels
    and allocator run.
    """

    config: dict[str, JsonValue]
    tuning: Tuning
    batch: Batch
    weights: Dtype = "bfloat16"
    autocast: Dtype | None = None
    quantisation: Quantisation | None = None
    optimizer: Optimizer = Optimizer()
    attention: Literal["eager", "math", "efficient", "flash", "flash_attention_2", "flex"] = "flash"
    loss: Loss = Loss()
    checkpointing: Literal["none", "reentrant", "non-reentrant"] = "none"
    objective: Objective = Objective()
    sharding: Sharding = Sharding()
    evaluation: Evaluation | None = None
    code: Code = Code()
    backend: Literal["cuda", "cpu"] = "cuda"
    device: str | None = None

    @property
    def sequences(self) -> int:
        """Sequences of a micro-batch that go through the model: two of a pair, or a row's texts."""
        return self.batch.rows * (self.objective.texts or (2 if self.objective.paired else 1))
