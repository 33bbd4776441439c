"""The options of transformers' Trainer, which LLaMA-Factory and TRL take by the same names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ftc.importing.draft import Draft, as_number, plain
from ftc.importing.rules import Rule, fine, flag, group, lost, number, passed, positive, when, words
from ftc.tuning.optimizers import OPTIMIZERS

OPTIMIZER_NAMES: dict[str, str] = {one.optim: name for name, one in OPTIMIZERS.items()} | {
    "adamw_hf": "adamw",
    "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw",
    "lion": "lion",
    "optimi_adamw": "stable_adamw",
    "rmsprop_bnb": "rmsprop",
}
"""Names that transformers has for an optimizer, with ftc's; other names of the same one included."""

SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "cosine_with_restarts": "cosine_with_restarts",
    "polynomial": "polynomial",
    "inverse_sqrt": "inverse_sqrt",
    "cosine_with_min_lr": "cosine",
    "warmup_stable_decay": "warmup_stable_decay",
}
TRACKERS = ("trackio", "wandb", "mlflow", "tensorboard")
ONE_DEVICE = "ftc trains in one process on one device"
LOGGED = "ftc records every step in metrics.jsonl"
SAVES = "a run keeps what it needs to resume, and its model at the end"
HUB = "ftc publishes nothing while it trains"
PUBLISH = "ftc export RUN --to hub"


@dataclass(frozen=True)
class Defaults:
    """What a peer takes for keys that are left out, where ftc takes something else."""

    learning_rate: float = 5e-5
    epochs: float = 3
    micro_batch: int = 8
    schedule: str = "linear"
    optimizer: str = "adamw_torch_fused"
    checkpointing: bool = False
    seed: int = 42


def length(draft: Draft, defaults: Defaults) -> None:
    """How long training takes: steps go before epochs."""
    steps = as_number(draft.get("max_steps"))
    if steps is not None and steps > 0:
        draft.carry("max_steps", "train.steps", plain(steps))
        draft.fine("num_train_epochs", "max_steps goes before it")
        return
    draft.fine("max_steps", "0 or less means that epochs decide")
    epochs = draft.number("num_train_epochs")
    if epochs is not None:
        draft.carry("num_train_epochs", "train.epochs", plain(epochs))
    else:
        draft.state("train.epochs", defaults.epochs)


def batch(draft: Draft, defaults: Defaults, micro_key: str = "per_device_train_batch_size") -> None:
    """Rows of a step: those of a micro-batch times the steps that gradients accumulate over."""
    micro = draft.whole(micro_key) or defaults.micro_batch
    accumulated = draft.whole("gradient_accumulation_steps") or 1
    keys = (micro_key, "gradient_accumulation_steps")
    why = f"{micro} × {accumulated}, of one device"
    if not any(key in draft.table() for key in keys):
        draft.state("train.batch", micro, f"{draft.peer}'s default, of one device")
        return
    draft.carry(keys, "train.batch", micro * accumulated, why)
    if accumulated > 1 and micro > 0:
        draft.carry(micro_key, "train.micro_batch", micro)


def rate(draft: Draft, defaults: Defaults) -> None:
    """The peak learning rate."""
    value = draft.number("learning_rate")
    if value is not None:
        draft.carry("learning_rate", "train.learning_rate", value)
    else:
        draft.state("train.learning_rate", defaults.learning_rate)


def schedule(draft: Draft, defaults: Defaults, key: str = "lr_scheduler_type") -> None:
    """The shape of the learning rate, with the options that it has in ftc."""
    stated = draft.text(key)
    name = stated or defaults.schedule
    if name not in SCHEDULES:
        draft.lose(key, f"ftc has no schedule {name}", "train.schedule, with one of its names")
        draft.lose("lr_scheduler_kwargs", f"they are options of {name}")
        return
    ours = SCHEDULES[name]
    options = _schedule_options(draft, ours)
    if not options and stated is None and ours == "linear":
        return
    value = {"name": ours, **options} if options else ours
    keys = [key, "lr_scheduler_kwargs"] if options else [key]
    if stated is None and not options:
        draft.state("train.schedule", value)
    else:
        draft.carry(keys, "train.schedule", value)


def _schedule_options(draft: Draft, ours: str) -> dict[str, float]:
    """The recipe's options of a schedule from `lr_scheduler_kwargs`; others of them are judged."""
    given = draft.get("lr_scheduler_kwargs")
    if given is None:
        draft.fine("lr_scheduler_kwargs", "empty, which is the default")
        return {}
    known = {"min_lr_rate": "floor", "min_lr_ratio": "floor", "power": "power", "timescale": "timescale"}
    found: dict[str, float] = {}
    for name, value in given.items() if isinstance(given, dict) else ():
        held = as_number(value)
        if name == "num_cycles" and ours == "cosine_with_restarts" and held:
            found["restarts"] = plain(held) - 1
        elif name == "num_decay_steps" and held is not None:
            found["decay"] = plain(held)
        elif name in known and held is not None:
            found[known[name]] = plain(held)
        else:
            draft.within("lr_scheduler_kwargs").lose(name, f"the schedule {ours} has no such option in ftc")
    if not isinstance(given, dict):
        draft.lose("lr_scheduler_kwargs", "it is no table", "train.schedule, as a table")
    return found


def warmup(draft: Draft) -> None:
    """Steps, or a part of them, over which the rate rises."""
    steps, part = draft.number("warmup_steps"), draft.number("warmup_ratio")
    if steps:
        draft.carry("warmup_steps", "train.warmup", plain(steps))
        draft.fine("warmup_ratio", "warmup_steps goes before it")
    elif part:
        draft.carry("warmup_ratio", "train.warmup", part)
    draft.fine(("warmup_steps", "warmup_ratio"), "0, as in ftc")


def optimizer(draft: Draft, defaults: Defaults, key: str = "optim") -> None:
    """What turns gradients into steps."""
    stated = draft.text(key)
    name = stated or defaults.optimizer
    if name in OPTIMIZER_NAMES:
        ours = OPTIMIZER_NAMES[name]
        draft.carry(key, "train.optimizer", ours) if stated else draft.state("train.optimizer", ours)
    else:
        draft.lose(key, f"ftc has no optimizer {name}", "train.optimizer (docs/tuning.md lists them)")


def clipping(draft: Draft) -> None:
    """The norm to which gradients are clipped; 0 means that they are not."""
    value = draft.number("max_grad_norm")
    if value is not None and value <= 0:
        draft.carry("max_grad_norm", "train.max_grad_norm", 1e9, "no clipping: this norm is never reached")
    elif value is not None:
        draft.carry("max_grad_norm", "train.max_grad_norm", value)


def precision(draft: Draft, bf16: bool | None) -> None:
    """The precision of the computation; `bf16` is the peer's default, None where it looks at the device."""
    half, brain = draft.get("fp16"), draft.get("bf16")
    if half in (True, "true"):
        draft.carry("fp16", "model.dtype", "float16")
        draft.fine("bf16", "fp16 is on")
    elif brain in (True, "true"):
        draft.carry("bf16", "model.dtype", "bfloat16")
    elif brain in (False, "false") or bf16 is False:
        draft.carry("bf16", "model.dtype", "float32", "neither bf16 nor fp16")
    draft.fine(("bf16", "fp16"), "off, and `model.dtype` says what is on")


def seed(draft: Draft, defaults: Defaults) -> None:
    """The seed of everything."""
    value = draft.whole("seed")
    if value is not None:
        draft.carry("seed", "seed", value)
    else:
        draft.state("seed", defaults.seed)
    draft.fine("data_seed", "one seed is for everything")


def checkpointing(draft: Draft, default: bool, key: str = "gradient_checkpointing") -> None:
    """Whether activations are made again in the backward pass."""
    value = draft.flag(key)
    if value is not None:
        draft.carry(key, "train.gradient_checkpointing", value)
    elif default:
        draft.state("train.gradient_checkpointing", value=True)


def watching(draft: Draft, holds_out: bool, unset: str = "no") -> None:
    """What is done with held-out rows while training; `unset` is the strategy where none is stated."""
    stated = next(
        (draft.get(key) for key in ("eval_strategy", "evaluation_strategy") if key in draft.table()), None
    )
    strategy = unset if stated is None else "no" if stated is False else stated
    keys = ("eval_strategy", "evaluation_strategy")
    if not holds_out:
        draft.fine((*keys, "eval_steps", "load_best_model_at_end"), "no rows are held out")
        return
    every = draft.whole("eval_steps") if "eval_steps" in draft.table() else None
    if strategy == "steps" and every is None:
        draft.lose("eval_steps", "it is no number of steps", "train.eval_every, in steps")
        draft.goes(keys, ("data.split",), "rows are held out, and measured before and after training")
    elif every is not None and strategy == "steps":
        draft.carry(("eval_steps", *keys), "train.eval_every", every)
    elif strategy == "epoch":
        draft.lose(keys, "ftc counts in steps", "train.eval_every, in steps")
    draft.fine((*keys, "eval_steps"), "held-out rows are measured before and after training in any case")
    if draft.flag("load_best_model_at_end"):
        draft.carry("load_best_model_at_end", "train.keep", "best")
    draft.fine("load_best_model_at_end", "off, and so it is in ftc")


def trackers(draft: Draft) -> None:
    """Where steps are reported to."""
    stated = draft.texts("report_to")
    if stated is None or stated == ["none"]:
        draft.fine("report_to", "nothing but the run's own record, as in ftc")
        return
    ours = [name for name in stated if name in TRACKERS]
    if ours:
        odd = [name for name in stated if name not in TRACKERS]
        draft.carry("report_to", "train.trackers", ours, f"without {', '.join(odd)}" if odd else "")
    else:
        draft.lose("report_to", "ftc reports to none of them", f"train.trackers: {', '.join(TRACKERS)}")


def name(draft: Draft, keys: tuple[str, ...] = ("output_dir",)) -> None:
    """The name of the runs, from the last part of the output's directory."""
    stated = next((key for key in keys if isinstance(draft.get(key), str) and draft.get(key)), None)
    plain_name = ""
    if stated:
        last = str(draft.get(stated)).replace("\\", "/").rstrip("/").rpartition("/")[2]
        plain_name = re.sub(r"[^A-Za-z0-9._-]+", "-", last).lstrip("._-")
    if stated and plain_name:
        draft.carry(stated, "name", plain_name)
    draft.fine(keys, "runs stand in runs/NAME/DIGEST")


def best(draft: Draft, key: str) -> None:
    """By what the best weights are told."""
    value = draft.get(key)
    if value in (None, "loss", "eval_loss", "false", False):
        draft.fine(key, "the held-out loss, as in ftc")
    else:
        draft.lose(key, "ftc goes by the held-out loss", "gates on metrics: [eval] gates")


def eval_batch(draft: Draft, key: str) -> None:
    """Held-out rows at a time."""
    value = draft.whole(key)
    if value is None:
        return
    if any(where[:2] == ("data", "split") for where in draft.settings):
        draft.carry(key, "eval.batch", value)
    else:
        draft.fine(key, "no rows are held out")


def every(draft: Draft, key: str) -> None:
    """Steps between checkpoints."""
    value = draft.number(key)
    if value is not None and value >= 1:
        draft.carry(key, "train.save_every", plain(value))
    elif value is not None:
        draft.lose(key, "a part of the steps", "train.save_every, in steps")


RULES: dict[str, Rule] = {
    "weight_decay": number("train.weight_decay"),
    "label_smoothing_factor": number("train.label_smoothing"),
    "neftune_noise_alpha": positive("train.neftune"),
    "torch_compile": flag("train.compile"),
    "use_liger_kernel": flag("train.kernels", yes="liger", no="none"),
    "full_determinism": flag("train.deterministic"),
    "per_device_eval_batch_size": eval_batch,
    "metric_for_best_model": best,
    "greater_is_better": best,
    "adam_beta1": passed(0.9),
    "adam_beta2": passed(0.999),
    "adam_epsilon": passed(1e-8),
    **group(
        fine(LOGGED),
        """
        logging_strategy logging_steps logging_first_step logging_dir log_level log_level_replica
        log_on_each_node logging_nan_inf_filter disable_tqdm plot_loss include_num_input_tokens_seen
        include_tokens_per_second skip_memory_metrics
        """,
    ),
    **group(
        fine(SAVES),
        """
        save_strategy save_total_limit save_only_model save_on_each_node save_safetensors
        overwrite_output_dir resume_from_checkpoint enable_jit_checkpoint
        restore_callback_states_from_checkpoint
        """,
    ),
    **group(
        fine("ftc build trains, and measures before and after"),
        """
        do_train do_eval do_predict
        """,
    ),
    **group(
        fine("ftc reads compiled rows from disk"),
        """
        dataloader_pin_memory dataloader_num_workers dataloader_persistent_workers dataloader_in_order
        dataloader_prefetch_factor remove_unused_columns label_names length_column_name
        """,
    ),
    **group(
        fine(ONE_DEVICE),
        """
        ddp_timeout ddp_backend ddp_find_unused_parameters ddp_bucket_cap_mb local_rank
        ddp_broadcast_buffers ddp_static_graph
        """,
    ),
    **group(
        fine("a tracker's project and run have the recipe's name"),
        """
        run_name project
        """,
    ),
    **group(
        lost(HUB, PUBLISH),
        """
        push_to_hub hub_model_id hub_strategy hub_private_repo hub_always_push hub_revision
        """,
    ),
    "hub_token": fine("a recipe holds no secret; the environment does"),
    **group(
        lost(f"{ONE_DEVICE}; no sharding yet"),
        """
        deepspeed fsdp fsdp_config parallelism_config accelerator_config
        """,
    ),
    "use_cpu": when("train.device", "cpu"),
    "no_cuda": when("train.device", "cpu"),
    "auto_find_batch_size": when("train.micro_batch", "auto"),
    "save_steps": every,
    "group_by_length": lost(
        "rows are trained in an order by the seed", "data.packing = true wastes no padding"
    ),
    "train_sampling_strategy": lost("rows are trained in an order by the seed", off=("random", None)),
    "ignore_data_skip": lost("a resumed run goes on with the rows that come next"),
    "gradient_checkpointing_kwargs": fine("ftc takes the form that keeps the fewest activations"),
}


TOGETHER = words(
    """
    max_steps num_train_epochs per_device_train_batch_size gradient_accumulation_steps learning_rate
    lr_scheduler_type lr_scheduler_kwargs warmup_steps warmup_ratio optim max_grad_norm fp16 bf16 seed
    data_seed gradient_checkpointing eval_strategy evaluation_strategy eval_steps load_best_model_at_end
    report_to output_dir
    """
)
"""Keys that the functions above look at."""


def training(draft: Draft, defaults: Defaults) -> None:
    """Everything that the trainer is told in the same way by all."""
    length(draft, defaults)
    batch(draft, defaults)
    rate(draft, defaults)
    schedule(draft, defaults)
    warmup(draft)
    optimizer(draft, defaults)
    clipping(draft)
    seed(draft, defaults)
    checkpointing(draft, defaults.checkpointing)
    trackers(draft)
    name(draft)
