"""The model of a training step, made as the runtime makes it, on the meta device or a real one."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import JsonValue

from ftc.estimate.abstract import encoder
from ftc.estimate.abstract.attention import PLAIN, implementation
from ftc.estimate.abstract.quantise import fill, replace, upcast
from ftc.estimate.abstract.tracker import Tracker
from ftc.estimate.architecture import FAMILIES, InexpressibleError
from ftc.estimate.play import scoring
from ftc.estimate.step import TrainingStep, Tuning
from ftc.plan.steps import TuneStep, UnfrozenStep
from ftc.runtime.adapt import adapt
from ftc.tuning.modules import SCORE

ADAPTERS = (
    ".lora_",
    ".ia3_l.",
    ".modules_to_save.",
    ".hada_",
    ".lokr_",
    ".vera_",
    ".oft_",
    ".boft_",
    ".ln_tuning_layers.",
    "prompt_encoder.",
)
"""Parts of the names that PEFT gives its adapters' tensors."""


def dtype(name: str) -> torch.dtype:
    """PyTorch's dtype of that name."""
    found: torch.dtype = getattr(torch, name)
    return found


def skeleton(step: TrainingStep, *, device: str, backend: str, attention: str | None = None) -> Any:
    """The step's base model, random or without values; quantised layers are yet to be filled.

    `attention` is transformers' name of an implementation, in place of the step's kernel on the backend.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

    settings: dict[str, Any] = {
        key: value for key, value in step.config.items() if key != "quantization_config"
    }
    kind: Any = AutoModel if step.objective.texts else AutoModelForCausalLM
    if step.objective.scores:
        kind = AutoModelForSequenceClassification
        settings = {"pad_token_id": 0, **settings, "num_labels": step.objective.scores}
    config = AutoConfig.for_model(**settings)
    attention = _own_attention(kind, config) or attention or implementation(step, backend)
    with torch.device(device):
        model: Any = kind.from_config(config, dtype=dtype(step.weights), attn_implementation=attention)
    if step.quantisation is not None:
        replace(model, step.quantisation)
    return encoder.wrapped(model) if step.objective.texts else model


def _own_attention(kind: Any, config: Any) -> str | None:
    """What model code takes that leaves its attention to nobody: its own formula, or PyTorch's function.

    None where the step names the kernel: its model type is known, or its code takes any.
    """
    found = kind._model_mapping.get(type(config), None)  # noqa: SLF001
    found = found[0] if isinstance(found, tuple) else found
    if found is None:
        raise InexpressibleError(f"transformers has no such model of the type {config.model_type}")
    if config.model_type in FAMILIES:
        return None
    if not getattr(found, "_supports_sdpa", False):
        return "eager"
    return None if getattr(found, "_supports_attention_backend", False) else PLAIN


def models(step: TrainingStep) -> list[TrainingStep]:
    """The steps whose base models a step loads: its own, then a reference's or a teacher's."""
    teacher = step.objective.teacher
    if teacher is not None:
        return [step, step.model_copy(update={"config": teacher.config, "weights": teacher.weights})]
    return [step] * (1 + (step.objective.reference == "model"))


def scorers(step: TrainingStep) -> list[TrainingStep]:
    """The steps whose base models score sampled answers."""
    return [scoring(step, scorer) for scorer in step.objective.scorers]


def loaded(model: Any, step: TrainingStep) -> Any:
    """The model with its quantised layers filled, if there are any, and the rest cast as the step says."""
    if step.quantisation is None:
        return model
    fill(model, dtype(step.weights), model.get_input_embeddings().weight.device)
    return upcast(model, step.quantisation) if step.quantisation.upcast else model


def prepared(model: Any, step: TrainingStep) -> Any:
    """The loaded model ready to train: adapted and checkpointed as the step says."""
    with next(model.parameters()).device:
        model = tuned(model, step.tuning)
    model.train()
    if step.checkpointing != "none":
        model.gradient_checkpointing_enable({"use_reentrant": step.checkpointing == "reentrant"})
        if step.tuning.adapts:
            model.enable_input_require_grads()
    return model


def tuned(model: Any, tuning: Tuning) -> Any:
    """The model made trainable as the tuning says, by what makes it trainable in a run."""
    model = adapt(model, tune_step(tuning))
    if tuning.adapts:
        saved = {name for name, _ in model.named_parameters() if ".modules_to_save." in name}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name not in saved:
                parameter.data = parameter.data.to(dtype(tuning.dtype))
    return model


def tune_step(tuning: Tuning) -> TuneStep:
    """The tuning as the plan has it."""
    if tuning.method == "full":
        return TuneStep(method="full", peft=None)
    if tuning.method == "peft":
        return TuneStep(method="peft", peft=dict(tuning.peft))
    if tuning.method == "freeze":
        ends = UnfrozenStep(last=tuning.layers, embeddings=tuning.embedding, head=tuning.head)
        return TuneStep(method="freeze", peft=None, unfrozen=ends)
    if tuning.adapter == "ia3":
        scaled: dict[str, JsonValue] = {"type": "IA3Config", "task_type": "CAUSAL_LM"}
        scaled |= {"target_modules": list(tuning.targets or ())}
        return TuneStep(method="ia3", peft={**scaled, "feedforward_modules": list(tuning.feedforward)})
    targets: JsonValue = tuning.targets if isinstance(tuning.targets, str) else list(tuning.targets or ())
    return TuneStep(
        method=tuning.method,
        peft={
            "type": "LoraConfig",
            "task_type": "SEQ_CLS" if SCORE in tuning.modules_to_save else "CAUSAL_LM",
            "r": tuning.rank,
            "lora_alpha": tuning.rank,
            "lora_dropout": tuning.dropout,
            "target_modules": targets,
            "use_dora": tuning.dora,
            "modules_to_save": list(tuning.modules_to_save) or None,
        },
    )


def name_weights(model: Any, tracker: Tracker) -> None:
    """Say which of the tracked bytes are weights, and which adapters; empty layers have none."""
    for name, parameter in model.named_parameters():
        if getattr(parameter, "bnb_quantized", True):
            tracker.label(parameter, "adapters" if any(part in name for part in ADAPTERS) else "weights")
    for name, buffer in model.named_buffers():
        tracker.label(buffer, "adapters" if any(part in name for part in ADAPTERS) else "weights")
