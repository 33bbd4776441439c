"""Configurations of LLaMA-Factory."""

from __future__ import annotations

from ftc.importing import huggingface as hf
from ftc.importing import llamafactory_rows, places
from ftc.importing.draft import Draft, plain
from ftc.importing.llamafactory_keys import KNOWN, RULES
from ftc.importing.peer import Peer

STAGES = {"pt": "cpt", "sft": None, "rm": "reward", "dpo": "dpo", "kto": "kto"}
PREFERENCES = {"sigmoid": "dpo", "hinge": "dpo", "ipo": "dpo", "orpo": "orpo", "simpo": "simpo"}
TEMPLATES = {
    "alpaca": "alpaca",
    "chatml": "chatml",
    "cohere": "command-r",
    "deepseek3": "deepseek-v3",
    "gemma": "gemma",
    "gemma3": "gemma3",
    "granite3": "granite",
    "llama2": "llama2",
    "llama3": "llama3",
    "phi": "phi3",
    "phi4": "phi4",
    "qwen": "qwen2.5",
    "qwen3": "qwen3",
    "vicuna": "vicuna",
    "zephyr": "zephyr",
}
"""LLaMA-Factory's names of templates that ftc ships too."""


def objective(draft: Draft) -> None:
    """The objective with its options."""
    stage = draft.text("stage") or "sft"
    if stage not in STAGES:
        draft.refuse("stage", f"ftc does not train the stage `{stage}`", f"write one of {', '.join(STAGES)}")
        return
    name = STAGES[stage]
    if stage == "dpo":
        loss = draft.text("pref_loss") or "sigmoid"
        name = PREFERENCES.get(loss)
        if name is None:
            draft.refuse(
                "pref_loss", f"ftc does not train the loss `{loss}`", f"one of {', '.join(PREFERENCES)}"
            )
            return
    draft.objective = name
    if name is None:
        draft.fine("stage", "the objective follows from the columns")
        return
    draft.carry("stage", "train.objective.name", name)
    OPTIONS.get(name, lambda _: None)(draft)
    draft.fine("pref_loss", "it is for the stage dpo")


def _number(draft: Draft, key: str, option: str, default: float | None = None) -> None:
    value = draft.number(key)
    if value is not None:
        draft.carry(key, f"train.objective.{option}", plain(value))
    elif default is not None:
        draft.put(f"train.objective.{option}", default)


def _dpo(draft: Draft) -> None:
    draft.carry("pref_loss", "train.objective.loss", draft.get("pref_loss") or "sigmoid")
    _number(draft, "pref_beta", "beta")
    _number(draft, "pref_ftx", "sft")
    _number(draft, "dpo_label_smoothing", "label_smoothing")


def _orpo(draft: Draft) -> None:
    draft.goes("pref_loss", ("train.objective.name",))
    _number(draft, "pref_beta", "beta")


def _simpo(draft: Draft) -> None:
    draft.goes("pref_loss", ("train.objective.name",))
    _number(draft, "pref_beta", "beta", 0.1)
    _number(draft, "simpo_gamma", "margin", 0.5)


def _kto(draft: Draft) -> None:
    _number(draft, "pref_beta", "beta")
    _number(draft, "kto_chosen_weight", "desirable")
    _number(draft, "kto_rejected_weight", "undesirable")


OPTIONS = {"dpo": _dpo, "orpo": _orpo, "simpo": _simpo, "kto": _kto}


def model(draft: Draft) -> None:
    """The base model, its precision, its template and its new tokens."""
    stated = draft.text("model_name_or_path")
    if stated:
        draft.carry("model_name_or_path", "model.base", places.base(stated, draft.home))
    revision = draft.text("model_revision")
    if revision == "main":
        draft.fine("model_revision", "the newest commit, which ftc lock pins")
    elif revision:
        draft.carry("model_revision", "model.revision", revision)
    if draft.flag("pure_bf16"):
        draft.carry("pure_bf16", "model.dtype", "bfloat16")
        draft.fine(("bf16", "fp16"), "pure_bf16 goes before it")
    draft.fine("pure_bf16", "off")
    if ("model", "dtype") not in draft.settings:
        hf.precision(draft, bf16=False)
    _tokens(draft)
    _template(draft)


def _tokens(draft: Draft) -> None:
    words, marks = draft.texts("add_tokens"), draft.texts("add_special_tokens")
    tokens = [*(words or []), *({"text": mark, "special": True} for mark in marks or [])]
    if tokens:
        draft.carry(("add_tokens", "add_special_tokens"), "model.new_tokens", tokens)
        draft.fine("resize_vocab", "ftc makes room for new tokens by itself")


def _template(draft: Draft) -> None:
    stated = draft.text("template")
    if stated in TEMPLATES and draft.objective != "cpt":
        why = "leave it out where the model has this template itself"
        draft.carry("template", "model.chat_template", TEMPLATES[stated], why)
    elif stated == "empty" and draft.objective != "cpt":
        draft.carry("template", "render.chat", value=False)
    else:
        draft.fine("template", "ftc takes the model's own chat template")


def tune(draft: Draft) -> None:
    """Full fine-tuning, some layers, rotations, LoRA, or LoRA on a base in few bits."""
    kind = draft.text("finetuning_type") or "lora"
    if kind not in ("lora", "full", "freeze", "oft"):
        draft.refuse("finetuning_type", f"ftc cannot import `{kind}`", "write lora, full, freeze or oft")
        return
    bits = draft.whole("quantization_bit")
    quantised = kind == "lora" and bits in (4, 8)
    method = "qlora" if quantised else kind
    if "finetuning_type" in draft.table():
        draft.carry("finetuning_type", "tune.method", method)
    else:
        draft.state("tune.method", method)
    if quantised:
        _quantised(draft, bits or 4)
    elif bits is not None:
        draft.lose("quantization_bit", f"ftc has no {kind} on a base in {bits} bits", 'method = "qlora"')
    METHODS.get(kind, lambda _: None)(draft)
    names = [key for key in KNOWN if key.startswith(("lora_", "oft_", "pissa_", "freeze_trainable"))]
    more = ["use_rslora", "use_dora", "additional_target", "freeze_extra_modules", "module_dropout"]
    draft.fine([*names, *more], f"it is not for {kind}")
    draft.fine(("quantization_type", "double_quantization"), "the base is not in few bits")


def _quantised(draft: Draft, bits: int) -> None:
    if bits == 8:
        draft.carry("quantization_bit", "tune.quantise", "int8")
        return
    kind = draft.text("quantization_type") or "nf4"
    draft.carry(("quantization_bit", "quantization_type"), "tune.quantise", kind)
    double = draft.flag("double_quantization")
    if double is not None:
        draft.carry("double_quantization", "tune.double_quantise", double)


def _lora(draft: Draft) -> None:
    """LLaMA-Factory takes a rank of 8, and twice the rank as alpha."""
    rank, alpha = draft.whole("lora_rank"), draft.number("lora_alpha")
    draft.state("tune.rank", 8) if rank is None else draft.carry("lora_rank", "tune.rank", rank)
    if alpha is not None:
        draft.carry("lora_alpha", "tune.alpha", plain(alpha))
    dropout = draft.number("lora_dropout")
    if dropout is not None:
        draft.carry("lora_dropout", "tune.dropout", dropout)
    _targets(draft, "lora_target")
    for key, to in (("use_rslora", "tune.rslora"), ("use_dora", "tune.dora")):
        on = draft.flag(key)
        if on is not None:
            draft.carry(key, to, on)
    saved = draft.texts("additional_target")
    if saved:
        draft.carry("additional_target", "tune.modules_to_save", saved)
    if draft.flag("pissa_init"):
        fast = draft.get("pissa_iter") != -1
        draft.carry(("pissa_init", "pissa_iter"), "tune.init", "pissa_fast" if fast else "pissa")
    draft.fine("pissa_convert", "ftc saves an adapter that fits the base as it was, in any case")


def _targets(draft: Draft, key: str) -> None:
    names = draft.texts(key)
    if names:
        draft.carry(key, "tune.targets", "all-linear" if names == ["all"] else names)


def _oft(draft: Draft) -> None:
    for key, to in (("oft_block_size", "tune.block"), ("module_dropout", "tune.dropout")):
        value = draft.number(key)
        if value is not None:
            draft.carry(key, to, plain(value))
    _targets(draft, "oft_target")


def _freeze(draft: Draft) -> None:
    """The last layers train, or the first ones where their number is negative; 2 unless given."""
    stated = draft.whole("freeze_trainable_layers")
    layers = 2 if stated is None else stated
    to = "tune.first_layers" if layers < 0 else "tune.last_layers"
    if stated is None:
        draft.state(to, layers)
    else:
        draft.carry("freeze_trainable_layers", to, abs(layers))
    if draft.get("freeze_trainable_modules") not in (None, "all"):
        why = "ftc trains whole layers, or modules by their names"
        draft.lose("freeze_trainable_modules", why, 'tune.modules = ["layers.31.mlp"]')
    draft.fine("freeze_trainable_modules", "all of them, as in ftc")
    extra = draft.texts("freeze_extra_modules")
    if extra:
        draft.carry("freeze_extra_modules", "tune.modules", extra)


METHODS = {"lora": _lora, "oft": _oft, "freeze": _freeze}


def limits(draft: Draft) -> None:
    """The longest row, packing, and which tokens carry loss."""
    value = draft.whole("cutoff_len")
    if value is None:
        draft.state("data.max_length", 2048)
    else:
        draft.carry("cutoff_len", "data.max_length", value)
    draft.state("data.too_long", "truncate", "LLaMA-Factory cuts what is longer")
    if draft.objective in (None, "cpt"):
        _packing(draft)
    draft.fine(("packing", "neat_packing"), "it is for texts and answers")
    if draft.flag("mask_history"):
        draft.carry("mask_history", "render.train_on", "last_assistant")
    if draft.flag("train_on_prompt") and draft.objective is None:
        draft.carry("train_on_prompt", "render.train_on", "all")
    draft.fine(("mask_history", "train_on_prompt"), "off: every answer is learned, as in ftc")
    thinking = draft.flag("enable_thinking")
    if thinking is not None:
        draft.carry("enable_thinking", "render.variables", {"enable_thinking": thinking})


def _packing(draft: Draft) -> None:
    packed, apart = draft.flag("packing"), draft.flag("neat_packing")
    if packed or apart:
        keys = [key for key, on in (("packing", packed), ("neat_packing", apart)) if on]
        draft.carry(
            keys, "data.packing", value=True, why="" if apart else "in ftc, rows never see each other"
        )
    elif draft.objective == "cpt" and packed is None:
        draft.state("data.packing", value=True)
    elif packed is None:
        draft.state("data.packing", value=False)
    else:
        draft.carry("packing", "data.packing", value=False)
    draft.fine(("packing", "neat_packing"), "off, or the other one says it")


def trainer(draft: Draft) -> None:
    """The options of the trainer; activations are made again unless that is switched off."""
    off = draft.flag("disable_gradient_checkpointing")
    if off is not None:
        draft.carry("disable_gradient_checkpointing", "train.gradient_checkpointing", not off)
        draft.fine("gradient_checkpointing", "disable_gradient_checkpointing says it")
    hf.training(draft, hf.Defaults(checkpointing=off is None))
    if draft.flag("use_dft_loss"):
        draft.carry("use_dft_loss", "train.trl.loss_type", "dft")
    draft.fine("use_dft_loss", "off, and so it is in ftc")


def watching(draft: Draft) -> None:
    """Held-out rows, and when training ends because of them."""
    held = any(where[:2] == ("data", "split") for where in draft.settings)
    hf.watching(draft, held)
    patience = draft.whole("early_stopping_steps")
    if patience and held:
        draft.carry("early_stopping_steps", "train.early_stopping.patience", patience)
    draft.fine("early_stopping_steps", "off, or no rows are held out")


PEER = Peer(
    name="llamafactory",
    title="LLaMA-Factory",
    steps=(
        objective,
        model,
        llamafactory_rows.data,
        tune,
        limits,
        trainer,
        watching,
    ),
    rules=RULES,
    known=KNOWN,
)
