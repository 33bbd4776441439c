"""Rows of a suite whose prompts stand among the training rows, token for token."""

from __future__ import annotations

import json
from pathlib import Path

from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.plan.steps import Part

KIND = "overlap"
CODE = ("data/overlap.py",)
SQL = """
with suite as (
  select id, list_slice(input_ids, 1, prompt_length) as prompt
  from read_parquet($suite) where prompt_length > 0
), trained as (
  select id, list_slice(input_ids, 1, prompt_length) as prompt
  from read_parquet($training) where prompt_length > 0
)
select suite.id, min(trained.id) from suite join trained using (prompt) group by all order by 1
"""


def overlapping(
    directory: Path, part: Part, training: Path, trained: Part, cache: Cache
) -> tuple[tuple[str, str], ...]:
    """Ids of the suite's rows, each with that of a training row with the same prompt; kept in the cache."""
    digests = [[shard.file.sha256 for shard in side.shards] for side in (part, trained)]
    key = cache_key(KIND, {"suite": digests[0], "training": digests[1]}, {}, code=code_digest(*CODE))
    kept = cache.recall(KIND, key)
    if kept is None:
        found = _found(directory, part, training, trained)
        cache.remember(KIND, key, json.dumps(found).encode())
        return tuple(found)
    return tuple((own, other) for own, other in json.loads(kept))


def _found(directory: Path, part: Part, training: Path, trained: Part) -> list[tuple[str, str]]:
    from ftc.facts.sandbox import connect

    con = connect()
    try:
        places = {
            "suite": [str(directory / shard.file.name) for shard in part.shards],
            "training": [str(training / shard.file.name) for shard in trained.shards],
        }
        return [(str(own), str(other)) for own, other in con.execute(SQL, places).fetchall()]
    finally:
        con.close()
