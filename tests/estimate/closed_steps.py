"""Training steps over which the closed form is held to the abstract run: models, methods and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftc.estimate.step import Batch, Loss, Objective, Optimizer, Quantisation, TrainingStep, Tuning


def _config(
    model_type: str, hidden: int, heads: tuple[int, int], vocabulary: int, **more: Any
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": 10,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "vocab_size": vocabulary,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        **more,
    }


MODELS: dict[str, dict[str, Any]] = {
    "llama": _config("llama", 2048, (32, 4), 32000, intermediate_size=5632),
    "qwen2": _config("qwen2", 896, (14, 2), 151936, tie_word_embeddings=True),
    "qwen3": _config("qwen3", 1024, (16, 8), 151936, head_dim=128, tie_word_embeddings=True),
    "mistral": _config("mistral", 2048, (16, 4), 32768, sliding_window=1024),
    "gemma": _config("gemma", 1024, (8, 1), 256000, head_dim=256, tie_word_embeddings=True),
    "gemma2": _config("gemma2", 1152, (8, 4), 256000, head_dim=256, tie_word_embeddings=True),
    "gemma3": _config("gemma3_text", 1152, (4, 1), 262144, head_dim=256, tie_word_embeddings=True),
    "phi3": _config("phi3", 2048, (16, 16), 32064),
    "phi": _config("phi", 2048, (32, 32), 51200, tie_word_embeddings=False),
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 1024,
        "n_layer": 12,
        "n_head": 16,
        "n_positions": 2048,
        "vocab_size": 50257,
    },
    "neox": _config("gpt_neox", 1024, (16, 16), 50304, tie_word_embeddings=False),
    "opt": _config(
        "opt", 1024, (16, 16), 50272, ffn_dim=4096, word_embed_proj_dim=1024, max_position_embeddings=2048
    ),
    "starcoder2": _config("starcoder2", 1536, (12, 2), 49152, tie_word_embeddings=True),
    "granite": _config("granite", 1024, (16, 4), 49152, tie_word_embeddings=True, embedding_multiplier=12.0),
    "olmo2": _config("olmo2", 1024, (16, 4), 100352),
    "olmo3": _config("olmo3", 1024, (16, 4), 8192, sliding_window=1024),
    "smollm3": _config("smollm3", 1024, (16, 4), 8192),
    "arcee": _config("arcee", 1024, (16, 4), 8192, head_dim=64),
    "ernie4_5": _config("ernie4_5", 1024, (16, 4), 8192, head_dim=64, use_bias=False),
    "exaone4": _config("exaone4", 1024, (16, 4), 8192, head_dim=64, sliding_window=1024),
    "glm": _config("glm", 1024, (16, 4), 8192, head_dim=64, tie_word_embeddings=False),
    "glm4": _config("glm4", 1024, (16, 4), 8192, head_dim=64, tie_word_embeddings=False),
    "helium": _config("helium", 1024, (16, 4), 8192, head_dim=64),
    "hunyuan": _config("hunyuan_v1_dense", 1024, (16, 4), 8192, head_dim=64),
    "mixtral": _config(
        "mixtral", 1024, (16, 4), 32000, num_local_experts=8, num_experts_per_tok=2, intermediate_size=3584
    ),
}

LORA = Tuning(method="lora", rank=16, targets="all-linear")
IA3 = Tuning(
    method="lora", adapter="ia3", targets=("k_proj", "v_proj", "down_proj"), feedforward=("down_proj",)
)
WRITTEN: dict[str, Any] = {"prompt": 768, "completion": 256, "generations": 64}
METHODS: dict[str, dict[str, Any]] = {
    "full": {"tuning": Tuning(method="full"), "optimizer": Optimizer(state="bfloat16")},
    "lora": {"tuning": LORA},
    "q and v": {"tuning": Tuning(method="lora", rank=8, targets=("q_proj", "v_proj"), dropout=0.05)},
    "bf16 lora": {
        "tuning": LORA.model_copy(update={"dtype": "bfloat16"}),
        "optimizer": Optimizer(state="bfloat16"),
    },
    "qlora": {
        "tuning": LORA,
        "quantisation": Quantisation(kind="nf4", double=True),
        "attention": "efficient",
    },
    "autocast": {"tuning": LORA, "weights": "float32", "autocast": "bfloat16", "attention": "efficient"},
    "int8": {
        "tuning": LORA,
        "quantisation": Quantisation(kind="int8"),
        "weights": "float16",
        "attention": "efficient",
    },
    "padded": {"tuning": LORA, "attention": "efficient", "batch": Batch(rows=2, length=1024, padded=True)},
    "packed": {
        "tuning": LORA,
        "attention": "efficient",
        "batch": Batch(rows=1, length=2048, packed=(512, 1536)),
    },
    "eager": {"tuning": LORA, "attention": "eager"},
    "math": {"tuning": LORA, "attention": "math"},
    "head": {"tuning": LORA, "loss": Loss(kernel="trl")},
    "full head": {
        "tuning": Tuning(method="full"),
        "optimizer": Optimizer(state="bfloat16"),
        "loss": Loss(kernel="trl"),
    },
    "dpo": {
        "tuning": Tuning(method="full"),
        "optimizer": Optimizer(state="bfloat16"),
        "loss": Loss(kernel="trl"),
        "objective": Objective(kind="dpo", reference="model"),
    },
    "dpo lora": {
        "tuning": LORA,
        "loss": Loss(kernel="trl"),
        "objective": Objective(kind="dpo", reference="adapter"),
    },
    "reward": {
        "tuning": LORA.model_copy(update={"modules_to_save": ("score",)}),
        "loss": Loss(kernel="scores"),
        "objective": Objective(kind="reward", scores=1),
    },
    "orpo": {
        "tuning": LORA,
        "loss": Loss(kernel="preference"),
        "objective": Objective(kind="orpo"),
    },
    "gkd": {
        "tuning": LORA,
        "attention": "efficient",
        "batch": Batch(rows=2, length=1024, padded=True),
        "loss": Loss(kernel="divergence"),
        "objective": Objective(kind="gkd", teacher={"config": MODELS["llama"]}, cooled=True, **WRITTEN),
    },
    "grpo": {
        "tuning": LORA,
        "attention": "efficient",
        "batch": Batch(rows=8, length=1024, padded=True, trained=8 * 256),
        "loss": Loss(kernel="trl"),
        "objective": Objective(kind="grpo", reference="adapter", nucleus=True, **WRITTEN),
    },
    "rloo": {
        "tuning": Tuning(method="full"),
        "optimizer": Optimizer(state="bfloat16"),
        "attention": "efficient",
        "autocast": "bfloat16",
        "batch": Batch(rows=2, length=1024, padded=True, trained=2 * 256),
        "loss": Loss(kernel="trl"),
        "objective": Objective(kind="rloo", reference="model", **WRITTEN),
    },
    "dora": {"tuning": LORA.model_copy(update={"dora": True})},
    "dora, autocast": {
        "tuning": LORA.model_copy(update={"dora": True, "dropout": 0.05}),
        "autocast": "bfloat16",
        "loss": Loss(kernel="trl"),
    },
    "ia3": {"tuning": IA3, "autocast": "bfloat16", "loss": Loss(kernel="trl")},
    "kto": {
        "tuning": LORA,
        "attention": "efficient",
        "batch": Batch(rows=2, length=1024, padded=True, trained=1500),
        "loss": Loss(kernel="trl"),
        "objective": Objective(kind="kto", reference="adapter", drift=1100),
    },
}
CHECKPOINTING = ("none", "non-reentrant")
SHAPES = ((2, 1024), (1, 4096))


def step(model: str, method: str, checkpointing: str, shape: tuple[int, int]) -> TrainingStep:
    """The named step; a teacher has the student's vocabulary, as distillation asks."""
    named = TrainingStep.model_validate(
        {
            "config": MODELS[model],
            "batch": Batch(rows=shape[0], length=shape[1]),
            "checkpointing": checkpointing,
            **METHODS[method],
        }
    )
    teacher = named.objective.teacher
    if teacher is None:
        return named
    config = {**teacher.config, "vocab_size": MODELS[model]["vocab_size"]}
    taught = {"teacher": teacher.model_copy(update={"config": config})}
    return named.model_copy(update={"objective": named.objective.model_copy(update=taught)})


SMALL_GRID = (
    ("llama", "full", "none"),
    ("llama", "lora", "non-reentrant"),
    ("llama", "qlora", "non-reentrant"),
    ("llama", "autocast", "none"),
    ("llama", "eager", "non-reentrant"),
    ("llama", "head", "none"),
    ("llama", "dpo lora", "none"),
    ("llama", "kto", "non-reentrant"),
    ("llama", "orpo", "none"),
    ("llama", "dora", "none"),
    ("llama", "dora, autocast", "non-reentrant"),
    ("llama", "ia3", "none"),
    ("llama", "gkd", "non-reentrant"),
    ("llama", "grpo", "none"),
    ("llama", "rloo", "non-reentrant"),
    ("llama", "reward", "none"),
    ("qwen3", "reward", "non-reentrant"),
    ("llama", "padded", "none"),
    ("llama", "int8", "non-reentrant"),
    ("qwen3", "bf16 lora", "none"),
    ("gemma2", "full", "non-reentrant"),
    ("phi", "full", "none"),
    ("gpt2", "lora", "non-reentrant"),
    ("mixtral", "full", "non-reentrant"),
)


def large_grid() -> Iterator[tuple[str, str, str, tuple[int, int]]]:
    """Every family by full fine-tuning and LoRA, every method on two of them.

    Checkpointing and the shapes take turns, so that each family and each method meets both of each.
    """
    families = [(m, how) for m in MODELS for how in ("full", "q and v" if m == "mixtral" else "lora")]
    methods = [(model, method) for method in METHODS for model in ("llama", "qwen3")]
    for number, (model, method) in enumerate((*families, *methods)):
        place, side = divmod(number, 2)
        yield model, method, CHECKPOINTING[(place + side) % 2], SHAPES[(place // 2 + side) % 2]
