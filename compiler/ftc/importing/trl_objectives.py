"""What is optimised, by TRL's names of its options and by ftc's."""

from __future__ import annotations

from typing import Any

from ftc.importing.draft import Draft, as_number, plain
from ftc.objectives.rewards import answered

OPTIONS: dict[str, dict[str, str]] = {
    "dpo": {"beta": "beta", "label_smoothing": "label_smoothing"},
    "kto": {
        "beta": "beta",
        "desirable_weight": "desirable",
        "undesirable_weight": "undesirable",
        "loss_type": "loss",
    },
    "orpo": {"beta": "beta"},
    "cpo": {"beta": "beta", "label_smoothing": "label_smoothing", "loss_type": "loss", "cpo_alpha": "sft"},
    "simpo": {"beta": "beta", "simpo_gamma": "margin", "cpo_alpha": "sft"},
    "reward": {"center_rewards_coefficient": "centre"},
    "grpo": {
        "num_generations": "generations",
        "max_completion_length": "max_new_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "beta": "beta",
        "loss_type": "loss",
    },
    "rloo": {
        "num_generations": "generations",
        "max_completion_length": "max_new_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "beta": "beta",
    },
}
"""TRL's fields that are numbers or words of `train.objective`."""

DEFAULTS: dict[str, dict[str, float]] = {
    "simpo": {"beta": 0.1, "margin": 0.5, "sft": 1.0},
    "grpo": {"max_new_tokens": 512},
    "rloo": {"generations": 2, "max_new_tokens": 512},
}
"""TRL's defaults where ftc's are other ones."""

WORDS = ("loss",)


def write(draft: Draft) -> None:
    """`train.objective` with its options; an objective of TRL's own SFT follows from the columns."""
    name = draft.objective or "sft"
    if name == "sft":
        return
    if name == "cpo" and draft.get("loss_type") == "simpo":
        draft.objective = name = "simpo"
    draft.put("train.objective.name", name)
    if name == "simpo":
        draft.goes("loss_type", ("train.objective.name",))
    if name == "dpo":
        _losses(draft)
    if name in ("grpo", "rloo"):
        rewards(draft)
        _scale(draft)
    for key, option in OPTIONS[name].items():
        _option(draft, key, option)
    for option, value in DEFAULTS.get(name, {}).items():
        if ("train", "objective", option) not in draft.settings:
            draft.put(f"train.objective.{option}", value)


def _option(draft: Draft, key: str, option: str) -> None:
    to = f"train.objective.{option}"
    value: Any = draft.text(key) if option in WORDS else draft.number(key)
    if value is not None:
        draft.carry(key, to, value if isinstance(value, str) else plain(value))


def _losses(draft: Draft) -> None:
    """One loss of the pair, and with it that of the chosen answer."""
    losses = draft.texts("loss_type") or []
    if not losses:
        draft.fine("loss_weights", "there is one loss")
        return
    pair = [one for one in losses if one != "sft"]
    if len(pair) != 1:
        draft.lose(("loss_type", "loss_weights"), "ftc trains one loss of the pair", "train.objective.loss")
        return
    draft.carry("loss_type", "train.objective.loss", pair[0])
    if "sft" not in losses:
        draft.fine("loss_weights", "there is one loss")
        return
    given = draft.get("loss_weights")
    stated = given if isinstance(given, list) and len(given) == len(losses) else [1.0] * len(losses)
    first, own = as_number(stated[losses.index(pair[0])]), as_number(stated[losses.index("sft")])
    if first and own is not None:
        draft.carry(("loss_weights", "loss_type"), "train.objective.sft", own / first)
    else:
        draft.lose("loss_weights", "they are no weights of two losses", "train.objective.sft")


def rewards(draft: Draft) -> None:
    """Rewards: ftc's metrics by name, other functions from a file that stands beside the recipe."""
    names = draft.texts("reward_funcs")
    if not names:
        return
    given = draft.get("reward_weights")
    weights = [as_number(one) for one in given] if isinstance(given, list) else []
    found: list[Any] = []
    for number, name in enumerate(names):
        function = name.rpartition(".")[2].rpartition(":")[2]
        made: dict[str, Any] = (
            {"metric": name} if name in answered() else {"python": f"rewards.py:{function}"}
        )
        weight = weights[number] if number < len(weights) else None
        found.append(made if weight is None else made | {"weight": plain(weight)})
    own = any("python" in one for one in found)
    why = "write these functions into rewards.py beside the recipe: of `answer`, and of `prompt` if need be"
    draft.carry("reward_funcs", "train.objective.rewards", found, why if own else "")
    draft.goes("reward_weights", ("train.objective.rewards",))


def _scale(draft: Draft) -> None:
    if draft.objective != "grpo" or "scale_rewards" not in draft.table():
        return
    value = draft.get("scale_rewards")
    words = {True: "group", False: "none"}
    scale = words[value] if isinstance(value, bool) else value
    if isinstance(scale, str):
        draft.carry("scale_rewards", "train.objective.scale", scale)


def prompts_of_batch(draft: Draft) -> None:
    """TRL counts answers in a batch, ftc the prompts to which they are sampled."""
    from ftc.importing.draft import Setting

    options = draft.settings
    batch = options["train", "batch"]
    stated = options.get(("train", "objective", "generations"))
    answers = int(stated.value) if stated else 8
    prompts = max(1, int(batch.value) // max(1, answers))
    why = f"{answers} answers to a prompt"
    comment = f"{batch.comment}: {why}" if batch.comment else why
    options["train", "batch"] = Setting(prompts, comment, batch.keys)
    options.pop(("train", "micro_batch"), None)
