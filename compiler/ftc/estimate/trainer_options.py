"""What the trainer's options mean for memory: which are heeded, which take none, and all others refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.step import Dtype, Optimizer

Arguments = Mapping[str, Any]
Kernels = frozenset[Literal["rmsnorm", "rope", "swiglu", "lora"]]

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw_torch": {},
    "adamw_torch_fused": {"form": "fused"},
    "adamw_8bit": {"form": "bitsandbytes", "bits": 8},
    "adamw_bnb_8bit": {"form": "bitsandbytes", "bits": 8},
    "lion_32bit": {"name": "lion", "form": "bitsandbytes"},
    "lion_8bit": {"name": "lion", "form": "bitsandbytes", "bits": 8},
    "paged_adamw_32bit": {"form": "bitsandbytes", "paged": True},
    "paged_adamw_8bit": {"form": "bitsandbytes", "bits": 8, "paged": True},
    "paged_lion_32bit": {"name": "lion", "form": "bitsandbytes", "paged": True},
    "paged_lion_8bit": {"name": "lion", "form": "bitsandbytes", "bits": 8, "paged": True},
    "sgd": {"name": "sgd"},
}
"""transformers' names of optimizers (`OptimizerNames`) that the estimate has an account of."""

HEEDED = frozenset(
    {
        "activation_checkpointing",
        "activation_checkpointing_kwargs",
        "bf16",
        "fp16",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "max_grad_norm",
        "optim",
        "optim_target_modules",
        "per_device_train_batch_size",
        "use_liger_kernel",
    }
)
"""Options that this module or the lowering reads."""

NEUTRAL = (
    "adam_",
    "average_tokens_across_devices",
    "data_seed",
    "dataloader_",
    "dataset_kwargs",
    "ddp_",
    "debug",
    "disable_tqdm",
    "enable_jit_checkpoint",
    "eval_",
    "full_determinism",
    "hub_",
    "include_num_input_tokens_seen",
    "label_names",
    "learning_rate",
    "length_column_name",
    "log_",
    "logging_",
    "lr_scheduler_",
    "max_length",
    "max_steps",
    "num_train_epochs",
    "project",
    "remove_unused_columns",
    "report_to",
    "restore_callback_states_from_checkpoint",
    "run_name",
    "save_",
    "seed",
    "shuffle_dataset",
    "skip_memory_metrics",
    "tf32",
    "torch_empty_cache_steps",
    "trackio_",
    "train_sampling_strategy",
    "trust_remote_code",
    "use_cache",
    "warmup_",
    "weight_decay",
)
"""Beginnings of the names of options that take no memory on the device."""

REASONS = {
    "activation_offloading": "how much is in flight to the host is a matter of timing",
    "label_smoothing_factor": "it makes all logits, in a second forward pass",
    "neftune_noise_alpha": "its noise on the embeddings is not modelled",
    "torch_compile": "a compiler fuses operations and plans memory anew",
    "optim_args": "what they change of the optimizer is not modelled",
}


OWN_KEYS = {
    "label_smoothing_factor": "train.label_smoothing",
    "neftune_noise_alpha": "train.neftune",
    "torch_compile": "train.compile",
}
"""Keys of a recipe that become options of the trainer."""


def refuse(arguments: Arguments, own: frozenset[str] = frozenset()) -> None:
    """Raise InexpressibleError for an option that is set and whose memory the estimate has no account of.

    `own` are those of the objective's trainer that are known.
    """
    for name, value in arguments.items():
        if value in (None, False, 0, {}, [], "") or name in HEEDED | own or name.startswith(NEUTRAL):
            continue
        if name == "loss_type" and value in ("nll", "dft"):
            continue
        reason = REASONS.get(name, "what it takes is not modelled")
        raise InexpressibleError(f"{OWN_KEYS.get(name, f'train.trl.{name}')} is set, and {reason}")


def optimizer(arguments: Arguments, trained: Dtype, *, cuda: bool, full: bool) -> Optimizer:
    """The optimizer over weights of the dtype `trained`, in which PyTorch's keep their states too.

    PyTorch's AdamW walks through all weights at once on CUDA, and one by one elsewhere.
    """
    name = str(arguments.get("optim", "adamw_torch"))
    if name not in OPTIMIZERS:
        raise InexpressibleError(f"the optimizer {name} is not modelled")
    how = OPTIMIZERS[name]
    return Optimizer.model_validate(
        {
            "form": "foreach" if cuda else "loop",
            "state": trained,
            "clip": bool(arguments.get("max_grad_norm")),
            "wide_embedding": full and how.get("bits") == 8,
            **how,
        }
    )


def checkpointing(arguments: Arguments) -> Literal["none", "reentrant", "non-reentrant"]:
    """Whether and how activations are made anew; without reentry unless asked for (TRL, transformers 5)."""
    if not (arguments.get("gradient_checkpointing") or arguments.get("activation_checkpointing")):
        return "none"
    named = ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs")
    how: dict[str, Any] = {}
    for name in named:
        how |= arguments.get(name) or {}
    reentrant = bool(how.pop("use_reentrant", False))
    how = {name: value for name, value in how.items() if value not in (None, False)}
    how.pop("preserve_rng_state", None)
    if how.pop("every_n_layers", 1) != 1 or how:
        raise InexpressibleError("checkpointing of some layers, or of some operations, is not modelled")
    return "reentrant" if reentrant else "non-reentrant"


def fused(arguments: Arguments) -> Kernels:
    """Operations of a layer that Liger's kernels replace; TRL keeps its own head in place of Liger's."""
    if not arguments.get("use_liger_kernel"):
        return frozenset()
    if arguments.get("liger_kernel_config"):
        raise InexpressibleError(
            "which of Liger's kernels train.trl.liger_kernel_config leaves is not modelled"
        )
    return frozenset({"rmsnorm", "rope", "swiglu"})
