"""A chain of two adapters through the real runtime: what the second one begins with, and how it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain_recipes import Chain
from ftc import api
from ftc.artifact.cards.loading import loading
from ftc.artifact.chain import manifest_digest, read_chain
from ftc.artifact.merged import BaseRun, quantised, rounding
from ftc.facts.cache import cache_root
from ftc.jobs.comparing import compare
from ftc.jobs.evaluating import evaluate
from ftc.plan.steps import QuantiseStep
from runtime.in_process import launched

LORA = ('method = "full"', 'method = "lora"\nrank = 4')


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Chain:
    chain = Chain(tmp_path_factory.mktemp("chain"), tiny_model)
    faster = ("steps = 2", "steps = 2\nlearning_rate = 1e-2")
    chain.write("domain", LORA, faster)
    chain.write("tickets", LORA, faster)
    return chain


@pytest.fixture(scope="module")
def done(chain: Chain) -> Iterator[api.BuildResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE_DIR", str(chain.root / "cache"))
        for module in ("ftc.artifact.build", "ftc.launch.local"):
            patch.setattr(f"{module}.launch", launched)
        result = api.build(chain.tickets)
        assert result.status == "built", result.findings
        yield result


@pytest.fixture(scope="module")
def merged(done: api.BuildResult) -> Path:
    (config,) = (cache_root() / "merged").glob("*/*/config.json")
    return config.parent


def test_the_second_run_begins_with_the_first_ones_adapter_in_the_weights(
    done: api.BuildResult, merged: Path, tiny_model: Path
):
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    by_peft = PeftModel.from_pretrained(base, str(done.base.run / "model")).merge_and_unload().state_dict()
    weights = load_file(merged / "model.safetensors")
    assert weights
    assert all(torch.equal(weights[name], by_peft[name]) for name in weights)
    untouched = load_file(tiny_model / "model.safetensors")
    assert not all(torch.equal(weights[name], untouched[name]) for name in weights)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (merged / name).read_bytes() == (done.base.run / "model" / name).read_bytes()


def test_the_run_says_what_it_builds_on(done: api.BuildResult):
    (link,) = read_chain(done.run)
    assert (done.run / link.place).resolve() == done.base.run.resolve()
    assert (link.name, link.plan, link.method, link.adapter) == ("domain", done.base.digest, "lora", True)
    assert link.manifest_sha256 == manifest_digest(done.base.run)
    card = (done.run / "README.md").read_text()
    assert "## Chain" in card
    assert link.place in card
    assert "base_model:" not in card
    assert json.loads((done.run / "model/adapter_config.json").read_text())[
        "base_model_name_or_path"
    ].startswith("run://domain/")


def test_the_lines_of_the_card_load_it(done: api.BuildResult, merged: Path, monkeypatch: pytest.MonkeyPatch):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    monkeypatch.chdir(done.run)
    found: dict[str, object] = {}
    exec(loading(done.plan, read_chain(done.run)), found)  # noqa: S102 - what the card tells people to type
    base = AutoModelForCausalLM.from_pretrained(merged, dtype="float32")
    model = PeftModel.from_pretrained(base, "model")
    ids = torch.arange(3, 40)[None]
    assert torch.equal(found["model"](ids).logits, model(ids).logits)


def test_what_rounding_the_merge_loses_is_measured_and_said(done: api.BuildResult, merged: Path):
    import torch
    from safetensors.torch import load_file

    base = BaseRun(done.base.run, done.base.plan, None)
    assert rounding(base, merged, "float32") is None
    old = load_file(Path(done.base.plan.model.location) / "model.safetensors")
    new = load_file(merged / "model.safetensors")
    changed = [name for name in old if not torch.equal(old[name], new[name])]
    lost = sum((new[n].bfloat16().double() - new[n].double()).pow(2).sum() for n in changed)
    change = sum((new[n].double() - old[n].double()).pow(2).sum() for n in changed)
    report = json.loads((merged / "merge.json").read_text())
    assert report["weights_changed"] == len(changed) == 14
    assert report["lost"]["bfloat16"] == pytest.approx(float((lost / change) ** 0.5), rel=1e-6)
    said = rounding(base, merged, "bfloat16")
    assert said.code == "FTC586"
    assert f"{100 * report['lost']['bfloat16']:.2g} %" in said.message


def test_an_adapter_of_a_model_in_few_bits_is_named(done: api.BuildResult):
    plan = done.base.plan
    assert quantised(BaseRun(done.base.run, plan, None)) is None
    tune = plan.tune.model_copy(update={"quantise": QuantiseStep.model_construct()})
    few_bits = BaseRun(done.base.run, plan.model_copy(update={"tune": tune}), None)
    assert quantised(few_bits).code == "FTC587"


def test_a_run_on_another_is_measured_later_on_its_own_suites(done: api.BuildResult, chain: Chain):
    found = evaluate(done.run, str(chain.tickets))
    assert found.evaluation is not None, found.findings
    assert {when: found.evaluation[when] for when in ("before", "after")} == {
        when: done.evaluation[when] for when in ("before", "after")
    }
    assert evaluate(done.run, str(chain.tickets)).directory == found.directory
    (suite,) = compare(done.run, done.run).suites
    assert (suite.rows, suite.flips) == (8, ())


def test_a_run_on_another_is_measured_later_on_a_shipped_suite(done: api.BuildResult):
    found = evaluate(done.run, "forgetting")
    assert found.evaluation is not None, found.findings
    (suite,) = found.evaluation["suites"]
    assert (suite["suite"], suite["rows"]) == ("forgetting", 117)
    names = [suite.suite for suite in compare(done.run, done.run).suites]
    assert names == ["held_out", "forgetting"]


def test_runs_of_two_bases_are_not_measured_as_one(done: api.BuildResult, chain: Chain):
    found = evaluate(done.base.run, str(chain.tickets))
    assert [one.code for one in found.findings] == ["FTC732"]
    assert "another base model" in found.findings[0].message
