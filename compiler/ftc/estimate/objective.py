"""What a plan optimises, as its step's memory sees it: the objective, the loss, the largest micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.rows import Rows
from ftc.estimate.step import Batch, Code, Loss, Objective, Teacher, Tuning
from ftc.plan.steps import ModelStep, ObjectiveStep, Plan
from ftc.tuning.modules import SCORE

Config = Mapping[str, Any]
Configs = Mapping[str, Config]
"""The config.json of other models that take part, by their digests."""

HEAD_SINCE = (1, 15)
"""TRL whose SFT trainer makes logits in tiles (`add_fused_lm_head`)."""

_SAMPLED = frozenset(
    {
        "beta",
        "delta",
        "epsilon",
        "epsilon_high",
        "importance_sampling_level",
        "loss_type",
        "mask_truncated_completions",
        "max_completion_length",
        "num_generations",
        "num_iterations",
        "off_policy_mask_threshold",
        "reward_clip_range",
        "reward_weights",
        "scale_rewards",
        "temperature",
        "top_entropy_quantile",
        "top_p",
    }
)
_APART = frozenset({"beta", "cpo_alpha", "disable_dropout", "label_smoothing", "loss_type", "simpo_gamma"})

OWN = {
    "dpo": frozenset({"beta", "disable_dropout", "label_smoothing", "loss_type", "loss_weights"}),
    "orpo": _APART,
    "cpo": _APART,
    "gkd": frozenset({"beta", "disable_dropout", "lmbda", "max_new_tokens", "temperature"}),
    "grpo": _SAMPLED,
    "rloo": _SAMPLED,
    "kto": frozenset({"beta", "desirable_weight", "disable_dropout", "loss_type", "undesirable_weight"}),
    "reward": frozenset({"center_rewards_coefficient", "disable_dropout"}),
    "embedding": frozenset({"batch_sampler"}),
}
"""Options of an objective's trainer that take a few numbers a row, or that this module heeds."""


def optimised(plan: Plan, rows: Rows, others: Configs) -> Objective:
    """What is optimised, and what other models take part. Raises InexpressibleError."""
    step = plan.objective
    if step is None or step.batches == "rows":
        return Objective()
    if step.name not in MODELLED:
        raise InexpressibleError(f"what a step of {step.name} takes is not modelled")
    return MODELLED[step.name](plan, step, rows, others)


def _scored(plan: Plan, step: ObjectiveStep, _rows: Rows, _: Configs) -> Objective:
    classes = len(plan.data.classes) if plan.data is not None else 0
    return Objective(kind="reward" if step.name == "reward" else "classes", scores=classes or 1)


def _compared(plan: Plan, step: ObjectiveStep, _rows: Rows, _: Configs) -> Objective:
    """Texts of a row that an encoder reads; pairs of either kind read the anchor twice."""
    members = len(plan.render.members) if plan.render is not None else 2
    return Objective(kind="embedding", texts=4 if step.options["loss"] == "contrastive" else members)


def _base(plan: Plan) -> str:
    """Where the model is as it was: the base under its adapters, or a second one."""
    return "model" if plan.tune is None or plan.tune.peft is None else "adapter"


def _referred(plan: Plan, step: ObjectiveStep, rows: Rows, _: Configs) -> Objective:
    drift = None
    if step.name == "kto" and step.options["loss"] == "kto":  # another row's answer behind the prompt
        drift = rows.longest + min(rows.longest, rows.trained or rows.longest)
    return Objective.model_validate({"kind": step.name, "reference": _base(plan), "drift": drift})


def _apart(_plan: Plan, step: ObjectiveStep, _rows: Rows, _: Configs) -> Objective:
    return Objective(kind="orpo" if step.name == "orpo" else "cpo")


def _number(step: ObjectiveStep, name: str) -> float:
    return float(str(step.options[name]))


def _sampled(plan: Plan, step: ObjectiveStep, rows: Rows, others: Configs) -> Objective:
    """Answers to all prompts of an optimizer step are written at once."""
    assert plan.train is not None  # noqa: S101 - the caller has looked
    scorers = [_other(reward.model, others) for reward in step.rewards if reward.model is not None]
    reference = _base(plan) if _number(step, "beta") else "none"
    return Objective.model_validate(
        {
            "kind": step.name,
            "reference": reference,
            "prompt": rows.longest,
            "completion": int(_number(step, "max_new_tokens")),
            "generations": plan.train.batch * int(_number(step, "generations")),
            "nucleus": _number(step, "top_p") < 1,
            "cooled": _number(step, "temperature") != 1,
            "scorers": scorers,
        }
    )


def _other(model: ModelStep, others: Configs) -> Teacher:
    """A model that takes part. Raises InexpressibleError where its config.json is not at hand."""
    if model.config_sha256 not in others:
        raise InexpressibleError("the config.json of a teacher or a reward model is not at hand")
    return Teacher(config=dict(others[model.config_sha256]), weights=model.dtype)


def _followed(plan: Plan, step: ObjectiveStep, rows: Rows, others: Configs) -> Objective:
    """The student writes answers to some micro-batches itself, without a cache where it is checkpointed."""
    assert plan.train is not None  # noqa: S101 - the caller has looked
    assert step.teacher is not None  # noqa: S101 - the objective asks for one
    about = _other(step.teacher, others)
    if not _number(step, "on_policy"):
        return Objective(kind="gkd", teacher=about)
    return Objective(
        kind="gkd",
        teacher=about,
        prompt=max(1, rows.longest - 1),
        completion=int(_number(step, "max_new_tokens")),
        generations=min(plan.train.micro_batch, rows.count),
        cooled=_number(step, "temperature") != 1,
        cached=not plan.train.arguments.get("gradient_checkpointing"),
    )


MODELLED: dict[str, Callable[[Plan, ObjectiveStep, Rows, Configs], Objective]] = {
    "dpo": _referred,
    "kto": _referred,
    "orpo": _apart,
    "cpo": _apart,
    "simpo": _apart,
    "gkd": _followed,
    "grpo": _sampled,
    "rloo": _sampled,
    "reward": _scored,
    "classification": _scored,
    "embedding": _compared,
}
"""Objectives beside those on plain rows that the estimate has an account of, by their names."""


def loss_of(plan: Plan, objective: Objective, code: Code) -> Loss:
    """How the objective's loss is made. Raises InexpressibleError."""
    if objective.scores:
        return Loss(kernel="scores")
    if objective.texts:
        assert plan.objective is not None  # noqa: S101 - it has been lowered
        return Loss.model_validate({"kernel": plan.objective.options["loss"]})
    if objective.kind in ("orpo", "cpo"):
        assert plan.objective is not None  # noqa: S101 - it has been lowered
        return Loss(kernel="preference", learned=bool(plan.objective.options.get("sft", 1)))
    if objective.kind == "gkd":
        assert plan.objective is not None  # noqa: S101
        return Loss(kernel="divergence", mixture=0 < _number(plan.objective, "beta") < 1)
    if code.release("trl") < HEAD_SINCE:
        needed = ".".join(map(str, HEAD_SINCE))
        raise InexpressibleError(f"TRL before {needed} measures accuracy and entropy on all logits")
    return Loss(kernel="trl")


def scoring(tuning: Tuning) -> Tuning:
    """The tuning of a model with a new head, which trains whole."""
    if tuning.method == "freeze":
        raise InexpressibleError("training some layers under a head of scores is not modelled")
    return tuning.model_copy(update={"modules_to_save": (SCORE,)}) if tuning.method == "lora" else tuning


def largest_batch(plan: Plan, rows: Rows, objective: Objective, *, scores_all: bool) -> Batch:
    """The largest micro-batch. Packed sequences lie end to end in one row, and the mask is as wide."""
    assert plan.train is not None  # noqa: S101 - the caller has looked
    micro, more = plan.train.micro_batch, plan.train.accumulation > 1
    at_once = min(micro, rows.count)
    if objective.sampled:
        return _written(plan, rows, objective, at_once, scores_all=scores_all)
    if rows.packed:
        packed = (rows.longest,) * at_once if at_once > 1 else (rows.longest - 1, 1)
        length = at_once * rows.longest
        return Batch(rows=1, length=length, packed=packed, trained=None, accumulated=more)
    each = min(rows.longest - 1, rows.trained or rows.longest) or 1
    length = rows.longest
    if objective.kind == "gkd":  # of the student's own answers the plan knows the most tokens
        each, length = max(each, objective.completion or 1), length - 1 + (objective.completion or 1)
    trained = None if scores_all and objective.kind != "gkd" else at_once * each * (1 + objective.paired)
    own = objective.kind == "gkd" and objective.generations is not None
    together = objective.paired or (objective.texts or 0) > 2  # texts side by side in one batch
    padded = (together and not rows.alike) or (at_once > 1 and (own or rows.shortest < rows.longest))
    return Batch(rows=at_once, length=length, padded=padded, trained=trained, accumulated=more)


def _written(plan: Plan, rows: Rows, objective: Objective, prompts: int, *, scores_all: bool) -> Batch:
    """All answers to some prompts, filled up on both sides of where they begin."""
    assert plan.train is not None  # noqa: S101 - the caller has looked
    count = prompts * (objective.generations or 1) // plan.train.batch
    answer = objective.completion or 1
    trained = None if scores_all else count * answer
    more = plan.train.accumulation > 1
    return Batch(rows=count, length=rows.longest + answer, padded=True, trained=trained, accumulated=more)
