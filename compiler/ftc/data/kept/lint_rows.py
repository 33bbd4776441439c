"""The compiled rows as the lints ask for them, once all are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftc.data.columns import list_numbers
from ftc.data.kept.lookup import PIECE, rows_at
from ftc.data.kept.shards import GROUP_ROWS
from ftc.data.work.batch import NO_PROMPT
from ftc.lints.evidence import ShownRow, TokenRows
from ftc.plan.steps import Part

if TYPE_CHECKING:
    from ftc.data.query.result import Result


class CompiledReader:
    """Reads shards that have just been written; `group` is the column that the recipe splits by, if any."""

    def __init__(
        self,
        directory: Path,
        parts: Mapping[int, Part],
        tokenizer: Path,
        results: Sequence[Result],
        group: str | None,
    ) -> None:
        self._directory, self._parts, self._tokenizer_file = directory, parts, tokenizer
        self._results, self._group = results, group
        self._tokenizer: Any = None

    def token_rows(self, side: int) -> Iterator[TokenRows]:
        """The rows of one side in order, a row group at a time."""
        import pyarrow.parquet as pq

        for shard in self._parts[side].shards:
            with pq.ParquetFile(self._directory / shard.file.name) as file:
                for batch in file.iter_batches(GROUP_ROWS, columns=["input_ids", "prompt_length"]):
                    tokens, offsets = list_numbers(batch.column(0))
                    prompts = [NO_PROMPT if one is None else one for one in batch.column(1).to_pylist()]
                    yield TokenRows(tokens, offsets.astype(np.int64), np.array(prompts, dtype=np.int32))

    def shown(self, side: int, places: Sequence[int]) -> dict[int, ShownRow]:
        """Some rows of one side as text, by their numbers."""
        rows = rows_at(self._directory, self._parts[side], places)
        return {
            place: ShownRow(row.id, self._text(row.input_ids[: row.prompt_length]), row.target)
            for place, row in zip(places, rows, strict=True)
        }

    def _text(self, tokens: Sequence[int]) -> str:
        if self._tokenizer is None:
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(self._tokenizer_file))
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))

    def groups(self, ids: Sequence[str]) -> dict[str, str]:
        """The group of some rows, where the recipe splits by one; pieces of a row are in the row's group."""
        if self._group is None or not ids:
            return {}
        wanted = {id_: PIECE.sub("", id_) for id_ in ids}
        known: dict[str, str] = {}
        for result in self._results:
            for row_ids, columns in result.rows():
                here = set(row_ids) & {*ids, *wanted.values()}
                if here:
                    values = columns.column(self._group).to_pylist()
                    known |= {
                        id_: str(value) for id_, value in zip(row_ids, values, strict=True) if id_ in here
                    }
        return {id_: known.get(id_, known.get(row, "")) for id_, row in wanted.items()}


def group_of(keys: Sequence[str], rendered: Sequence[str]) -> str | None:
    """The column that rows are split by, unless it is what makes the prompt."""
    return keys[0] if len(keys) == 1 and keys[0] not in rendered else None


def special_tokens(tokenizer: Path) -> tuple[str, ...]:
    """The texts of a tokenizer's special tokens, which it takes for these tokens wherever they stand."""
    added = json.loads(tokenizer.read_bytes()).get("added_tokens", [])
    return tuple(sorted(token["content"] for token in added if token.get("special")))
