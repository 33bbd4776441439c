"""Every key of a peer's file has one verdict, and the recipe is one that `ftc check` has nothing against."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftc.importing import PEERS as TABLE
from ftc.importing import load
from ftc.importing.document import leaves
from ftc.importing.work import Imported, Wish, import_file
from ftc.recipe.load import load_recipe
from importing.peer_configs import ALL, OBJECTIVES, PEERS, Import, text_of

NAMES = {"axolotl": "base_model", "llamafactory": "model_name_or_path", "trl": "model_name_or_path"}
DATA: dict[str, dict[str, Any]] = {
    "axolotl": {"datasets": [{"path": "rows.jsonl", "type": "chat_template"}]},
    "llamafactory": {"dataset": "tasks"},
    "trl": {"dataset_name": "org/talks"},
}


def judged_once(imported: Imported, values: dict[str, Any]) -> None:
    """Each value of the file lies under exactly one verdict, and no verdict is of anything else."""
    there = list(leaves(values))
    for leaf in there:
        over = [path for path in imported.verdicts if leaf[: len(path)] == path]
        assert len(over) == 1, (leaf, over)
    for path in imported.verdicts:
        assert any(leaf[: len(path)] == path for leaf in there), path
    for path, verdict in imported.verdicts.items():
        assert bool(verdict.to) == (verdict.kind == "carried"), (path, verdict)
        assert verdict.to or verdict.why, path


def check(imported: Imported, recipe: Path) -> dict[str, Any]:
    """The recipe as values; nothing is wrong with its text, and what the verdicts name stands in it."""
    assert imported.text is not None, imported.findings
    recipe.write_text(imported.text, encoding="utf-8")
    assert load_recipe(recipe).findings == ()
    values = tomllib.loads(imported.text)
    for path, verdict in imported.verdicts.items():
        for to in verdict.to:
            assert _at(values, to) is not None, (path, to)
    return values


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(values, dict):
            return values  # a part of an inline value, such as a query
        values = values.get(part)
    return values


@pytest.mark.parametrize(("peer", "name"), ALL)
def test_each_configuration_becomes_a_recipe(peer: str, name: str, imported: Import, home: Path) -> None:
    objective = "orpo" if (peer, name) == ("trl", "orpo") else None
    done = imported(peer=peer, name=name, objective=objective)
    judged_once(done, yaml.safe_load(text_of(peer, name)))
    assert [finding.message for finding in done.findings] == []
    values = check(done, home / "recipe.toml")
    stated = values.get("train", {}).get("objective", {})
    wanted = None if peer in ("axolotl", "trl") and name == "pretraining" else OBJECTIVES.get(name)
    assert stated.get("name") == wanted
    assert not [one for one in done.verdicts.values() if one.kind == "unknown"]
    assert all(len(line) <= 110 or "from" in line or "{" in line for line in done.text.splitlines())


@pytest.mark.parametrize(("peer", "name"), ALL)
def test_a_configuration_is_told_by_its_keys(peer: str, name: str, home: Path) -> None:
    file = home / "config.yaml"
    file.write_text(text_of(peer, name), encoding="utf-8")
    done = import_file(file, Wish(home / "recipe.toml"))
    if (peer, name) == ("trl", "orpo"):
        assert done.peer == "trl"  # `beta` alone: taken for DPO, as the output says
        assert done.objective == "dpo"
    assert done.peer == peer


def test_the_table_and_the_option_name_the_same_tools() -> None:
    from ftc.cli.import_config import TOOLS

    assert tuple(TABLE) == TOOLS
    assert set(TABLE) == set(PEERS)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5000),
    st.sampled_from([0.05, 1e-4, "2e-4", 1.5, float("nan")]),
    st.sampled_from(
        ["auto", "none", "no", "steps", "all", "linear", "a/b", "x.jsonl", "", "wörter 'quoted'"]
    ),
    st.lists(st.sampled_from(["q_proj", "mine", ""]), max_size=2),
    st.dictionaries(st.sampled_from(["a", "beta", "path"]), st.integers(0, 2), max_size=2),
)


@pytest.mark.parametrize("peer", list(TABLE))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_key_vanishes_whatever_its_value(peer: str, data: st.DataObject, home: Path) -> None:
    known = sorted(load(peer).known | {"no_such_key"})
    names = data.draw(st.lists(st.sampled_from(known), max_size=12, unique=True))
    values = {name: data.draw(SCALARS) for name in names}
    values = {NAMES[peer]: "org/base", **DATA[peer], **values}
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = import_file(file, Wish(home / "recipe.toml", peer))
    judged_once(done, yaml.safe_load(file.read_text(encoding="utf-8")))
    if done.text is None:
        assert {finding.code for finding in done.findings} & {"FTC123", "FTC125", "FTC230"}
    else:
        check(done, home / "recipe.toml")


def test_an_unknown_key_is_found_with_its_place_and_its_neighbour(imported: Import) -> None:
    done = imported("base_model: a/b\nlora_rnak: 3\ndatasets:\n- path: a.jsonl\nlearning_rate: 1e-4\n")
    (finding,) = done.findings
    assert (finding.code, finding.severity) == ("FTC124", "warning")
    assert finding.span is not None
    assert finding.span.place == "config.yaml:2:1"
    done = imported("base_model: a/b\nsequence_lenn: 3\ndatasets:\n- path: a.jsonl\n")
    assert done.findings[0].help == ("did you mean `sequence_len`?",)
    assert done.verdicts["sequence_lenn",].kind == "unknown"


def test_what_the_language_refuses_stays_out_and_says_so(imported: Import) -> None:
    done = imported(
        "model_name_or_path: a/b\ndataset_name: a/c\nuse_peft: true\nlora_dropout: 1.5\nlora_r: 0\n",
        peer="trl",
    )
    assert done.text is not None
    assert "dropout" not in done.text
    for key in ("lora_dropout", "lora_r"):
        assert done.verdicts[key,].kind == "not_carried"
        assert "must be" in done.verdicts[key,].why or "`tune." in done.verdicts[key,].why


def test_code_and_secrets_are_never_carried_over(imported: Import) -> None:
    text = text_of("trl", "qlora") + "trust_remote_code: true\nhub_token: hf_abcdefghijklmnop\nenv: {A: b}\n"
    done = imported(text)
    assert done.text is not None
    assert "hf_abc" not in done.text
    assert "trust_remote_code" not in done.text
    assert done.verdicts["trust_remote_code",].kind == "not_carried"
    assert done.verdicts["env",].kind == "not_carried"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("learning_rate: 1\n", "FTC122"),
        ("hello: world\n", "FTC122"),
        ("base_model: a/b\nadapter: lora\nsequence_len: 5\n", "FTC123"),
        ("sequence_len: 5\ndatasets: [{path: a.jsonl}]\n", "FTC123"),
        ("base_model: a/b\nrl: gdpo\ndatasets: [{path: a.jsonl}]\n", "FTC125"),
        ("model_name_or_path: a/b\nstage: ppo\ndataset: tasks\n", "FTC125"),
        ("model_name_or_path: a/b\nstage: sft\ndataset: nowhere\n", "FTC123"),
        ("model_name_or_path: a/b\nreward_funcs: []\ndataset_name: a/c\nnum_generations: 2\n", "FTC123"),
    ],
)
def test_without_what_a_recipe_needs_there_is_none(text: str, code: str, imported: Import) -> None:
    done = imported(text)
    assert done.text is None
    assert code in {finding.code for finding in done.findings}
    assert all(finding.help for finding in done.findings)


STAGES = ["sft", "pt", "rm", "dpo", "kto"]
ENTRY = {
    "axolotl": (
        "path name split revision ds_type data_files type field field_messages field_chosen field_tools "
        "roles message_property_mappings message_field_training roles_to_train drop_system_message shards odd"
    ),
    "trl": "path name data_dir data_files split columns fraction odd",
}
WORDS = st.one_of(
    SCALARS,
    st.sampled_from(["json", "alpaca", "sharegpt", "completion", "train[:5%]", "chatml.intel"]),
    st.fixed_dictionaries({"format": st.sampled_from(["{", "{0}", "{instruction.x}", "a\n{input}\n"])}),
    st.fixed_dictionaries({"train": st.sampled_from(["a.jsonl", 3]), "test": st.just("b.jsonl")}),
)


@pytest.mark.parametrize("peer", list(ENTRY))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_key_of_a_data_set_vanishes(peer: str, data: st.DataObject, home: Path) -> None:
    keys = st.sampled_from(ENTRY[peer].split())
    entries = data.draw(st.lists(st.dictionaries(keys, WORDS, max_size=6), min_size=1, max_size=3))
    values: dict[str, Any] = {NAMES[peer]: "org/base", "datasets": [{"path": "a/b"} | one for one in entries]}
    if peer == "axolotl":
        values["rl"] = data.draw(st.sampled_from([None, None, "dpo", "kto", "grpo"]))
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = import_file(file, Wish(home / "recipe.toml", peer))
    judged_once(done, yaml.safe_load(file.read_text(encoding="utf-8")))
    if done.text is not None:
        check(done, home / "recipe.toml")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_an_entry_of_dataset_info_says(data: st.DataObject, home: Path) -> None:
    columns = st.dictionaries(
        st.sampled_from(["prompt", "query", "response", "history", "system", "chosen", "rejected"]),
        st.sampled_from(["q", "it's", "", 3]),
        max_size=6,
    )
    entry = data.draw(
        st.fixed_dictionaries(
            {"columns": st.one_of(columns, SCALARS)},
            optional={
                "file_name": st.one_of(st.just("rows.json"), SCALARS),
                "hf_hub_url": SCALARS,
                "ranking": SCALARS,
                "formatting": st.sampled_from(["alpaca", "sharegpt", "openai", 3]),
                "tags": SCALARS,
            },
        )
    )
    (home / "dataset_info.json").write_text(json.dumps({"tasks": entry}), encoding="utf-8")
    values = {
        NAMES["llamafactory"]: "org/base",
        "dataset": "tasks",
        "stage": data.draw(st.sampled_from(STAGES)),
    }
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = import_file(file, Wish(home / "recipe.toml", "llamafactory"))
    judged_once(done, values)
    if done.text is not None:
        check(done, home / "recipe.toml")
