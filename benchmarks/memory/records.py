"""Resolve a record of a published measurement to a training step: what it states, then documented defaults."""

from __future__ import annotations

import re
from typing import Any

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.step import Batch, Code, Loss, Optimizer, Quantisation, Sharding, TrainingStep, Tuning

DTYPES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
}
Record = dict[str, Any]


def dtype(text: Any, default: str) -> Any:
    match = re.search(r"bf16|fp16|fp32|bfloat16|float16|float32", str(text or ""))
    return DTYPES[match[0]] if match else default


def version(framework: str, package: str) -> tuple[int, ...] | None:
    match = re.search(rf"{package} v?(\d+(?:\.\d+)*)", framework)
    return tuple(int(p) for p in match[1].split(".")) if match else None


def versions(framework: str) -> dict[str, str]:
    return {
        n: ".".join(map(str, v))
        for n in ("torch", "transformers", "peft", "trl", "bnb")
        if (v := version(framework, n))
    }


def config(model: Record) -> dict[str, Any]:
    fields = {
        "hidden_size": model["hidden"],
        "num_hidden_layers": model["layers"],
        "intermediate_size": model["intermediate"],
        "num_attention_heads": model["heads"],
        "num_key_value_heads": model["kv_heads"],
        "head_dim": model["head_dim"],
        "vocab_size": model["vocab"],
        "tie_word_embeddings": model["tied_embeddings"],
    }
    if model.get("gated_mlp", True):
        kind = "llama"
    elif model.get("pos_embeddings"):
        kind = "gpt_bigcode"
        fields["n_positions"] = model["pos_embeddings"]
    elif model.get("parallel_residual"):
        kind = "phi" if model.get("norms_per_layer") == 1 else "gpt_neox"
    else:
        raise InexpressibleError("unknown architecture")
    return {"model_type": kind, **fields}


def resolve(record: Record) -> TrainingStep:
    framework, memory, method, dtypes = (
        record["framework"],
        record["memory"],
        record["method"],
        record["dtypes"],
    )
    if memory.get("compile"):
        raise InexpressibleError("torch.compile")
    if memory.get("offload"):
        raise InexpressibleError("offload")
    if record["parallel"]["gpus"] > 1:
        raise InexpressibleError("multi")
    if framework.startswith(("litgpt", "torchtune")):
        raise InexpressibleError("litgpt/torchtune")
    transformers = version(framework, "transformers") or (5,)
    early, sliced = transformers < (4, 46), transformers < (4, 50)
    foak = "triton fused CE" in memory["ce"]
    step_config = config(record["model"])
    bare = not re.search("TRL|accelerate|litgpt|torchtune|Trainer", framework)
    old_style = step_config["model_type"] in ("gpt_bigcode",) and transformers < (4, 50)
    loss = Loss(
        kernel="triton" if foak else "logits",
        upcast=not old_style,
        early=early,
        shift="slice" if sliced else "pad",
        keep_logits=bare,
    )
    names = {
        "q": "q_proj",
        "k": "k_proj",
        "v": "v_proj",
        "o": "o_proj",
        "gate": "gate_proj",
        "up": "up_proj",
        "down": "down_proj",
    }
    lora = method["type"] != "full"
    tuning = (
        Tuning(
            method="lora",
            rank=method["rank"],
            dropout=method.get("dropout") or 0.0,
            targets=tuple(names.get(t, t.split("(")[0]) for t in method["targets"]),
            dtype=dtype(dtypes["adapters"], "float32"),
        )
        if lora
        else Tuning(method="full")
    )
    quant = None
    if method.get("quant"):
        quant = Quantisation(
            kind="nf4",
            double=method["quant"]["double_quant"],
            compute=dtype(dtypes["quant_compute"], "bfloat16"),
            upcast=dtype(dtypes.get("non_quantised"), "float32") == "float32",
            upcast_ends="TRL" not in framework,
        )
    autocast = "none" if bare else dtype(dtypes["autocast"], "none")
    attn = memory["attn"]
    kernel = (
        attn
        if attn in ("eager", "flash_attention_2")
        else "efficient"
        if "EFFICIENT" in str(memory.get("sdpa_backend"))
        else "flash"
    )
    return TrainingStep(
        config=step_config,
        tuning=tuning,
        batch=Batch(rows=record["batch"]["micro"], length=record["batch"]["seq_len"]),
        weights=dtype(dtypes["weights"], "bfloat16"),
        autocast=None if autocast == "none" else autocast,
        quantisation=quant,
        optimizer=Optimizer(state=dtype(dtypes["optim_states"], "float32"), form="foreach"),
        attention=kernel,
        loss=loss,
        checkpointing="non-reentrant"
        if memory.get("grad_ckpt_kind") == "non-reentrant"
        else "reentrant"
        if memory["grad_ckpt"]
        else "none",
        device=record["gpu"],
        code=Code(
            versions=versions(framework),
            keeps_cache=old_style,
            fused=frozenset({"rmsnorm", "rope"})
            if memory.get("fused_ops") and not old_style
            else frozenset(),
        ),
    )
