"""The training step that the runtime runs for a plan, as a value the estimate reads.

Each part follows the runtime's own code and that of the libraries it calls: `runtime/load.py` (dtype,
attention), `runtime/adapt.py` (adapters), `runtime/collate.py` (padding, packing), `runtime/evaluate.py`
(held-out rows), TRL's SFTTrainer (loss, checkpointing) and transformers' Trainer (autocast, optimizer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ftc.estimate import trainer_options as options
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.kernels import Kernel, Kernels, Named
from ftc.estimate.objective import OWN, Config, Configs, largest_batch, loss_of, optimised, scoring
from ftc.estimate.rows import Rows
from ftc.estimate.step import Code, Dtype, Evaluation, Quantisation, TrainingStep, Tuning
from ftc.estimate.suites import needs, on_held_out, own_parts
from ftc.plan.steps import EvalStep, Plan, UnfrozenStep
from ftc.tuning.modules import SCORE

NO_OTHERS: Configs = MappingProxyType({})
EVALUATED = 2**28
"""Numbers in the logits of one batch of held-out rows at most (`runtime/heldout.py`, LOGITS)."""

LABEL_ROWS = 256
"""Rows at a time when prompts are tried with many labels (`runtime/score.py`)."""

DROPOUTS = (
    "attention_dropout",
    "attn_pdrop",
    "dropout",
    "embd_pdrop",
    "hidden_dropout",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "resid_pdrop",
)
"""Chances of dropout in a config.json, which are nothing where a trainer turns dropout off."""

OTHERS = (
    "BOFTConfig",
    "LNTuningConfig",
    "LoHaConfig",
    "LoKrConfig",
    "OFTConfig",
    "PrefixTuningConfig",
    "PromptEncoderConfig",
    "PromptTuningConfig",
    "VeraConfig",
)
"""PEFT's configurations of adapters that are none of LoRA or IA3."""

PEFT_OPTIONS = (
    "type",
    "task_type",
    "init_lora_weights",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "bias",
    "use_dora",
    "use_rslora",
)
"""Options of LoraConfig that this module heeds, or that take no memory."""


def training_step(
    plan: Plan,
    config: Config,
    *,
    device: Named | None = None,
    rows: Rows | None = None,
    held_out: Rows | None = None,
    others: Configs = NO_OTHERS,
) -> TrainingStep:
    """The step of a plan whose model, tuning and training are resolved; `config` is the model's config.json.

    `device` is what it runs on, for the kernels that are chosen by it. `others` are the
    config.json of a teacher and of reward models, by their digests. `rows` and `held_out` stand for the
    compiled rows where there are none yet. Its batch is the largest there can be: as many rows as a
    micro-batch has, each as long as the longest. Raises InexpressibleError where the estimate has no account
    of what the plan runs.
    """
    if plan.model is None or plan.tune is None or plan.train is None or plan.environment is None:
        raise ValueError("the plan's model, tuning, training and machine are not all resolved")
    if plan.environment.device == "mps":
        raise InexpressibleError("kernels and allocator of Apple's GPUs are not modelled")
    arguments, cuda = plan.train.arguments, plan.environment.device == "cuda"
    if rows is None:
        rows = Rows.to_train(plan)
        held_out = Rows.held_out(plan)
    objective = optimised(plan, rows, others)
    options.refuse(arguments, OWN.get(objective.kind, frozenset()))
    tuning, config = _without_dropout(_tuning(plan), config, arguments)
    if objective.scores:
        tuning = scoring(tuning)
    code = _code(plan, arguments)
    batch = largest_batch(plan, rows, objective, scores_all=not cuda)
    masked = batch.padded or bool(batch.packed)
    weights: Dtype = plan.model.dtype
    casts = _autocast(arguments)
    again = options.checkpointing(arguments)
    encodes = objective.texts is not None
    if encodes and (again != "none" or tuning.method != "full"):
        raise InexpressibleError("an encoder is modelled in full fine-tuning without checkpointing")
    kernels = Kernels(config, device, cuda=cuda, encodes=encodes)
    full = not tuning.adapts
    return TrainingStep(
        config=dict(config),
        tuning=tuning,
        batch=batch,
        weights=weights,
        quantisation=_quantisation(plan),
        autocast=casts,
        optimizer=options.optimizer(arguments, weights if full else tuning.dtype, cuda=cuda, full=full),
        attention=kernels.training(weights, casts, masked=masked),
        loss=loss_of(plan, objective, code),
        checkpointing=again,
        objective=objective,
        evaluation=_largest_evaluation(
            plan, held_out, lambda masked: kernels.held_out(weights, masked=masked)
        ),
        code=code,
        backend="cuda" if cuda else "cpu",
        device=device.name if device else None,
    )


def _without_dropout(
    tuning: Tuning, config: Config, arguments: Mapping[str, object]
) -> tuple[Tuning, Config]:
    """Tuning and config as the trainer leaves them, where it turns dropout off."""
    if not arguments.get("disable_dropout"):
        return tuning, config
    peft = {**tuning.peft, **{name: 0.0 for name in tuning.peft if name == "vera_dropout"}}
    tuning = tuning.model_copy(update={"dropout": 0.0, "peft": peft})
    return tuning, {**config, **{name: 0.0 for name in DROPOUTS if name in config}}


def _autocast(arguments: Mapping[str, object]) -> Dtype | None:
    if arguments.get("bf16"):
        return "bfloat16"
    return "float16" if arguments.get("fp16") else None


def _tuning(plan: Plan) -> Tuning:
    """Which weights train, and their dtype: PEFT makes adapters of half-precision models in float32."""
    assert plan.tune is not None  # noqa: S101 - the caller has looked
    assert plan.model is not None  # noqa: S101
    if plan.tune.unfrozen is not None:
        return _frozen(plan.tune.unfrozen)
    if plan.tune.peft is None:
        if plan.tune.method != "full":
            raise InexpressibleError(f"the method {plan.tune.method} is not modelled")
        return Tuning(method="full")
    peft = dict(plan.tune.peft)
    if peft.get("type") == "IA3Config" and peft.get("target_modules"):
        return Tuning(
            method="lora",
            adapter="ia3",
            targets=_names(peft["target_modules"]),
            feedforward=_names(peft.get("feedforward_modules")),
        )
    if peft.get("type") in OTHERS:
        return Tuning(method="peft", peft=_without_words(peft))
    if peft.get("type") != "LoraConfig" or peft.get("bias", "none") != "none":
        raise InexpressibleError(f"adapters of PEFT's {peft.get('type')} are not modelled")
    if plan.tune.converted or peft.get("init_lora_weights") == "mica":
        raise InexpressibleError("adapters that begin with the base's own weights are not modelled")
    if peft.get("modules_to_save") == [SCORE]:
        del peft["modules_to_save"]
    unknown = sorted(name for name in peft if name not in PEFT_OPTIONS and peft[name] not in (None, False))
    if unknown:
        raise InexpressibleError(f"LoRA with {', '.join(unknown)} is not modelled")
    targets: Any = peft["target_modules"]
    return Tuning(
        method="lora",
        rank=_whole(peft["r"]),
        dropout=float(str(peft.get("lora_dropout") or 0.0)),
        targets="all-linear" if targets == "all-linear" else tuple(targets),
        dora=bool(peft.get("use_dora")),
        dtype="bfloat16" if plan.tune.quantise else "float32",
    )


def _without_words(peft: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt that begins with words takes as much as one that begins at random."""
    found = {name: value for name, value in peft.items() if not name.startswith("prompt_tuning_init")}
    if len(found) == len(peft):
        return found
    found = {name: value for name, value in found.items() if not name.startswith("tokenizer_")}
    return {**found, "prompt_tuning_init": "RANDOM"}


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _frozen(how: UnfrozenStep) -> Tuning:
    """The last layers and the ends, which the estimate knows; no gradient goes below the first of them."""
    if how.first or how.norms or how.modules:
        raise InexpressibleError("training the first layers, the norms or modules by name is not modelled")
    return Tuning(method="freeze", layers=how.last, embedding=how.embeddings, head=how.head)


def _quantisation(plan: Plan) -> Quantisation | None:
    """The base in few bits, its other weights as they were loaded (TRL casts the adapters to bfloat16)."""
    assert plan.tune is not None  # noqa: S101 - the caller has looked
    assert plan.model is not None  # noqa: S101
    how = plan.tune.quantise
    if how is None:
        return None
    return Quantisation(kind=how.kind, double=how.double, compute=plan.model.dtype, upcast=False)


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise InexpressibleError(f"a LoRA rank of {value!r}")
    return value


def _code(plan: Plan, arguments: Mapping[str, object]) -> Code:
    assert plan.environment is not None  # noqa: S101 - the caller has looked
    return Code(fused=options.fused(arguments), versions=dict(plan.environment.packages))


def _largest_evaluation(
    plan: Plan, held_out: Rows | None, kernel: Callable[[bool], Kernel]
) -> Evaluation | None:
    """Of all suites the one whose batches hold most numbers: logits of the loss, or prompts and answers."""
    parts = [(suite, held_out) for suite in on_held_out(plan) if held_out]
    parts += [
        (suite, Rows(part.rows, part.longest, part.shortest))
        for suite, part in own_parts(plan, trained=False)
    ]
    found = [_evaluation(plan, suite, rows, kernel) for suite, rows in parts if rows is not None]
    return max(found, key=_numbers, default=None)


def _numbers(how: Evaluation) -> int:
    return how.rows * ((how.positions or 0) + how.length + (how.generated or 0))


def _evaluation(plan: Plan, suite: EvalStep, rows: Rows, kernel: Callable[[bool], Kernel]) -> Evaluation:
    """The largest batch of a suite's rows: its `batch`, or fewer where their logits would be too many."""
    assert plan.model is not None  # noqa: S101 - the caller has looked
    watched = plan.train is not None and plan.train.watch is not None
    at_once, need = min(suite.batch, rows.count), needs(suite)
    length, most = rows.longest, EVALUATED // plan.model.vocabulary
    if at_once * length > most:  # shorter rows fill what the longest leave of the bound
        at_once = max(1, most // length)
        length = max(length, min(most // at_once, rows.longest * 2))
    positions = max(1, min(length - 1, at_once * rows.trained if rows.trained else length))
    padded = at_once > 1 and rows.shortest < rows.longest
    scores = plan.objective is not None and plan.objective.head == "classes"
    tries = min(len(suite.labels), max(1, LABEL_ROWS // at_once))
    return Evaluation(
        rows=at_once,
        length=length,
        positions=positions if scores or watched or need & {"loss", "pairs"} else 0,
        padded=padded,
        attention=kernel(padded),
        generated=suite.max_new_tokens if "answers" in need else None,
        labels=tries if "labels" in need and not scores else None,
        label=max(1, (rows.trained or 1) - 1),
        watched=watched,
    )


__all__ = ["Config", "Configs", "Named", "Rows", "training_step"]
