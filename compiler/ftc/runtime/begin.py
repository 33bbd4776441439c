"""What adapters begin as where that follows from rows, or from what storing the base in few bits loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ftc.runtime.adapt import adapt
from ftc.runtime.collate import Collator
from ftc.runtime.failure import BuildError
from ftc.runtime.job import Job
from ftc.runtime.ready import Ready
from ftc.runtime.rows import IGNORED, expected

PASSES = 50
"""How often EVA may go through its rows before they are said not to settle."""


def begun(model: Any, plan: Ready, job: Job) -> Any:
    """The model made trainable, its adapters beginning as the plan says.

    Raises BuildError where the rows are too few to say it. Bytes follow from plan and rows, so a build that
    goes on after a stop begins with the same ones again.
    """
    tune, init = plan.tune, (plan.tune.peft or {}).get("init_lora_weights")
    if init == "corda":
        return adapt(model, tune, job.model, lambda found, config: _corda(found, config, plan, job))
    adapted = adapt(model, tune, job.model)
    if init == "eva":
        _eva(adapted, plan, job)
    if tune.quantise is not None and tune.quantise.residual:
        residual(adapted, job.model)
    return adapted


def batches(plan: Ready, job: Job, tokens: int) -> list[dict[str, Any]]:
    """Batches of training rows, evenly spread over all, each of at least so many tokens with loss."""
    wanted = min(plan.tune.init_rows or 0, plan.data.train.rows)
    numbers = [place * plan.data.train.rows // wanted for place in range(wanted)]
    rows = expected(plan.data.train, job.data, numbers)
    collator, found = Collator(plan.tokenizer.pad_id), list[dict[str, Any]]()
    held: list[dict[str, Any]] = []
    for number in numbers:
        ids, labels = rows[number]
        held.append({"row": number, "input_ids": ids, "labels": labels})
        trained = sum(label != IGNORED for one in held for label in one["labels"])
        if trained >= tokens and len(held) >= plan.train.micro_batch:
            found.append(collator(held))
            held = []
    if not found:
        message = f"{wanted:,} rows have fewer than {tokens:,} trained tokens, too few to begin adapters with"
        raise BuildError("FTC548", message, 'write a smaller `rank`, or init = "default", under [tune]')
    return [{name: batch[name] for name in ("input_ids", "attention_mask", "labels")} for batch in found]


def _forward(model: Any, limit: int | None = None) -> Callable[[Any, dict[str, Any]], None]:
    """What puts a batch through a model, without its loss; raises BuildError behind `limit` batches."""
    seen = iter(range(limit)) if limit is not None else None

    def forward(_model: Any, batch: dict[str, Any]) -> None:
        if seen is not None and next(seen, None) is None:
            message = "EVA's directions do not settle on these rows"
            raise BuildError("FTC548", message, 'write a smaller `rank`, or init = "default", under [tune]')
        given = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
        model(**given, use_cache=False)

    return forward


def _apart(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a batch one by one, without padding: CorDA's hooks take them so."""
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True):
        tokens = ids[mask]
        if len(tokens) > 1:
            yield {"input_ids": tokens[None], "attention_mask": mask[mask].long()[None]}


def _eva(model: Any, plan: Ready, job: Job) -> None:
    """Let each adapter begin with the directions in which its layer's inputs vary most (EVA)."""
    import torch
    from peft import initialize_lora_eva_weights

    rank = model.peft_config["default"].r
    rows = batches(plan, job, 2 * rank)
    with torch.no_grad():
        initialize_lora_eva_weights(
            model,
            rows,
            forward_fn=_forward(model, PASSES * len(rows) + 1),
            show_progress_bar=False,
        )


def _corda(model: Any, config: Any, plan: Ready, job: Job) -> None:
    """Split each layer's weight along what the rows put through it (CorDA)."""
    import torch
    from peft.tuners.lora.corda import preprocess_corda
    from peft.tuners.tuners_utils import _maybe_include_all_linear_layers

    _maybe_include_all_linear_layers(config, model)
    rows, forward = batches(plan, job, 2 * config.r), _forward(model)

    def through() -> None:
        with torch.no_grad():
            for batch in rows:
                for row in _apart(batch):
                    forward(model, row)

    try:
        preprocess_corda(model.eval(), config, run_model=through)
    except ValueError as error:
        message = f"CorDA cannot split a layer's weight by these rows: {str(error).splitlines()[0]}"
        raise BuildError(
            "FTC548", message, "write a larger `init_rows`, or another `init`, under [tune]"
        ) from error
    model.train()


def residual(model: Any, directory: Path) -> None:
    """Let each adapter begin as the best of its rank for what its layer lost in few bits (LoftQ, one step).

    The factors share the singular values, and are such that their scaled product is added to the layer.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit

    layers = dict(_layers(model))
    for name, weight in _weights(directory, frozenset(layers)):
        layer = layers[name]
        stored = layer.get_base_layer().weight
        kept = dequantize_4bit(stored.data, stored.quant_state).float()
        left, values, right = torch.linalg.svd(weight.to(kept.device).float() - kept, full_matrices=False)
        rank, roots = layer.r["default"], values.sqrt()
        up, down = layer.lora_B["default"].weight, layer.lora_A["default"].weight
        up.data = (left[:, :rank] * roots[:rank] / layer.scaling["default"]).to(up.dtype).contiguous()
        down.data = (roots[:rank, None] * right[:rank]).to(down.dtype).contiguous()


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    """The adapted layers in four bits, by the names of the weights in the base's files."""
    from peft.tuners.lora import Linear4bit

    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            yield f"{name.removeprefix('base_model.model.')}.weight", module


def _weights(directory: Path, names: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """The weights of these names. Raises BuildError where the base's files call them otherwise."""
    from ftc.runtime.merge import before

    left = set(names)
    for name, weight in before(directory):
        if name in names:
            left.discard(name)
            yield name, weight
    if left:
        message = f"the base's files have no weight `{min(left)}`, which LoftQ compares with"
        raise BuildError("FTC548", message, 'write init = "default" under [tune]')
