"""Python that loads a run's model, as the model card and `ftc build` show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from ftc.artifact.chain import ChainedRun, bases
from ftc.plan.steps import ModelStep, Plan

PACKAGED = "package://"
CAUSAL, SCORING = "AutoModelForCausalLM", "AutoModelForSequenceClassification"


def base_expression(step: ModelStep, kind: str = CAUSAL, more: str = "") -> tuple[str, str]:
    """Python that loads the base: an import line, empty if none is needed, and the expression.

    `kind` is the class of transformers that loads it, with `more` arguments.
    """
    more += ", trust_remote_code=True" if step.code else ""
    if step.kind == "hub":
        revision = f", revision={step.revision!r}" if step.revision else ""
        return "", f"{kind}.from_pretrained({step.location!r}, dtype={step.dtype!r}{revision}{more})"
    if step.kind == "directory":
        return "", f"{kind}.from_pretrained({step.location!r}, dtype={step.dtype!r}{more})"
    path = PurePosixPath(step.location.removeprefix(PACKAGED))
    if step.location.startswith(PACKAGED):
        package, *folders = path.parent.parts
        place = f"str(files({package!r})" + "".join(f" / {folder!r}" for folder in folders) + ")"
        imported = "from importlib.resources import files\n"
    else:
        place, imported = repr(str(path.parent)), ""
    options = f"gguf_file={path.name!r}, quantization_config=GgufConfig(dequantize=True)"
    load = f"{kind}.from_pretrained({place}, {options}, dtype={step.dtype!r}{more})"
    return f"{imported}from transformers import GgufConfig\n", load


def _head(plan: Plan) -> tuple[str, str]:
    """The class of transformers that loads the model, and what it must be told of a new head on a base.

    A head of scores reads them at a row's last token, so it has to know which token is padding.
    """
    head = plan.objective.head if plan.objective else "vocabulary"
    if head == "vocabulary" or plan.tokenizer is None:
        return CAUSAL, ""
    classes = plan.data.classes if plan.data else ()
    labels = f"id2label={dict(enumerate(classes))!r}" if classes else "num_labels=1"
    return SCORING, f", pad_token_id={plan.tokenizer.pad_id}, {labels}"


def _grown(step: ModelStep) -> list[str]:
    """Python that gives a base rows for its new tokens, whose values are in the adapter."""
    return (
        [f"base.resize_token_embeddings({step.vocabulary}, mean_resizing=False)"] if step.new_tokens else []
    )


def _chained_base(
    step: ModelStep, chain: Sequence[ChainedRun], kind: str = CAUSAL, more: str = ""
) -> tuple[str, str]:
    """Python that loads what a chain of runs made: import lines, and the lines that make `base`."""
    start = next((n for n in range(len(chain) - 1, -1, -1) if not chain[n].adapter), None)
    if start is None:
        float32 = chain[0].model.model_copy(update={"dtype": "float32"})
        imports, first = base_expression(float32, kind, more)
    else:
        place = f"{chain[start].place}/model"
        imports, first = "", f"{kind}.from_pretrained({place!r}, dtype='float32'{more})"
    lines = [f"base = {first}"]
    for run in chain[0 if start is None else start + 1 :]:
        lines += _grown(run.model)
        lines.append(f"base = PeftModel.from_pretrained(base, '{run.place}/model').merge_and_unload()")
    if step.dtype != "float32":
        imports += "import torch\n"
        lines.append(f"base = base.to(torch.{step.dtype})")
    return imports, "\n".join(lines)


def _embedding(plan: Plan) -> str:
    """Python that loads a model which makes vectors; an adapter names its base, which has to be there."""
    lines = 'model = SentenceTransformer("model")\n'
    if plan.tune is None or plan.tune.peft is None or plan.model is None or plan.model.kind == "hub":
        return lines
    note = f"# the adapter stands on {plan.model.location}: write its directory on this machine\n"
    key = "base_model_name_or_path"
    return f"{note}# into `{key}` of model/adapter_config.json first\n{lines}"


def loading(plan: Plan, chain: Sequence[ChainedRun] = ()) -> str:
    """Python lines that load the model, to be run in the run directory; `chain` has what it builds on."""
    tokenizer = 'tokenizer = AutoTokenizer.from_pretrained("model")\n'
    if plan.objective is not None and plan.objective.head == "embedding":
        imported = "from sentence_transformers import SentenceTransformer\n\n"
        return imported + _embedding(plan)
    kind, told = _head(plan)
    imports = f"from transformers import {kind}, AutoTokenizer\n\n"
    if plan.model is None or plan.tune is None or plan.tune.peft is None:
        return imports + f'model = {kind}.from_pretrained("model")\n' + tokenizer
    below = bases(chain)
    if below:
        more, base = _chained_base(plan.model, below, kind, told)
    else:
        more, expression = base_expression(plan.model, kind, told)
        base = f"base = {expression}"
    base = "\n".join((base, *_grown(plan.model)))
    lines = f'{base}\nmodel = PeftModel.from_pretrained(base, "model")\n'
    return f"{more}from peft import PeftModel\n{imports}{lines}{tokenizer}"
