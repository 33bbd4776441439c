"""README.md of a run: the hub's metadata, what was trained on what, what it changed, how to load it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ftc import __version__
from ftc.artifact.chain import ChainedRun
from ftc.plan.steps import DataStep, ModelStep, Plan

if TYPE_CHECKING:
    from ftc.artifact.documents import Finished

INTERVALS = "Intervals are 95 % bootstrap intervals over the rows; p-values are of paired tests on them."
PACKAGED = "package://"
CAUSAL, SCORING = "AutoModelForCausalLM", "AutoModelForSequenceClassification"
PIPELINES = {
    "vocabulary": "text-generation",
    "scores": "text-classification",
    "classes": "text-classification",
    "embedding": "sentence-similarity",
}
"""What the hub calls a model's use, by what stands on its layers."""


def _metadata(plan: Plan) -> str:
    """The YAML block which the hub reads; every value is a JSON string, which is YAML too."""
    adapter = plan.tune is not None and plan.tune.peft is not None
    pipeline = PIPELINES[plan.objective.head if plan.objective else "vocabulary"]
    lines = ["library_name: " + ("peft" if adapter else "transformers"), f"pipeline_tag: {pipeline}"]
    if plan.model and plan.model.kind == "hub":
        relation = "adapter" if adapter else "finetune"
        lines += [f"base_model: {json.dumps(plan.model.location)}", f"base_model_relation: {relation}"]
    tags = ["ftc", "trl", *([plan.objective.name] if plan.objective else [])]
    tags += [plan.tune.method] if plan.tune else []
    return "\n".join(["---", *lines, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(head), *(list(row) for row in rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in cells]
    return "".join("| " + " | ".join(row) + " |\n" for row in escaped)


def _figure(figure: Mapping[str, Any] | None) -> str:
    """A value with its 95 % interval."""
    if figure is None or figure["value"] is None:
        return "n/a"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _change(change: Mapping[str, Any] | None) -> str:
    if change is None or change["difference"] is None:
        return ""
    return f"{change['difference']:+.3f} (p = {change['p_value']:.3g})"


def _evaluation(measured: Mapping[str, Any]) -> str:
    """Each suite before and after with intervals, and what its gates came to."""
    suites = measured["suites"]
    if not suites:
        return "No row was held out, so nothing was measured.\n"
    return "\n".join(_suite(suite) for suite in suites) + f"\n{INTERVALS}\n"


def _suite(suite: Mapping[str, Any]) -> str:
    lines = [
        [one["title"], _figure(one["before"]), _figure(one["after"]), _change(one["change"])]
        for one in suite["metrics"]
    ]
    rows = f"{suite['rows']} row{'s' if suite['rows'] != 1 else ''}"
    held = f"{rows} {'were' if suite['rows'] != 1 else 'was'} held out and never trained on."
    said = held if suite["suite"] == "held_out" else f"The suite `{suite['suite']}` has {rows}."
    names = {one["metric"] for one in suite["metrics"]}
    note = "Exact match is mostly learned format; the accuracy among the labels is fair to the base."
    fair = f"\n{note}\n" if {"exact_match", "label_accuracy"} <= names else ""
    gates = "".join(
        f"- the gate `{gate['metric']} {gate['gate']}` {'holds' if gate['passed'] else 'FAILED'}\n"
        for gate in suite["gates"]
    )
    table = _table(("", "before", "after", "change"), lines)
    return f"{said}\n\n{table}{fair}" + (f"\n{gates}" if gates else "")


def _ledger(data: DataStep) -> str:
    ledger = data.ledger
    rows = [("read", str(ledger.read), "")]
    rows += [(line.fate.replace("_", " "), str(line.rows), line.reason) for line in ledger.lines]
    tokens = f"{data.train.tokens} tokens, {data.train.trained_tokens} of them trained"
    rows += [("trained on", str(ledger.train), tokens), *_sequences(data), ("held out", str(ledger.eval), "")]
    return _table(("rows", "number", "why"), rows)


def _sequences(data: DataStep) -> list[tuple[str, str, str]]:
    """The line of packed rows: how many sequences, and how full they are."""
    packed = data.sequences
    if packed is None or packed.capacity is None:
        return []
    full = f"{packed.capacity} tokens each at most, {100 * packed.utilisation:.2f} % full"
    return [("packed in sequences", str(packed.count), full)]


def base_expression(step: ModelStep, kind: str = CAUSAL, more: str = "") -> tuple[str, str]:
    """Python that loads the base: an import line, empty if none is needed, and the expression.

    `kind` is the class of transformers that loads it, with `more` arguments.
    """
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
    adapters = [f"{run.place}/model" for run in chain[0 if start is None else start + 1 :]]
    merged = [f"base = PeftModel.from_pretrained(base, {place!r}).merge_and_unload()" for place in adapters]
    lines = [f"base = {first}", *merged]
    if step.dtype != "float32":
        imports += "import torch\n"
        lines.append(f"base = base.to(torch.{step.dtype})")
    return imports, "\n".join(lines)


def loading(plan: Plan, chain: Sequence[ChainedRun] = ()) -> str:
    """Python lines that load the model, to be run in the run directory; `chain` has what it builds on."""
    tokenizer = 'tokenizer = AutoTokenizer.from_pretrained("model")\n'
    if plan.objective is not None and plan.objective.head == "embedding":
        return (
            'from sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer("model")\n'
        )
    kind, told = _head(plan)
    imports = f"from transformers import {kind}, AutoTokenizer\n\n"
    if plan.model is None or plan.tune is None or plan.tune.peft is None:
        return imports + f'model = {kind}.from_pretrained("model")\n' + tokenizer
    if chain:
        more, base = _chained_base(plan.model, chain, kind, told)
    else:
        more, expression = base_expression(plan.model, kind, told)
        base = f"base = {expression}"
    lines = f'{base}\nmodel = PeftModel.from_pretrained(base, "model")\n'
    return f"{more}from peft import PeftModel\n{imports}{lines}{tokenizer}"


def _chain_text(chain: Sequence[ChainedRun]) -> str:
    """What the model was before, run by run; the first one began with a model."""
    first = f"The first run began with `{chain[0].model.location}`; each other one with the run above it.\n\n"
    rows = ((f"`{run.place}`", run.objective, run.method, f"`{run.plan[:16]}`") for run in chain)
    return first + _table(("run", "objective", "method", "plan"), rows)


def _summary(plan: Plan) -> str:
    base = f"`{plan.model.location}`" if plan.model else "a base model"
    method = plan.tune.method if plan.tune else "training"
    objective = plan.objective.name if plan.objective else "training"
    unit = "packed sequences" if plan.packing is not None and plan.packing.packed else "rows"
    steps = f", {plan.train.steps} steps of {plan.train.batch} {unit}" if plan.train else ""
    return f"{base}, tuned by {method} ({objective}){steps}. Built by ftc {__version__} from `recipe.toml`.\n"


def _choices(plan: Plan) -> str:
    if not plan.choices:
        return "None: the recipe states everything.\n"
    rows = ((f"`{c.key}`", f"`{json.dumps(c.value, ensure_ascii=False)}`", c.reason) for c in plan.choices)
    return _table(("setting", "value", "why"), rows)


def _training(about: Mapping[str, Any]) -> str:
    """How training went, where the held-out rows were looked at meanwhile, or the model overfits."""
    lines = []
    if about.get("held_out"):
        ended = ", as the held-out loss no longer fell" if about["ended_early"] else ""
        lines.append(f"{about['last_step']} of {about['steps']} steps{ended}.")
        lines.append(f"The saved weights are those of step {about['kept_step']}.")
    if about.get("overfitting"):
        message = about["overfitting"]["message"]
        lines.append(f"{message[0].upper()}{message[1:]}.")
    rows = [(str(one["step"]), f"{one['loss']:.4f}") for one in about.get("held_out", ())]
    table = f"\n{_table(('step', 'held-out loss'), rows)}" if rows else ""
    return " ".join(lines) + "\n" + table


def readme_text(
    plan: Plan,
    measured: Mapping[str, Any],
    chain: Sequence[ChainedRun] = (),
    about: Mapping[str, Any] | None = None,
) -> str:
    """The whole README.md; `measured` holds the metrics before and after, `chain` what it builds on.

    `about` is what training.json says.
    """
    told = about is not None and (about.get("held_out") or about.get("overfitting"))
    sections = {
        "Evaluation": _evaluation(measured),
        **({"Training": _training(about)} if told and about else {}),
        "Load": f"In this directory:\n\n```python\n{loading(plan, chain)}```\n",
        **({"Chain": _chain_text(chain)} if chain else {}),
        "Data": _ledger(plan.data) if plan.data else "",
        "Choices": "What the recipe leaves open, the compiler chose:\n\n" + _choices(plan),
        "Rebuild": "`ftc build recipe.toml`, with the inputs that recipe.lock lists, gives the same weights\n"
        "bit for bit on the same kind of machine (environment.json); `sha256sum -c MANIFEST.sha256`\n"
        "checks the files.\n",
    }
    body = "".join(f"\n## {title}\n\n{text}" for title, text in sections.items())
    return f"{_metadata(plan)}\n# {plan.name}\n\n{_summary(plan)}{body}"


def document(run: Finished) -> bytes:
    """README.md of a run, in UTF-8."""
    return readme_text(run.plan, run.measured, run.chain, run.about).encode()
