"""Configurations of TRL's command line: `trl sft --config FILE` and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

from ftc import objectives
from ftc.facts.trl_fields import OF_TRL, OWNED, RETIRED, TrlNotFoundError, config_fields
from ftc.importing import huggingface as hf
from ftc.importing import trl_objectives, trl_rows
from ftc.importing.draft import Draft
from ftc.importing.peer import Peer
from ftc.importing.rules import Rule, fine, group, lost, words

COMMANDS = ("sft", "dpo", "kto", "reward", "grpo", "rloo", "orpo", "cpo")
"""Objectives that TRL has a config for, in the order in which a file is held against them."""

MODEL = words(
    """
    model_name_or_path model_revision dtype torch_dtype attn_implementation use_peft lora_r lora_alpha
    lora_dropout lora_target_modules lora_target_parameters lora_modules_to_save lora_task_type
    use_rslora use_dora load_in_8bit load_in_4bit bnb_4bit_quant_type use_bnb_nested_quant
    bnb_4bit_quant_storage
    """
)
SCRIPT = words(
    """
    dataset_name dataset_config dataset_train_split dataset_test_split dataset_streaming
    ignore_bias_buffers gradient_checkpointing_use_reentrant datasets streaming test_split_size env
    config
    """
)
REWARDS = frozenset({"reward_funcs", "reward_model_name_or_path"})
OLDER = frozenset({"max_seq_length", "max_prompt_length", "evaluation_strategy", "torch_dtype"})
"""Names of earlier releases."""

_ALONE = words(
    """
    padding_value generate_during_eval is_encoder_decoder max_completion_length
    """
)
EXPERIMENTAL: dict[str, frozenset[str]] = {
    "orpo": _ALONE,
    "cpo": _ALONE | {"cpo_alpha", "simpo_gamma", "alpha", "label_smoothing"},
    "simpo": _ALONE | {"cpo_alpha", "simpo_gamma", "alpha", "label_smoothing"},
}
"""Fields of configs beside those that DPO and KTO share: finding them in TRL's source would import TRL."""

RATES = {"sft": 2e-5, "reward": 1e-4}
PEFT_TARGETS = ["q_proj", "v_proj"]


@cache
def fields(objective: str) -> frozenset[str]:
    """The fields of the installed TRL's config of an objective; those that are known anyway without TRL."""
    if objective in EXPERIMENTAL:
        return (fields("dpo") & fields("kto")) | EXPERIMENTAL[objective]
    try:
        return frozenset(config_fields(objectives.load(objective).config))
    except TrlNotFoundError:
        return frozenset()


def objective_of(draft: Draft) -> str:
    """The objective whose config has the most of the file's keys; SFT where several have as many."""
    given = set(draft.table())
    sampled = bool(given & REWARDS)
    fitting = {
        name: len(given & fields(name)) + 10 * (sampled and name in ("grpo", "rloo")) for name in COMMANDS
    }
    return max(COMMANDS, key=lambda name: fitting[name])


def objective(draft: Draft) -> None:
    """The objective with its options; that of SFT follows from the columns."""
    draft.objective = draft.objective or objective_of(draft)
    trl_objectives.write(draft)


def model(draft: Draft) -> None:
    """The base model and its precision."""
    from ftc.importing.places import base

    stated = draft.text("model_name_or_path")
    if stated:
        draft.carry("model_name_or_path", "model.base", base(stated, draft.home))
    revision = draft.text("model_revision")
    if revision == "main":
        draft.fine("model_revision", "the newest commit, which ftc lock pins")
    elif revision:
        draft.carry("model_revision", "model.revision", revision)
    hf.precision(draft, bf16=None)
    key = "dtype" if draft.has("dtype") else "torch_dtype"
    kind = draft.text(key)
    if kind in ("bfloat16", "float16", "float32") and ("model", "dtype") not in draft.settings:
        draft.carry(key, "model.dtype", kind)
    elif kind is not None:
        draft.fine(key, "ftc has one precision, for weights and computation")


def tune(draft: Draft) -> None:
    """Full fine-tuning, LoRA, or LoRA on a base in few bits."""
    if not draft.flag("use_peft"):
        if "use_peft" in draft.table():
            draft.carry("use_peft", "tune.method", "full")
        else:
            draft.state("tune.method", "full", "TRL trains every weight unless use_peft is on")
        names = [name for name in MODEL if name.startswith(("lora_", "use_", "load_", "bnb_"))]
        draft.fine(names, "use_peft is off, so TRL trains every weight")
        return
    bits = next((key for key in ("load_in_4bit", "load_in_8bit") if draft.flag(key)), None)
    draft.carry(["use_peft", *([bits] if bits else [])], "tune.method", "qlora" if bits else "lora")
    if bits:
        _quantised(draft, bits)
    draft.fine(("load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "use_bnb_nested_quant"), "not used")
    for key, to, default in (
        ("lora_r", "tune.rank", 16),
        ("lora_alpha", "tune.alpha", 32),
        ("lora_dropout", "tune.dropout", 0.05),
    ):
        value = draft.number(key)
        draft.carry(key, to, value) if value is not None else draft.state(to, default)
    _layers(draft)


def _quantised(draft: Draft, bits: str) -> None:
    kind = draft.text("bnb_4bit_quant_type") or "nf4"
    if bits == "load_in_8bit":
        draft.carry(bits, "tune.quantise", "int8")
        return
    draft.carry([bits, "bnb_4bit_quant_type"], "tune.quantise", kind)
    nested = draft.flag("use_bnb_nested_quant")
    if nested is None:
        draft.state("tune.double_quantise", value=False)
    else:
        draft.carry("use_bnb_nested_quant", "tune.double_quantise", nested)


def _layers(draft: Draft) -> None:
    """Which layers have adapters: PEFT takes two of the attention's where none is named."""
    stated = draft.texts("lora_target_modules")
    if stated:
        whole = stated == ["all-linear"]
        draft.carry("lora_target_modules", "tune.targets", "all-linear" if whole else stated)
    else:
        why = "what PEFT takes for Llama, Mistral, Qwen and Gemma; other models have other names"
        draft.state("tune.targets", PEFT_TARGETS, why)
    saved = draft.texts("lora_modules_to_save")
    if saved:
        draft.carry("lora_modules_to_save", "tune.modules_to_save", saved)
    for key, to in (("use_rslora", "tune.rslora"), ("use_dora", "tune.dora")):
        value = draft.flag(key)
        if value is not None:
            draft.carry(key, to, value)


def limits(draft: Draft) -> None:
    """The longest row: TRL cuts longer ones at 1,024 tokens unless told otherwise."""
    if draft.objective in ("grpo", "rloo"):
        return
    key = "max_seq_length" if "max_seq_length" in draft.table() else "max_length"
    if key in draft.table() and draft.get(key) is None:
        draft.fine(key, "no limit but the model's context, as in ftc")
        return
    value = draft.whole(key)
    if value is not None:
        draft.carry(key, "data.max_length", value)
    else:
        draft.state("data.max_length", 1024)
    mode = draft.get("truncation_mode")
    if mode in (None, "keep_start"):
        draft.carry("truncation_mode", "data.too_long", "truncate", "TRL cuts what is longer")
    else:
        draft.lose("truncation_mode", "ftc cuts at the end", 'data.too_long = "truncate" or "drop"')
        draft.state("data.too_long", "truncate", "TRL cuts what is longer")


def packing(draft: Draft) -> None:
    """Whether several rows train in one sequence."""
    if draft.objective != "sft":
        return
    value = draft.flag("packing")
    if value is None:
        draft.state("data.packing", value=False)
    else:
        draft.carry("packing", "data.packing", value)
    strategy = draft.get("packing_strategy")
    if strategy == "wrapped":
        draft.lose("packing_strategy", "ftc keeps rows apart and whole")
    draft.fine("packing_strategy", "best fit, as ftc packs")
    draft.fine(("padding_free", "eval_packing", "pad_to_multiple_of"), "ftc decides it by device and model")


def loss(draft: Draft) -> None:
    """Which tokens carry loss: all of a conversation unless TRL is told otherwise."""
    if draft.objective != "sft":
        return
    answers, completions = draft.flag("assistant_only_loss"), draft.flag("completion_only_loss")
    if answers:
        draft.carry("assistant_only_loss", "render.train_on", "assistant")
        draft.fine("completion_only_loss", "assistant_only_loss goes before it")
    elif completions is False:
        draft.carry(("completion_only_loss", "assistant_only_loss"), "render.train_on", "all")
    elif completions:
        draft.carry("completion_only_loss", "render.train_on", "completion")
        draft.fine("assistant_only_loss", "off")
    else:
        why = "TRL trains on every token of a conversation, ftc on its answers"
        draft.lose("assistant_only_loss", why, 'render.train_on = "all", to have it TRL\'s way')


def template(draft: Draft) -> None:
    """The chat template."""
    stated = draft.text("chat_template_path")
    if stated is None:
        return
    if stated.endswith((".jinja", ".j2", ".jinja2")):
        from ftc.importing.places import local

        draft.carry("chat_template_path", "model.chat_template", local(stated, draft.home))
    else:
        why = "ftc takes a template's file or name, not another model's"
        draft.lose("chat_template_path", why, "model.chat_template = PATH of its chat_template.jinja")


def trainer(draft: Draft) -> None:
    """The options of the trainer."""
    rate = RATES.get(draft.objective or "sft", 1e-6)
    hf.training(draft, hf.Defaults(learning_rate=rate, checkpointing=True))
    if draft.objective in ("grpo", "rloo"):
        trl_objectives.prompts_of_batch(draft)


def rest(draft: Draft) -> None:
    """What ftc does not model passes through [train.trl], as far as the installed TRL has it."""
    chosen = objectives.load(draft.objective or "sft")
    owned: Mapping[str, str] = {**RETIRED, **OF_TRL, **OWNED, **chosen.owned}
    own = fields(chosen.name)
    for key in list(draft.table()):
        if draft.touched((key,)) or key in RULES or key not in KNOWN:
            continue
        value = draft.get(key)
        if value is None or (key not in own and value is False):
            draft.fine(key, "empty or off")
        elif owned.get(key):
            draft.lose(key, "ftc says it in another way", f"`{owned[key]}`")
        elif key in owned:
            draft.fine(key, "ftc decides this itself")
        elif key in own:
            draft.carry(key, f"train.trl.{key}", value)
        else:
            draft.lose(key, f"it is no option of TRL's {chosen.config.partition(':')[2]}")


RULES: dict[str, Rule] = {
    **hf.RULES,
    "attn_implementation": fine("ftc takes the fastest attention that device and model have"),
    "lora_task_type": fine("it follows from the objective"),
    "lora_target_parameters": lost("adapters stand on layers", "tune.targets, with names of layers"),
    "bnb_4bit_quant_storage": fine("it concerns sharding alone"),
    "dataset_streaming": fine("ftc streams rows from disk"),
    "streaming": fine("ftc streams rows from disk"),
    "dataset_num_proc": fine("ftc takes the cores there are"),
    "ignore_bias_buffers": fine("it concerns sharding alone"),
    "env": lost("a recipe sets no environment", "set them in the shell"),
    "config": fine("the file itself"),
    "dataset_kwargs": fine("ftc compiles the rows"),
    "trust_remote_code": lost(
        "an import gives no file the right to run code", "model.trust_remote_code = true, after a look at it"
    ),
    "max_prompt_length": lost("ftc limits whole rows", "data.max_length"),
    "eos_token": lost("the end of a turn follows from the template", "model.chat_template"),
    "pad_token": fine("nothing is learned from padding"),
    "loss_type": lost("ftc trains the ordinary loss", off=("nll", None)),
    "disable_dropout": fine("ftc has it off where two models are compared"),
    "activation_offloading": lost("activations stay on the device", "train.gradient_checkpointing = true"),
    "eval_on_start": fine("held-out rows are measured before training in any case"),
    "reward_model_name_or_path": lost(
        "scores come of metrics, functions or recipes", 'rewards = [{ recipe = "reward.toml" }]'
    ),
    **group(
        fine("ftc samples with transformers itself"),
        """
        use_vllm vllm_mode vllm_server_host vllm_server_port
        """,
    ),
    "model_init_kwargs": lost("they name no setting of ftc", "keys of [model]"),
    "shuffle_dataset": fine("rows are trained in an order by the seed"),
}

KNOWN = frozenset().union(MODEL, SCRIPT, REWARDS, OLDER, RULES, hf.TOGETHER, *map(fields, COMMANDS))

PEER = Peer(
    name="trl",
    title="TRL",
    steps=(
        objective,
        model,
        trl_rows.data,
        tune,
        limits,
        packing,
        loss,
        template,
        trainer,
        partial(trl_rows.held_out),
        rest,
    ),
    rules=RULES,
    known=KNOWN,
    commands=COMMANDS,
)
