"""JSON Schema adherence: the answer is JSON that satisfies a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ftc.evaluation import checks
from ftc.evaluation.base import Answer, Metric, Options, ScoreError
from ftc.evaluation.valid_json import NotJsonError, parsed


@lru_cache(maxsize=1024)
def _validator(text: str) -> Any:
    """The validator of a schema, of the draft it states or 2020-12. Raises ScoreError where it is wrong."""
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    schema = json.loads(text)
    wrong = outside(schema) or invalid(schema)
    if wrong:
        raise ScoreError(wrong[0].message)
    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())


def fits(value: Any, schema: Mapping[str, Any] | bool) -> bool:
    """Whether a value satisfies a schema; `format` asserts nothing, as the standard has it."""
    return bool(_validator(json.dumps(schema, sort_keys=True)).is_valid(value))


def score(answer: Answer, options: Options) -> float | None:
    """1 where the answer is JSON and satisfies `json_schema`; None where neither suite nor row has one."""
    schema = options.of(answer).json_schema
    if schema is None:
        return None
    try:
        return float(fits(parsed(answer.answer), schema))
    except NotJsonError:
        return 0.0


def references(schema: Any) -> Iterator[str]:
    """All `$ref` of a schema."""
    inner: list[Any] = [*schema.values()] if isinstance(schema, Mapping) else []
    inner += schema if isinstance(schema, list | tuple) else []
    if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
        yield schema["$ref"]
    for part in inner:
        yield from references(part)


def check(options: Options) -> checks.Findings:
    """A schema that is missing or elsewhere, and a missing library."""
    schema = options.json_schema
    missing = checks.library("jsonschema", "jsonschema", "json_schema")
    if missing or schema is not None:
        return missing or outside(schema)
    own = "json_schema" in options.columns
    return () if own else checks.needed("json_schema", "json_schema", 'json_schema = { type = "object" }')


def outside(schema: Any) -> checks.Findings:
    """FTC572 where a schema refers to another document."""
    found = sorted({one for one in references(schema) if not one.startswith("#")})
    if not found:
        return ()
    why = f"it refers to {found[0]}, and nothing is fetched"
    return checks.unusable("json_schema", why, "put that under $defs, and refer to it as #/$defs/NAME")


def invalid(schema: Any) -> checks.Findings:
    """FTC572 where a schema is not valid after its own meta-schema."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        return checks.unusable("json_schema", error.message, f"correct {error.json_path} of the schema")
    return ()


def late(options: Options) -> checks.Findings:
    """A schema that is not valid."""
    return () if options.json_schema is None else invalid(options.json_schema)


METRIC = Metric("json_schema", "satisfies the JSON Schema", score=score, alone=True, check=check, late=late)
