"""Configurations of axolotl."""

from __future__ import annotations

from ftc.importing import axolotl_keys, axolotl_rows, places
from ftc.importing import huggingface as hf
from ftc.importing.draft import Draft, as_number, plain
from ftc.importing.peer import Peer
from ftc.importing.trl_objectives import prompts_of_batch

OBJECTIVES = {
    "dpo": "dpo",
    "ipo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "simpo": "simpo",
    "grpo": "grpo",
}
RATES = hf.Defaults(epochs=1, micro_batch=1, schedule="cosine")
TEMPLATES = {
    "alpaca": "alpaca",
    "chatml": "chatml",
    "gemma": "gemma",
    "gemma3": "gemma3",
    "llama3": "llama3",
    "mistral_v1": "mistral-v1",
    "mistral_v2v3": "mistral-v3",
    "mistral_v3_tekken": "mistral-v3-tekken",
    "mistral_v7_tekken": "mistral-v7",
    "phi_3": "phi3",
    "qwen_25": "qwen2.5",
    "qwen3": "qwen3",
    "deepseek_v3": "deepseek-v3",
}
"""axolotl's names of templates that ftc ships too."""


def objective(draft: Draft) -> None:
    """The objective with its options."""
    if draft.get("reward_model"):
        draft.objective = "reward"
        draft.carry("reward_model", "train.objective.name", "reward")
        _option(draft, "center_rewards_coefficient", "centre")
        return
    stated = draft.text("rl")
    if stated is None:
        return
    name = OBJECTIVES.get(stated)
    if name is None:
        draft.refuse("rl", f"ftc does not train `{stated}`", f"write one of {', '.join(OBJECTIVES)}")
        return
    draft.objective = name
    draft.carry("rl", "train.objective.name", name)
    if stated == "ipo":
        draft.carry("rl", "train.objective.loss", "ipo")
    _options(draft, name)


def _options(draft: Draft, name: str) -> None:
    beta = next((key for key in ("orpo_alpha",) if name == "orpo" and draft.has(key)), "rl_beta")
    _option(draft, "dpo_beta" if draft.has("dpo_beta") and beta == "rl_beta" else beta, "beta")
    if name == "simpo":
        _option(draft, "simpo_gamma", "margin", 0.5)
        _option(draft, "cpo_alpha", "sft", 1.0)
        if ("train", "objective", "beta") not in draft.settings:
            draft.put("train.objective.beta", 0.1)
    if name == "kto":
        _option(draft, "kto_desirable_weight", "desirable")
        _option(draft, "kto_undesirable_weight", "undesirable")
    if name == "dpo":
        _option(draft, "dpo_label_smoothing", "label_smoothing")
        _dpo_loss(draft)
    if name == "grpo":
        axolotl_keys.sampling(draft)


def _option(draft: Draft, key: str, option: str, default: float | None = None) -> None:
    value = draft.number(key)
    if value is not None:
        draft.carry(key, f"train.objective.{option}", plain(value))
    elif default is not None:
        draft.put(f"train.objective.{option}", default)


def _dpo_loss(draft: Draft) -> None:
    losses = draft.texts("dpo_loss_type")
    if losses and len(losses) == 1:
        draft.carry("dpo_loss_type", "train.objective.loss", losses[0])
        draft.fine("dpo_loss_weights", "there is one loss")
    elif losses:
        draft.lose(
            ("dpo_loss_type", "dpo_loss_weights"), "ftc trains one loss of the pair", "train.objective.loss"
        )


def model(draft: Draft) -> None:
    """The base model, its precision and its template."""
    stated = draft.text("base_model")
    if stated:
        draft.carry("base_model", "model.base", places.base(stated, draft.home))
    revision = draft.text("revision_of_model")
    if revision:
        draft.carry("revision_of_model", "model.revision", revision)
    for key, kind in (
        ("fp16", "float16"),
        ("float16", "float16"),
        ("bf16", "bfloat16"),
        ("bfloat16", "bfloat16"),
    ):
        if draft.get(key) is True and ("model", "dtype") not in draft.settings:
            draft.carry(key, "model.dtype", kind)
    if draft.get("float32") is True and ("model", "dtype") not in draft.settings:
        draft.carry("float32", "model.dtype", "float32")
    if draft.get("bf16") in (False, "false") and ("model", "dtype") not in draft.settings:
        draft.carry("bf16", "model.dtype", "float32", "neither bf16 nor fp16")
    draft.fine(
        ("fp16", "float16", "bf16", "bfloat16", "float32"),
        "`model.dtype` says what is on; unset, the device does",
    )
    _template(draft)


def _template(draft: Draft) -> None:
    jinja = draft.text("chat_template_jinja")
    if jinja and jinja.endswith((".jinja", ".j2", ".jinja2")) and "\n" not in jinja:
        draft.carry("chat_template_jinja", "model.chat_template", places.local(jinja, draft.home))
        draft.goes("chat_template", ("model.chat_template",))
    elif jinja:
        why = "the template stands in the file itself"
        draft.lose("chat_template_jinja", why, "model.chat_template = PATH of a file with this text")
    stated = draft.text("chat_template")
    if stated is None:
        return
    fallback = stated.startswith("tokenizer_default")
    if fallback:
        draft.fine("chat_template", "ftc takes the model's own template")
    elif stated in TEMPLATES:
        draft.carry("chat_template", "model.chat_template", TEMPLATES[stated])
    else:
        why = f"ftc ships no template {stated}, and takes the model's own"
        draft.lose("chat_template", why, "model.chat_template = PATH of a Jinja file")


def tune(draft: Draft) -> None:
    """Full fine-tuning, LoRA, or LoRA on a base in few bits."""
    adapter = draft.text("adapter")
    if adapter not in ("lora", "qlora"):
        if adapter:
            draft.refuse("adapter", f"ftc cannot import the adapter `{adapter}`", "write lora or qlora")
        else:
            draft.state("tune.method", "full", "axolotl trains every weight where there is no adapter")
        lora = [
            key for key in axolotl_keys.KNOWN if key.startswith(("lora_", "peft_", "load_in_", "loraplus_"))
        ]
        draft.fine(lora, "no adapter is trained" if not adapter else "the adapter is not carried over")
        return
    eight, four = draft.flag("load_in_8bit"), draft.flag("load_in_4bit")
    bits = adapter == "qlora" or bool(eight) or bool(four)
    draft.carry(["adapter", *(["load_in_4bit"] if four else [])], "tune.method", "qlora" if bits else "lora")
    if eight:
        draft.carry("load_in_8bit", "tune.quantise", "int8")
    draft.fine(("load_in_8bit", "load_in_4bit"), "off, as `tune.method` says")
    _rank(draft)
    _layers(draft)
    axolotl_keys.initial(draft)


def _rank(draft: Draft) -> None:
    """Axolotl hands the rank on to PEFT, whose own defaults are 8 for both."""
    rank, alpha = draft.whole("lora_r"), draft.number("lora_alpha")
    for key, to, value in (("lora_r", "tune.rank", rank), ("lora_alpha", "tune.alpha", alpha)):
        draft.state(to, 8, "PEFT's default") if value is None else draft.carry(key, to, plain(value))
    for key, to in (("peft_use_rslora", "tune.rslora"), ("peft_use_dora", "tune.dora")):
        on = draft.flag(key)
        if on is not None:
            draft.carry(key, to, on)


def _layers(draft: Draft) -> None:
    named = draft.texts("lora_target_modules")
    linear = draft.flag("lora_target_linear")
    whole = named in (["all-linear"], ["all_linear"])
    if linear or whole:
        keys = [*(["lora_target_linear"] if linear else []), *(["lora_target_modules"] if whole else [])]
        draft.carry(keys, "tune.targets", "all-linear")
        draft.goes("lora_target_modules", ("tune.targets",), "every linear layer has an adapter anyway")
    elif named:
        draft.carry("lora_target_modules", "tune.targets", named)
    draft.fine("lora_target_linear", "off: layers are named")
    saved = draft.texts("lora_modules_to_save")
    if saved:
        draft.carry("lora_modules_to_save", "tune.modules_to_save", saved)


def limits(draft: Draft) -> None:
    """The longest row, what becomes of longer ones, and packing."""
    value = draft.whole("sequence_len")
    if value is not None:
        draft.carry("sequence_len", "data.max_length", value)
    else:
        draft.state("data.max_length", 512)
    words = {"drop": "drop", "truncate": "truncate", "raise": "error"}
    stated = draft.text("excess_length_strategy")
    if stated in words:
        draft.carry("excess_length_strategy", "data.too_long", words[stated])
    else:
        draft.state("data.too_long", "drop", "axolotl drops rows that are longer, unless told otherwise")
    if draft.objective is None:
        packed = draft.flag("sample_packing")
        draft.state("data.packing", value=False) if packed is None else draft.carry(
            "sample_packing", "data.packing", packed
        )


def loss(draft: Draft) -> None:
    """Which tokens carry loss."""
    value = draft.flag("train_on_inputs")
    if value and draft.objective is None:
        draft.carry("train_on_inputs", "render.train_on", "all")
    draft.fine("train_on_inputs", "ftc trains on answers alone")


def length(draft: Draft) -> None:
    """How long training takes, and how many rows a step has."""
    steps = as_number(draft.get("max_steps"))
    if steps is not None and steps > 0:
        draft.carry("max_steps", "train.steps", plain(steps))
        draft.fine("num_epochs", "max_steps goes before it")
    else:
        draft.fine("max_steps", "0 or less means that epochs decide")
        epochs = draft.number("num_epochs")
        if epochs is not None:
            draft.carry("num_epochs", "train.epochs", plain(epochs))
        else:
            draft.state("train.epochs", 1)
    whole = draft.whole("batch_size")
    if whole is None:
        hf.batch(draft, RATES, "micro_batch_size")
        if draft.objective == "grpo":
            prompts_of_batch(draft)
        return
    draft.carry("batch_size", "train.batch", whole)
    micro = draft.whole("micro_batch_size")
    if micro is not None:
        draft.carry("micro_batch_size", "train.micro_batch", micro)
    draft.fine("gradient_accumulation_steps", "it follows from batch_size and micro_batch_size")


def rate(draft: Draft) -> None:
    """The learning rate over the steps, and the optimizer."""
    hf.rate(draft, RATES)
    floor = draft.number("cosine_min_lr_ratio")
    if floor and draft.get("lr_scheduler") in (None, "cosine"):
        draft.carry(
            ("lr_scheduler", "cosine_min_lr_ratio"), "train.schedule", {"name": "cosine", "floor": floor}
        )
    else:
        hf.schedule(draft, RATES, "lr_scheduler")
    draft.fine("cosine_min_lr_ratio", "0, or for another schedule")
    hf.warmup(draft)
    if not any(key in draft.table() for key in ("warmup_steps", "warmup_ratio")):
        draft.state("train.warmup", 0.03, "axolotl's default, of which it takes 100 steps at most")
    hf.optimizer(draft, RATES, "optimizer")
    hf.clipping(draft)


def watching(draft: Draft) -> None:
    """Held-out rows, how often they are measured, and when training ends because of them."""
    held = any(where[:2] == ("data", "split") for where in draft.settings)
    hf.watching(draft, held, unset="steps" if "eval_steps" in draft.table() else "no")
    patience = draft.whole("early_stopping_patience")
    if patience and held:
        draft.carry("early_stopping_patience", "train.early_stopping.patience", patience)
    draft.fine("early_stopping_patience", "off, or no rows are held out")
    if held and draft.has("evals_per_epoch"):
        draft.lose("evals_per_epoch", "ftc counts in steps", "train.eval_every, in steps")
    draft.fine("evals_per_epoch", "no rows are held out")


def trackers(draft: Draft) -> None:
    """Where steps are reported to."""
    flags = {
        "use_wandb": "wandb",
        "use_mlflow": "mlflow",
        "use_tensorboard": "tensorboard",
        "use_trackio": "trackio",
    }
    if isinstance(draft.get("wandb_project"), str) and draft.get("use_wandb") is None:
        flags["wandb_project"] = "wandb"
    on = {key: name for key, name in flags.items() if draft.get(key) not in (None, False, "")}
    if on:
        draft.carry(tuple(on), "train.trackers", list(dict.fromkeys(on.values())))
    draft.fine(tuple(flags), "off, and so it is in ftc")


def misc(draft: Draft) -> None:
    """The seed, activations, the runs' name."""
    hf.seed(draft, RATES)
    given = draft.get("gradient_checkpointing")
    if isinstance(given, str) and given not in ("true", "false"):
        draft.carry(
            "gradient_checkpointing", "train.gradient_checkpointing", value=True, why="on the device itself"
        )
    hf.checkpointing(draft, default=False)
    hf.name(draft)


PEER = Peer(
    name="axolotl",
    title="axolotl",
    steps=(
        objective,
        model,
        axolotl_rows.data,
        tune,
        limits,
        loss,
        length,
        rate,
        watching,
        trackers,
        misc,
    ),
    rules=axolotl_keys.RULES,
    known=axolotl_keys.KNOWN,
)
