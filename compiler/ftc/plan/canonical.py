"""The plan's one and only byte form, whose digest names the run."""

from __future__ import annotations

import json
from hashlib import sha256

from ftc.plan.steps import Plan


def canonical_bytes(plan: Plan) -> bytes:
    """The plan as JSON in UTF-8: keys sorted, no needless space, one line end at the end."""
    value = plan.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def digest(plan: Plan) -> str:
    """SHA-256 of the canonical bytes, in hexadecimal."""
    return sha256(canonical_bytes(plan)).hexdigest()
