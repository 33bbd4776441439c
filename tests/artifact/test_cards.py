"""Model card, data card and Croissant metadata of a run, held to the readers that others wrote."""

from __future__ import annotations

import json
import logging
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.licenses import canonicalize_license_expression

from ftc.artifact.cards import croissant, data_card, metadata, model_card
from ftc.artifact.cards.metadata import licence_fields
from ftc.artifact.documents import Finished
from ftc.plan.canonical import digest
from ftc.plan.steps import EvalStep, FileDigest, Plan, SourceStep
from ftc.recipe import languages, licences
from ftc.recipe.card import Card
from tiny_plan import LABELS, Tiny, write_part

COMMIT = "a" * 40
CARD = """
[card]
title = "Tickets: sorted"
summary = "Sorts *tickets* by subject."
licence = "cc-by-sa-4.0"
language = ["en", "de"]
intended_use = "Sorting mail of customers."
out_of_scope = "Decisions about people."
authors = ["Acme, research"]
contact = "team@example.org"
tags = ["tickets", "yes"]
version = "1.2.0"
published = "2026-01-31"
citation = "@misc{tickets}"

[card.data]
licence = "MIT"
description = "Tickets and their subjects."
collection = "Written by customers in 2025."
personal_data = "Names were replaced."
"""


def figure(value: float | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "low": value / 2, "high": value * 2, "count": 9}


def metric(name: str, before: float | None, after: float | None) -> dict[str, Any]:
    change = {"difference": -0.5, "low": -1.0, "high": 0.0, "p_value": 0.01}
    sides = {"before": figure(before), "after": figure(after)}
    return {"metric": name, "title": f"the {name}", "better": "lower", **sides, "change": change}


def suite(name: str, *metrics: dict[str, Any]) -> dict[str, Any]:
    gates = [{"suite": name, "metric": metrics[0]["metric"], "gate": "< base", "bound": 1.0, "passed": False}]
    return {"suite": name, "rows": 9, "metrics": list(metrics), "gates": gates, "baselines": []}


MEASURED = {
    "before": {},
    "after": {},
    "suites": [
        suite("held_out", metric("loss", 2.0, 1e-7), metric("label_accuracy", None, None)),
        suite("what_was_known", metric("choice_accuracy", 0.75, 0.5)),
    ],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Real shards; of the model there are files alone, as no card looks into them."""
    root = tmp_path_factory.mktemp("cards")
    model = root / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (model / name).write_text(name)
    train, held_out = (
        write_part(root / "data", side, rows(side, count)) for side, count in (("train", 24), ("eval", 9))
    )
    return Tiny(root, model, train, held_out)


def rows(side: str, count: int) -> list[dict[str, Any]]:
    """Rows of different lengths, every other one without an answer."""
    return [
        {
            "id": f"{side}-{number}",
            "input_ids": list(range(number + 1)),
            "mask": [place % 2 == 0 for place in range(number + 1)],
            "prompt_length": number if number % 2 else None,
            "target": "a" if number % 2 else None,
        }
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def plan(tiny: Tiny) -> Plan:
    made = tiny.plan(metrics=("loss",), labels=LABELS)
    hub = SourceStep(
        name="t",
        location=f"hf://datasets/acme/tickets@{COMMIT}",
        format="parquet",
        options={},
        files=(FileDigest(name="a.parquet", bytes=3, sha256="b" * 64),),
    )
    held_out = made.eval
    assert made.model is not None
    model = made.model.model_copy(update={"kind": "hub", "location": "acme/base", "revision": COMMIT})
    known = EvalStep.model_construct(
        **{**dict(held_out or ()), "name": "what_was_known", "rows": _Shipped("forgetting", (hub,))}
    )
    return made.model_copy(update={"sources": (hub,), "model": model, "suites": (known,)})


class _Shipped:
    def __init__(self, shipped: str, sources: tuple[SourceStep, ...]) -> None:
        self.shipped, self.sources = shipped, sources


@pytest.fixture(scope="module")
def run(plan: Plan, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    directory = tmp_path_factory.mktemp("run")
    shutil.copytree(tiny.data, directory / "data")
    return Finished(
        plan=plan,
        digest=digest(plan.model_copy(update={"suites": ()})),
        directory=directory,
        name="tickets",
        recipe_text=CARD,
        measured=MEASURED,
    )


def test_the_hub_reads_metadata_and_results(run: Finished) -> None:
    from huggingface_hub import ModelCard

    content = model_card.document(run).decode()
    card = ModelCard(content)  # raises where the model index is wrong
    data = card.data
    assert (data.license, data.language, data.datasets) == ("cc-by-sa-4.0", ["en", "de"], ["acme/tickets"])
    assert (data.base_model, data.base_model_relation, data.library_name) == ("acme/base", "adapter", "peft")
    assert {"ftc", "sft", "lora", "tickets", "yes"} <= set(data.tags)
    assert data.model_name == "Tickets: sorted"
    found = {(one.dataset_name, one.metric_type): one for one in data.eval_results}
    assert {key[1] for key in found} == {"loss", "accuracy"}
    loss = found["held-out rows of tiny", "loss"]
    assert (loss.metric_value, loss.dataset_type, loss.dataset_split) == (1e-7, "acme/tickets", "eval")
    assert loss.dataset_revision == COMMIT
    assert found["what_was_known", "accuracy"].metric_value == 0.5
    # What was read writes the same metadata again.
    assert ModelCard(str(card)).data.to_dict() == data.to_dict()


def test_the_card_tells_what_the_recipe_says_and_what_was_measured(run: Finished) -> None:
    text = model_card.document(run).decode()
    parts = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    assert text.startswith("---\n")
    assert "# Tickets: sorted\n\nSorts *tickets* by subject.\n" in text
    assert "Sorting mail of customers." in parts["Intended use"]
    assert "The recipe does not say." in parts["Limitations"]
    assert "| the loss | 2.000 (1.000 to 4.000) | 0.000 (0.000 to 0.000) | -0.500 (p = 0.01) |" in text
    assert "the choice\\_accuracy" in parts["Forgetting"]
    assert "the choice\\_accuracy" not in parts["Evaluation"]
    assert "Not measured" in parts["Refusal"]
    assert "| `t` | `acme/tickets` | parquet | 33 |" in parts["Data"]
    assert "`ftc verify . --rebuild`" in parts["Reproduce"]
    assert "team\\@example.org" in parts["Who made it"]


def test_a_card_without_words_says_so(plan: Plan) -> None:
    text = model_card.readme_text(plan.model_copy(update={"suites": ()}), {"suites": []})
    assert text.count("The recipe does not say.") == 3
    assert "license" not in yaml.safe_load(text.split("---")[1])


def test_the_hub_reads_the_data_card(run: Finished) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard(data_card.document(run).decode())  # type: ignore[union-attr]
    assert (card.data.license, card.data.size_categories) == ("mit", ["n<1K"])
    assert card.data.source_datasets == ["acme/tickets"]
    for part in ("Written by customers in 2025.", "Names were replaced.", "held out", "train-00000.parquet"):
        assert part in card.text


def test_croissant_gives_every_row_of_the_shards(
    run: Finished, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mlcroissant validates without a word, and reads from the run's directory what PyArrow reads."""
    import mlcroissant
    import pyarrow.parquet as pq

    content = croissant.document(run)
    assert content is not None
    place = run.directory / "data" / "croissant.json"
    place.write_bytes(content)
    monkeypatch.setattr("socket.socket.connect", _offline)
    with caplog.at_level(logging.WARNING):
        data = mlcroissant.Dataset(str(place))
    assert not caplog.records, caplog.text
    assert data.metadata.issues.report() == ""
    for side in ("train", "eval"):
        paths = sorted((run.directory / "data").glob(f"{side}-*.parquet"))
        assert len(paths) == 2
        expected = [row for path in paths for row in pq.read_table(path).to_pylist()]
        found = list(data.records(side))
        assert [row[f"{side}/id"].decode() for row in found] == [row["id"] for row in expected]
        assert [list(row[f"{side}/input_ids"]) for row in found] == [row["input_ids"] for row in expected]
        assert [list(row[f"{side}/mask"]) for row in found] == [row["mask"] for row in expected]
    assert data.metadata.license == ["https://spdx.org/licenses/MIT.html"]


def test_croissant_lists_the_digests_of_the_shards(run: Finished) -> None:
    from hashlib import sha256

    found = json.loads(croissant.document(run) or b"")
    files = [one for one in found["distribution"] if one["@type"] == "cr:FileObject"]
    assert len(files) == 4
    for file in files:
        content = (run.directory / "data" / file["contentUrl"]).read_bytes()
        assert (sha256(content).hexdigest(), f"{len(content)} B") == (file["sha256"], file["contentSize"])


def _offline(*_: object) -> None:
    raise AssertionError("a connection")


def test_documents_do_not_depend_on_where_the_run_is(run: Finished, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other"
    shutil.copytree(run.directory, elsewhere)
    moved = Finished(**{**vars(run), "directory": elsewhere})
    for module in (model_card, data_card, croissant):
        assert module.document(moved) == module.document(run)
        assert str(run.directory).encode() not in (module.document(run) or b"")


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ({"licence": "MIT"}, {"license": "mit"}),
        ({"licence": "GPL-3.0-or-later"}, {"license": "gpl-3.0"}),
        ({"licence": "BlueOak-1.0.0"}, {"license": "other", "license_name": "blueoak-1.0.0"}),
        ({"licence": "MIT OR Apache-2.0"}, {"license": "other", "license_name": "mit or apache-2.0"}),
        (
            {"licence": "other", "licence_name": "Acme-1", "licence_link": "https://a.org/l"},
            {"license": "other", "license_name": "acme-1", "license_link": "https://a.org/l"},
        ),
        ({}, {}),
    ],
)
def test_licences_as_the_hub_wants_them(stated: dict[str, str], found: dict[str, str]) -> None:
    assert licence_fields(Card(**stated)) == found


@pytest.mark.parametrize("language", ["en", "ast", "zh-Hant", "pt-BR", "multilingual", "code"])
def test_languages_that_the_hub_takes(language: str) -> None:
    assert languages.is_known(language)
    assert set(languages.NAMES.values()) <= languages.CODES


def test_most_names_of_the_hub_are_spdx_too() -> None:
    named = [name for name in licences.HUB if licences.spdx(name)]
    assert len(named) > 40
    assert all(licences.hub_name(canonicalize_license_expression(name)) == name for name in named)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "yes",
        "1.0",
        "a: b",
        "# c",
        "'\"\\",
        "- x",
        "\x85\u2028\x7f",
        "emoji \U0001f600",
        "",
        "null",
        "a\nb",
    ],
)
def test_texts_survive_the_metadata(text: str) -> None:
    written = metadata.yaml_block({"a": text, "b": [text, {"c": text, "d": [1.5e-09, 3]}]})
    assert yaml.safe_load(written.split("---\n")[1]) == {
        "a": text,
        "b": [text, {"c": text, "d": [1.5e-09, 3]}],
    }


def test_the_card_stands_in_the_resolved_recipe() -> None:
    assert Card.model_validate(tomllib.loads(CARD)["card"]).data.licence == "MIT"
