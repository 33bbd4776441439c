"""The `[tune]` table of a plan: what trains, what is picked, what fits neither model nor machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from ftc import tuning
from ftc.plan.context import Outcome
from ftc.plan.pipeline import run_passes
from ftc.plan.steps import Plan, TuneStep
from ftc.recipe.base import descriptions
from ftc.recipe.training import Train
from ftc.tuning.optimizers import OPTIMIZERS
from plan.plan_facts import context_of

ROWS = {"prompt": "VARCHAR", "completion": "VARCHAR"}
PACKAGES = {"torch": "2.13.0", "bitsandbytes": "0.50.2"}


def planned(
    directory: Path, text: str, *, packages: dict[str, str] | None = None, **config: object
) -> Outcome:
    context = context_of(directory, ROWS, text)
    model = replace(context.facts.model, config={**context.facts.model.config, **config})
    model.__dict__["tensor_names"] = ("model.layers.0.mixer.in_proj.weight",)
    facts = replace(context.facts, model=model, packages=packages or PACKAGES)
    return run_passes(Plan(name="x", seed=0), replace(context, facts=facts))


def step_of(directory: Path, text: str, **config: object) -> TuneStep:
    outcome = planned(directory, text, **config)
    assert outcome.findings == ()
    assert outcome.plan.tune is not None
    return outcome.plan.tune


def test_the_parameters_that_train_are_counted(tmp_path: Path) -> None:
    step = step_of(tmp_path, "[tune]\nrank = 4\n")
    hidden, inner, layers, vocabulary = 64, 128, 2, 300
    adapters = 4 * (4 * (hidden + hidden) + 3 * (hidden + inner)) * layers
    weights = (4 * hidden**2 + 3 * hidden * inner + 2 * hidden) * layers + hidden
    assert (step.parameters, step.total) == (adapters, weights + 2 * vocabulary * hidden)
    full = step_of(tmp_path, '[tune]\nmethod = "full"\n')
    assert full.parameters == full.total == step.total
    unknown = step_of(tmp_path, "[tune]\nrank = 4\n", model_type="mamba")
    assert (unknown.parameters, unknown.total) == (None, None)


def test_adapters_leave_stacked_experts_alone(tmp_path: Path) -> None:
    experts = {"model_type": "qwen3_moe", "num_experts": 4, "moe_intermediate_size": 32}
    outcome = planned(tmp_path, "[tune]\nrank = 4\n", **experts)
    assert outcome.plan.tune is not None
    assert outcome.plan.tune.peft is not None
    assert outcome.plan.tune.peft["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    (reason,) = (c.reason for c in outcome.plan.choices if c.key == "tune.targets")
    assert "experts" in reason


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    text = '[tune]\nmodules_to_save = ["lm_head"]\n'
    tied = step_of(tmp_path, text, tie_word_embeddings=True)
    assert (tied.peft or {})["ensure_weight_tying"] is True
    assert "ensure_weight_tying" not in (step_of(tmp_path, text).peft or {})


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ('[tune]\ntargets = ["q_porj"]', "FTC505", "did you mean `q_proj`?"),
        ('[tune]\nmodules_to_save = ["lm_haed"]', "FTC505", "did you mean `lm_head`?"),
        ('[tune]\nmethod = "freeze"\nmodules = ["layers.*.mpl"]', "FTC505", "did you mean `mlp`?"),
        ('[tune]\nmethod = "freeze"', "FTC540", "last_layers"),
        ('[tune]\nmethod = "freeze"\nlast_layers = 3', "FTC543", "last_layers = 2"),
        ('[tune]\ntargets = ["lm_head"]', "FTC543", "modules_to_save"),
        ('[tune]\ntargets = ["input_layernorm"]', "FTC543", 'method = "ln"'),
        ('[tune]\ninit = "orthogonal"\nrank = 3', "FTC543", "rank = 4"),
        ('[tune]\ninit = "pissa"\nrank = 65', "FTC543", "rank = 64"),
        ('[tune]\ninit = "mica"\ndora = true', "FTC543", "remove `dora`"),
        ('[tune]\nmethod = "oft"\nblock = 48', "FTC543", "block = "),
        ('[tune]\nmethod = "prefix"\n[train]\ngradient_checkpointing = true', "FTC541", "remove"),
        ('[data]\npacking = true\n[tune]\nmethod = "prompt"', "FTC541", "packing = false"),
        ('[tune]\nmethod = "qlora"\nmodules_to_save = ["lm_head"]', "FTC541", "bfloat16"),
        ('[train]\noptimizer = "paged_adamw"', "FTC544", "adamw_8bit"),
        ('[train]\noptimizer = "stable_adamw"', "FTC544", "pip install torch-optimi"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, text: str, code: str, said: str) -> None:
    finding = planned(tmp_path, text + "\n").findings[0]
    assert finding.code == code
    assert said in " ".join(finding.help)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    (finding,) = planned(tmp_path, '[tune]\nmethod = "qlora"\n', packages={"torch": "2.13.0"}).findings
    assert (finding.code, finding.help) == ("FTC542", ("pip install bitsandbytes",))
    (finding,) = planned(tmp_path, '[tune]\nmethod = "loha"\n', model_type="gpt2").findings
    assert (finding.code, "Conv1D" in finding.message) == ("FTC543", True)
    few = {"quantization_config": {"quant_method": "gptq"}}
    (finding,) = planned(tmp_path, '[tune]\nmethod = "full"\n', **few).findings
    assert (finding.code, "gptq" in finding.message) == ("FTC541", True)
    text = '[train]\noptimizer = "galore_adamw"\n'
    (finding,) = planned(tmp_path, text, packages={**PACKAGES, "galore-torch": "1.0"}).findings
    assert (finding.code, "adapters have none" in finding.message) == ("FTC544", True)


def test_layer_names_are_held_against_the_weights_where_the_model_type_is_unknown(tmp_path: Path) -> None:
    (finding,) = planned(tmp_path, '[tune]\ntargets = ["in_porj"]\n', model_type="mamba").findings
    assert (finding.code, finding.help) == ("FTC505", ("did you mean `in_proj`?",))


def test_the_recipe_names_every_optimizer() -> None:
    assert get_args(Train.model_fields["optimizer"].annotation) == tuple(OPTIMIZERS)


def test_every_method_says_what_it_is() -> None:
    for name in tuning.METHODS:
        method = tuning.load(name)
        assert method.name == name
        assert set(descriptions(method.options)) == set(method.options.model_fields)
    assert not set(tuning.REFUSED) & set(tuning.METHODS)


def test_virtual_tokens_are_not_packed_unasked(tmp_path: Path) -> None:
    context = context_of(tmp_path, ROWS, '[train]\ndevice = "cuda"\n[tune]\nmethod = "prompt"\n')
    outcome = run_passes(Plan(name="x", seed=0), context, after="packing")
    assert outcome.plan.packing is not None
    assert not outcome.plan.packing.packed
    (reason,) = (c.reason for c in outcome.plan.choices if c.key == "data.packing")
    assert reason == "prompt tuning cannot keep packed rows apart"
