"""Recipes that build on recipes: how they are checked, planned and brought up to date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chain_recipes import Chain
from fake_runs import FakeRuntime, rows_of
from ftc import api
from ftc.cli.main import run
from ftc.plan.canonical import canonical_bytes


def codes(result: api.CheckResult | api.PlanResult | api.BuildResult) -> list[str]:
    return [finding.code for finding in result.findings]


def states(chain: Chain) -> list[tuple[str, str]]:
    return [(link.name, link.state) for link in api.plan(chain.tickets).chain]


def test_the_plan_is_the_same_before_and_after_its_base_is_built(chain: Chain, runtime: FakeRuntime):
    before = api.plan(chain.tickets)
    assert before.ok, before.findings
    assert [(link.name, link.state) for link in before.chain] == [
        ("domain", "not built"),
        ("tickets", "not built"),
    ]
    assert api.build(chain.domain).status == "built"
    after = api.plan(chain.tickets)
    assert [(link.name, link.state) for link in after.chain] == [
        ("domain", "built"),
        ("tickets", "not built"),
    ]
    assert canonical_bytes(before.plan) == canonical_bytes(after.plan)
    model = after.plan.model
    base = api.plan(chain.domain)
    assert (model.kind, model.revision, model.weights) == ("run", base.digest, ())
    assert model.location == f"run://domain/{base.digest[:16]}"
    assert model.config_sha256 == base.plan.model.config_sha256


def test_a_build_brings_the_chain_up_to_date_and_repeats_nothing(chain: Chain, runtime: FakeRuntime):
    done = api.build(chain.tickets)
    assert (done.status, done.base.status) == ("built", "built")
    assert [name for name, _ in runtime.built] == ["domain", "tickets"]
    assert runtime.models[1] == done.base.run / "model"
    again = api.build(chain.tickets)
    assert (again.status, again.base.status, len(runtime.built)) == ("up to date", "up to date", 2)
    assert states(chain) == [("domain", "built"), ("tickets", "built")]

    chain.write("tickets", ("steps = 2", "steps = 3"))
    assert states(chain) == [("domain", "built"), ("tickets", "stale")]
    other = api.build(chain.tickets)
    assert (other.status, other.base.status) == ("built", "up to date")

    chain.write("domain", ("steps = 2", "steps = 3"))
    links = api.plan(chain.tickets).chain
    assert [link.state for link in links] == ["stale", "stale"]
    assert "train" in links[0].reason
    assert "model" in links[1].reason
    assert api.build(chain.tickets).base.status == "built"
    assert [name for name, _ in runtime.built] == ["domain", "tickets", "tickets", "domain", "tickets"]


def test_a_stop_leaves_what_is_whole(chain: Chain, runtime: FakeRuntime):
    runtime.stop = lambda plan: plan.name == "tickets"
    stopped = api.build(chain.tickets)
    assert (stopped.status, stopped.base.status) == ("stopped", "built")
    assert states(chain) == [("domain", "built"), ("tickets", "unfinished")]
    runtime.stop = lambda _: False
    assert api.build(chain.tickets).status == "built"
    assert [name for name, _ in runtime.built] == ["domain", "tickets", "tickets"]


def test_nothing_is_built_on_what_failed(chain: Chain, runtime: FakeRuntime):
    runtime.fail = lambda plan: plan.name == "domain"
    failed = api.build(chain.tickets)
    assert (failed.status, failed.run, codes(failed)) == ("failed", None, ["FTC705", "FTC583"])
    assert [name for name, _ in runtime.built] == ["domain"]


def test_a_changed_base_is_refused_and_what_is_said_of_it(chain: Chain, runtime: FakeRuntime):
    run = api.build(chain.domain).run
    weights = run / "model/model.safetensors"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    refused = api.build(chain.tickets)
    assert (refused.status, codes(refused)) == ("failed", ["FTC584"])
    assert "model.safetensors" in refused.findings[0].message


def test_settings_on_the_command_line_are_for_the_named_recipe(chain: Chain):
    plain, changed = api.plan(chain.tickets), api.plan(chain.tickets, set=["train.steps=7"])
    assert changed.plan.train.steps == 7
    assert changed.plan.model == plain.plan.model


def test_the_template_of_the_base_carries_over(chain: Chain, tiny_model: Path):
    template = json.loads((tiny_model / "tokenizer_config.json").read_text())["chat_template"]
    (chain.root / "own.jinja").write_text("{# of our own #}" + template)
    stated = f'base = "{tiny_model}"\nchat_template = "../own.jinja"'
    rows = ('sources.docs = "../docs.jsonl"', 'sources.docs = "../qa.jsonl"')
    chain.write("domain", (f'base = "{tiny_model}"', stated), rows)
    result = api.plan(chain.tickets)
    assert result.ok, result.findings
    plan = result.plan
    assert "{# of our own #}" in plan.render.chat_template
    assert plan.render.chat_template == api.plan(chain.domain).plan.render.chat_template


def test_mistakes_of_the_base_stand_at_their_own_lines(chain: Chain, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(chain.root)
    chain.write("domain", ("steps = 2", "stepz = 2"))
    found = api.check("tickets/recipe.toml")
    assert not found.ok
    assert [(f.code, f.span.place) for f in found.findings] == [("FTC102", "domain/recipe.toml:9:1")]
    assert codes(api.plan("tickets/recipe.toml")) == ["FTC102"]
    assert api.build("tickets/recipe.toml").status == "invalid"


def test_circles_are_named(chain: Chain, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(chain.root)
    chain.write("domain", (f'base = "{chain.model}"', 'base = { recipe = "../tickets" }'))
    (finding,) = api.check("tickets/recipe.toml").findings
    assert finding.code == "FTC581"
    assert finding.notes == ("tickets/recipe.toml → domain/recipe.toml → tickets/recipe.toml",)
    assert finding.span.place == "domain/recipe.toml:3:19"
    chain.write("domain", (f'base = "{chain.model}"', 'base = { recipe = "." }'))
    (itself,) = api.check("domain/recipe.toml").findings
    assert itself.message == "the recipe is its own base"


@pytest.mark.parametrize("method", ["prompt", "prefix", "p_tuning"])
def test_trained_prompts_cannot_be_built_on(chain: Chain, method: str):
    chain.write("domain", ('method = "full"', f'method = "{method}"'))
    assert "FTC582" in codes(api.plan(chain.tickets))


def test_a_sample_of_a_chain_is_planned(chain: Chain):
    rows_of(chain.root / "docs.jsonl", [{"text": f"rows that no other test has {i}"} for i in range(24)])
    result = api.plan(chain.tickets, sample=4)
    assert result.ok, result.findings
    assert (result.digest, result.plan.model.revision) == (None, None)
    assert {link.state for link in result.chain} == {"not planned"}


def test_other_places_for_runs(chain: Chain, runtime: FakeRuntime):
    done = api.build(chain.tickets, runs=chain.root / "all")
    assert done.base.run.parent.parent == chain.root / "all"
    links = api.plan(chain.tickets, runs=chain.root / "all").chain
    assert [link.state for link in links] == ["built", "built"]
    assert states(chain) == [("domain", "not built"), ("tickets", "not built")]


def test_the_chain_on_the_screen_and_in_json(
    chain: Chain, runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
):
    def ftc(*arguments: str) -> str:
        capsys.readouterr()
        assert run([*arguments, str(chain.tickets)]) == 0
        return capsys.readouterr().out

    shown = ftc("plan")
    assert "domain: it has no run yet" in shown
    assert "together" in shown
    api.build(chain.domain)
    found = json.loads(ftc("plan", "--json"))["results"][0]["chain"]["recipes"]
    assert [(one["name"], one["state"]) for one in found] == [("domain", "built"), ("tickets", "not built")]
    built = ftc("build")
    assert "built on:" in built
    assert "domain  up to date" in built


def test_runs_and_recipes_of_a_chain_are_compared_and_shown(chain: Chain, runtime: FakeRuntime):
    run = api.build(chain.tickets).run
    chain.write("domain", ("steps = 2", "steps = 3"))
    difference = api.diff(run, chain.tickets)
    assert difference.ok
    assert any("model" in str(part) for part in difference.comparison.redone)
    assert api.examples(chain.tickets, rows=1).examples
