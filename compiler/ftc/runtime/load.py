"""The base model and its tokenizer, checked against the plan's digests before they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftc.artifact.files import sha256
from ftc.plan.steps import ModelStep, QuantiseStep
from ftc.runtime.failure import BuildError
from ftc.runtime.quantise import bitsandbytes_config
from ftc.runtime.ready import Ready
from ftc.runtime.vocabulary import grow

SCORING = ("scores", "classes")
"""Heads of scores in place of the vocabulary's: one score, or one for each class."""

NEW_HEADS = ("score", "classifier")
"""What transformers calls the layer of a head of scores, by the model's family."""


def _differs(path: Path, digest: str, size: int | None = None) -> bool:
    if not path.is_file():
        return True
    return (size is not None and path.stat().st_size != size) or sha256(path) != digest


def changed_files(step: ModelStep, directory: Path) -> tuple[str, ...]:
    """Names of the model's files which are not what the plan says.

    A GGUF file is pinned by its own digest, so of its conversion only the tokenizer is checked; and what
    another recipe made by the digest of that plan, and by the manifest of that run.
    """
    digests: list[tuple[str, str, int | None]] = [("tokenizer.json", step.tokenizer_sha256, None)]
    if step.kind not in ("gguf", "run"):
        digests.append(("config.json", step.config_sha256, None))
        digests.extend((file.name, file.sha256, file.bytes) for file in (*step.weights, *step.code))
    return tuple(name for name, digest, size in digests if _differs(directory / name, digest, size))


def verify(step: ModelStep, directory: Path) -> None:
    """Raise BuildError unless the model directory is the one the plan was made for."""
    changed = changed_files(step, directory)
    if changed:
        raise BuildError(
            "FTC706",
            f"the base model changed since the plan was made: {', '.join(changed)}",
            "run `ftc build` again: the plan is made anew from the files as they are now",
        )


def load_base(plan: Ready, directory: Path) -> Any:
    """The base model as the plan trains it, on the plan's device: in its precision, or in few bits."""
    device = plan.environment.device
    head, classes = plan.objective.head, plan.data.classes
    if head == "embedding":
        from ftc.runtime import embeddings

        return embeddings.load(plan.model, directory, device, plan.objective.options.get("pooling"))
    model = load_model(plan.model, directory, plan.tune.quantise, device, head, classes)
    if head in SCORING:  # scores are read at a row's last token that is no padding
        model.config.get_text_config().pad_token_id = plan.tokenizer.pad_id
    return model if plan.tune.quantise is not None else model.to(device)


def load_model(
    step: ModelStep,
    directory: Path,
    quantise: QuantiseStep | None = None,
    device: str = "cpu",
    head: str = "vocabulary",
    classes: Sequence[str] = (),
) -> Any:
    """The base model in the plan's precision, every weight from the files but those of a new head of scores.

    With `quantise` its linear layers are stored in few bits as they are read. Raises BuildError
    where a weight is missing: transformers would fill it with random numbers.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    scores = head in SCORING
    kind: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    more: dict[str, Any] = labels(classes) if scores else {}
    if quantise is not None:
        more |= {
            "quantization_config": bitsandbytes_config(quantise, step.dtype),
            "device_map": {"": device},
        }
    loaded: Any = kind.from_pretrained(
        str(directory),
        dtype=getattr(torch, step.dtype),
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        trust_remote_code=bool(step.code),
        **more,
    )
    model, report = loaded
    new = tuple(f"{name}.weight" for name in NEW_HEADS) if scores else ()
    missing = sorted(key for key in report["missing_keys"] if not key.endswith(new or ("\n",)))
    if missing or report["mismatched_keys"]:
        raise BuildError(
            "FTC405", f"the model's files lack weights: {', '.join(missing[:5]) or 'wrong shapes'}"
        )
    return grow(model, step)


def labels(classes: Sequence[str]) -> dict[str, Any]:
    """What a configuration says of a head: its classes by number and back; of one score there is no class."""
    if not classes:
        return {"num_labels": 1}
    names = dict(enumerate(classes))
    return {"num_labels": len(names), "id2label": names, "label2id": {name: i for i, name in names.items()}}


def load_tokenizer(directory: Path, *, trusted: bool = False) -> Any:
    """The tokenizer as transformers has it; it tokenises nothing here, it travels with the trainer.

    `trusted` says that Python code which comes with it may run.
    """
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(directory), local_files_only=True, trust_remote_code=trusted)
