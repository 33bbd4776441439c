"""Resolve a record of a published measurement to a training step: what it states, then documented defaults.

Defaults are those of the versions that a record names, each with where it is from. Nothing here looks at
what was measured, at a model's name or at where a record was published.
"""

from __future__ import annotations

import re
from typing import Any

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.step import (
    Batch,
    Code,
    Loss,
    Optimizer,
    Quantisation,
    Sharding,
    TrainingStep,
    Tuning,
)

Record = dict[str, Any]

DTYPES = {
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "float16": "float16",
    "fp32": "float32",
    "float32": "float32",
}
PACKAGES = ("torch", "transformers", "peft", "trl", "bnb", "flash-attn")
TRAINERS = re.compile(
    r"trl|trainer|accelerate|litgpt|torchtune|lightning|axolotl|llama-factory", re.IGNORECASE
)
"""Frameworks that run the step for the user, with mixed precision of their own."""

RELEASES: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    "transformers": (
        ("2024-09-25", (4, 45)),
        ("2024-10-24", (4, 46)),
        ("2025-03-21", (4, 50)),
        ("2025-12-01", (5,)),
    ),
    "bnb": (("2023-07-14", (0, 41)), ("2024-03-08", (0, 43)), ("2024-07-23", (0, 43, 2))),
}
"""Days on which releases appeared that changed what a step takes (PyPI), for records that name no version."""

LOSS_IN_LIBRARY = (4, 46)
"""transformers that compute the loss in loss_utils: before, the model upcast its logits in place."""

LABELS_PADDED = (4, 50)
"""transformers that align labels with logits by padding the labels, not by a copy of the logits."""


def resolve(record: Record) -> TrainingStep:
    """The step that a record measured. Raises InexpressibleError for what the estimate has no account of."""
    refuse(record)
    memory = record["memory"]
    config = model_config(record)
    return TrainingStep(
        config=config,
        tuning=tuning(record, config),
        batch=batch(record),
        weights=dtype(record["dtypes"]["weights"], "bfloat16"),
        autocast=autocast(record),
        quantisation=quantisation(record),
        optimizer=optimizer(record),
        attention=attention(memory),
        loss=loss(record, config),
        checkpointing=checkpointing(memory),
        sharding=sharding(record),
        code=code(record, config),
        device=record["gpu"],
    )


def refuse(record: Record) -> None:
    """Raise InexpressibleError for what runs otherwise than eager PyTorch does."""
    memory = record["memory"]
    text = f"{record['framework']} {memory.get('fused_ops')} {memory.get('grad_ckpt')}".lower()
    if memory.get("compile"):
        raise InexpressibleError(
            "torch.compile fuses operations and plans memory anew; eager is an upper bound"
        )
    if memory.get("offload"):
        raise InexpressibleError(
            f"offload of {memory['offload']}: how much is in flight is the loader's timing"
        )
    if "unsloth" in record["framework"].lower() or "unsloth" in text:
        raise InexpressibleError("Unsloth's kernels and offloaded checkpoints are not those of the libraries")
    if "deepspeed" in f"{record['parallel']}".lower():
        raise InexpressibleError("DeepSpeed partitions with buckets and buffers of its own")


def dtype(text: Any, default: str) -> Any:
    """The first dtype that a text names."""
    found = re.search("|".join(DTYPES), str(text or ""))
    return DTYPES[found[0]] if found else default


def version(framework: str, package: str) -> tuple[int, ...] | None:
    """The version of a package in a record's list of them."""
    found = re.search(rf"\b{re.escape(package)} v?(\d+(?:\.\d+)*)", framework)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def release(record: Record, package: str) -> tuple[int, ...]:
    """The version that a record names, or else the newest listed at the record's date."""
    named = version(record["framework"], package)
    if named:
        return named
    date = str(record.get("date") or "9999")
    return max((v for day, v in RELEASES[package] if day <= date), default=(0,))


def code_library(record: Record) -> Any:
    """Whose modelling code a framework runs."""
    for library in ("litgpt", "torchtune"):
        if library in record["framework"].lower():
            return library
    return "transformers"


def model_config(record: Record) -> dict[str, Any]:
    """A config.json with the record's shapes, of the model type whose code has that structure."""
    model = record["model"]
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
    if model.get("pos_embeddings"):
        fields["max_position_embeddings"] = model["pos_embeddings"]
    experts = model.get("experts") or model.get("num_experts")
    if experts:
        top = model.get("experts_per_token") or model.get("top_k") or 2
        fields |= {"num_local_experts": experts, "num_experts_per_tok": top}
    return {"model_type": model_type(model), **fields}


def model_type(model: Record) -> str:
    """The model type whose modelling code has the structure that a record describes."""
    if model.get("gated_mlp", True):
        if model.get("qk_norm"):
            return "qwen3"
        return "qwen2" if model.get("qkv_bias") or model.get("biases") else "llama"
    if model.get("pos_embeddings"):
        return "gpt_bigcode" if model["kv_heads"] == 1 else "gpt2"
    if not model.get("parallel_residual"):
        return "starcoder2"
    return "phi" if model.get("norms_per_layer") == 1 else "gpt_neox"


def tuning(record: Record, config: dict[str, Any]) -> Tuning:
    """Full fine-tuning or LoRA on the named projections."""
    method = record["method"]
    if method["type"] == "full":
        return Tuning(method="full")
    if method["type"] not in ("lora", "qlora"):
        raise InexpressibleError(f"the method {method['type']} is not modelled")
    from ftc.estimate.architecture import architecture

    names = architecture(config).family.names
    targets = method["targets"]
    if isinstance(targets, str):
        resolved: Any = "all-linear"
    else:
        short = [re.sub(r"\(.*\)|_proj$", "", target) for target in targets]
        resolved = tuple(getattr(names, target, target) for target in short)
    return Tuning(
        method="lora",
        rank=method["rank"],
        dropout=method.get("dropout") or 0.0,
        targets=resolved,
        dtype=dtype(record["dtypes"].get("adapters"), "float32"),
    )


def batch(record: Record) -> Batch:
    """Rows of the stated length; gradients of earlier micro-batches are there where they accumulate."""
    stated = record["batch"]
    first = "first iteration" in str(stated.get("seq_len_kind"))
    accumulated = (stated.get("grad_accum") or 1) > 1 and not first
    return Batch(rows=stated["micro"], length=stated["seq_len"], accumulated=accumulated)


def autocast(record: Record) -> Any:
    """The dtype of torch.autocast, which a trainer starts; a bare loop over transformers runs as loaded."""
    stated = str(record["dtypes"].get("autocast") or "none")
    found = "none" if stated.startswith("none") else dtype(stated, "none")
    return None if found == "none" or not TRAINERS.search(record["framework"]) else found


def quantisation(record: Record) -> Quantisation | None:
    """NF4 or int8 by bitsandbytes, with what becomes of the other weights."""
    quant = record["method"].get("quant")
    if not quant:
        return None
    kinds = [kind for kind in ("nf4", "fp4", "int8") if kind in quant["type"].replace("8bit", "int8")]
    if "torchao" in quant["type"] or not kinds:
        raise InexpressibleError(f"weights in {quant['type']} are not modelled")
    dtypes, bitsandbytes = record["dtypes"], release(record, "bnb")
    fsdp = "fsdp" in str(record["parallel"].get("strategy")).lower()
    stock = code_library(record) == "transformers"
    return Quantisation(
        kind=kinds[0],  # type: ignore[arg-type]
        double=bool(quant.get("double_quant")),
        compute=dtype(dtypes.get("quant_compute"), "bfloat16"),
        head=code_library(record) == "litgpt",  # Fabric's BitsandbytesPrecision replaces every linear layer
        keeps_input=bitsandbytes < (0, 43, 2),
        through_half=bitsandbytes < (0, 43),
        # FSDP flattens weights of one dtype only, so nothing is upcast under it
        upcast=stock and not fsdp and dtype(dtypes.get("non_quantised"), "float32") == "float32",
        upcast_ends=not re.search("trl", record["framework"], re.IGNORECASE),
    )


def optimizer(record: Record) -> Optimizer:
    """The optimizer by name, in the form that it defaults to on CUDA."""
    stated = record["optimizer"]
    name, form = stated["name"].lower(), str(stated.get("impl") or "").lower()
    states = record["dtypes"].get("optim_states")
    eight = "8bit" in name or "8-bit" in name or "8-bit" in str(states)
    bitsandbytes = eight or "bnb" in name or "paged" in name
    kinds = [kind for kind in ("adafactor", "lion", "sgd") if kind in name]
    return Optimizer(
        name=kinds[0] if kinds else "adamw",  # type: ignore[arg-type]
        form="bitsandbytes" if bitsandbytes else "fused" if "fused" in form or "fused" in name else "foreach",
        state=dtype(states, "float32"),
        bits=8 if eight else 32,
        paged=bool(stated.get("paged")),
        in_backward=bool(stated.get("in_backward")),
    )


def attention(memory: Record) -> Any:
    """The attention kernel."""
    stated = f"{memory['attn']} {memory.get('sdpa_backend') or ''}".lower()
    if memory["attn"] == "eager":
        return "eager"
    if "block mask" in stated:
        return "flex"  # from compute capability 7.5 on (torchtune's attention_utils)
    for text, kernel in (
        ("efficient", "efficient"),
        ("math", "math"),
        ("flash_attention_2", "flash_attention_2"),
    ):
        if text in stated:
            return kernel
    return "flash"


def loss(record: Record, config: dict[str, Any]) -> Loss:
    """The loss kernel; models whose loss was not yet the library's keep logits in the model's dtype."""
    stated, version_ = str(record["memory"].get("ce") or "").lower(), release(record, "transformers")
    bare = not TRAINERS.search(record["framework"])
    if "chunk" in stated:
        size = re.search(r"lm_head_chunk_size (\d+)|chunk_size (\d+)", stated)
        pieces = re.search(r"(\d+) chunks", stated)
        litgpt = code_library(record) == "litgpt"
        return Loss(
            kernel="chunked",
            upcast=True,
            early=litgpt,  # Fabric converts outputs to float32, torchtune each chunk for its loss
            chunks=int(pieces[1]) if pieces else None,
            chunk_tokens=int(next(filter(None, size.groups()))) if size else 128 if litgpt else None,
            keep_logits=True,
        )
    materialised = "materialised" in stated or "triton" in stated
    if not materialised and ("liger" in stated or "fused linear" in stated):
        return Loss(kernel="fused")
    if code_library(record) == "torchtune":
        return Loss(early=True)  # the model returns float32, the recipe deletes it before backward
    own = own_loss(config, version_)
    return Loss(
        kernel="triton" if "triton" in stated else "logits",
        upcast=not own,
        early=version_ < LOSS_IN_LIBRARY,
        shift="slice" if version_ < LABELS_PADDED else "pad",
        keep_logits=bare,
    )


def own_loss(config: dict[str, Any], version_: tuple[int, ...]) -> bool:
    """Whether the model's own code takes the loss of logits as they are (GPT-2 and its kin, before 4.50)."""
    return config["model_type"] in ("gpt_bigcode", "gpt2") and version_ < LABELS_PADDED


def checkpointing(memory: Record) -> Any:
    """Gradient checkpointing, reentrant unless it is said not to be (transformers' default until 5)."""
    if not memory.get("grad_ckpt"):
        return "none"
    return "non-reentrant" if memory.get("grad_ckpt_kind") == "non-reentrant" else "reentrant"


def sharding(record: Record) -> Sharding:
    """How a model is spread over devices."""
    parallel = record["parallel"]
    devices, strategy = int(parallel.get("gpus") or 1), str(parallel.get("strategy") or "none").lower()
    if devices == 1:
        return Sharding()
    if "fsdp" in strategy:
        return Sharding(kind="fsdp2" if "fsdp2" in strategy else "fsdp1", devices=devices)
    if "ddp" in strategy:
        return Sharding(kind="ddp", devices=devices)
    raise InexpressibleError(f"the strategy {strategy} over {devices} devices is not modelled")


def code(record: Record, config: dict[str, Any]) -> Code:
    """Whose code runs, and which operations of it are fused."""
    framework = record["framework"]
    found = {name: version(framework, name) for name in PACKAGES}
    fused = str(record["memory"].get("fused_ops") or "").lower()
    patched = config["model_type"] not in (
        "gpt_bigcode",
        "gpt2",
    )  # their LayerNorm and positions have no such kernel
    names = {"rmsnorm": "rmsnorm", "rope": "rope", "swiglu": "swiglu"}
    kernels = frozenset(kernel for word, kernel in names.items() if word in fused and patched)
    return Code(
        library=code_library(record),
        fused=kernels,  # type: ignore[arg-type]
        keeps_cache=own_loss(config, release(record, "transformers"))
        and bool(record["memory"].get("grad_ckpt")),
        versions={name: ".".join(map(str, v)) for name, v in found.items() if v},
    )
