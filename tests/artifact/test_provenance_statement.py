"""provenance.json through in-toto's own reader, and against the run that it is about."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage


@pytest.fixture(scope="module")
def value(finished: Path) -> dict:
    return json.loads((finished / "provenance.json").read_bytes())


@pytest.fixture(scope="module")
def predicate(value: dict) -> Provenance:
    """The predicate as SLSA's own message; an unknown field or a wrong type is refused."""
    return json_format.ParseDict(value["predicate"], Provenance())


def test_in_toto_reads_the_statement(value: dict) -> None:
    message = json_format.ParseDict(value, StatementMessage())
    Statement.copy_from_pb(message).validate()
    assert message.type == "https://in-toto.io/Statement/v1"
    assert message.predicate_type == "https://slsa.dev/provenance/v1"


def test_the_subjects_are_the_files_of_the_model(value: dict, finished: Path) -> None:
    message = json_format.ParseDict(value, StatementMessage())
    told = {subject.name: subject.digest["sha256"] for subject in message.subject}
    files = [path for path in (finished / "model").rglob("*") if path.is_file()]
    assert told == {
        path.relative_to(finished).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_the_materials_are_every_input(predicate: Provenance, finished: Path) -> None:
    materials = predicate.build_definition.resolved_dependencies
    for one in materials:
        ResourceDescriptor.copy_from_pb(one).validate()
    roles: dict[str, dict[str, str]] = {}
    for one in materials:
        roles.setdefault(one.annotations["role"], {})[one.name] = one.digest["sha256"]
    project = finished.parents[2]
    for role, names in {
        "base model": ("model/config.json", "model/tokenizer.json", "model/model.safetensors"),
        "source animals": ("animals.jsonl",),
        "source more": ("more.jsonl",),
    }.items():
        for name in names:
            told = roles[role].get(name) or roles[role][f"./{name}"]
            assert told == sha256((project / name).read_bytes()).hexdigest()
    addresses = {one.name: one.uri for one in materials if one.annotations["role"] == "package"}
    assert {"torch", "trl", "ftc", "duckdb", "python"} <= set(addresses)
    for uri in addresses.values():
        assert re.fullmatch(r"pkg:(pypi|generic)/[a-z0-9-]+@[A-Za-z0-9.%]+", uri), uri


def test_it_tells_of_the_plan_and_of_no_time_or_place(
    value: dict, predicate: Provenance, finished: Path
) -> None:
    plan = sha256((finished / "plan.json").read_bytes()).hexdigest()
    assert predicate.build_definition.external_parameters["plan"]["digest"]["sha256"] == plan
    assert predicate.run_details.metadata.invocation_id == f"urn:sha256:{plan}"
    assert not predicate.run_details.metadata.HasField("started_on")
    text = json.dumps(value)
    assert str(finished.parents[2]) not in text
    assert "environment.json" not in text
