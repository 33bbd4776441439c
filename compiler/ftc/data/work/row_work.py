"""The work on each row: render and mask, tokenise, limit. A batch of rows becomes a batch of tokens."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ftc.data.query.typed_values import Shape, converted, converter, is_right
from ftc.data.rendering.example import Members, Refusal, Rendered, Unrolled
from ftc.data.rendering.renderer import Made, Renderer
from ftc.data.selection.hashes import row_hash, to_json
from ftc.data.tokens.encoders import BACKENDS, REFERENCE, Backend, Tokenizers, Traits
from ftc.data.tokens.gate import Sampled
from ftc.data.tokens.joints import Joints
from ftc.data.tokens.limit import Limited, limited, together, whole
from ftc.data.tokens.pieces import Pieces
from ftc.data.tokens.tokenise import Encoder, Tokens
from ftc.data.tokens.tokenise_whole import WholeEncoder
from ftc.data.work.batch import EVAL, TRAIN, Account, Batch, Rows
from ftc.data.work.crew import Preparation
from ftc.lints.features import Features, RowLints
from ftc.lints.redact import Redactor, replaced_by
from ftc.lints.row import Row
from ftc.lints.spec import LintSpec
from ftc.plan.steps import LimitStep, RenderStep, SplitStep, TokenizerStep
from ftc.recipe.templates import template_variables

AUDITED_FIRST = 3
AUDITED_OF, AUDITED_ALIKE = 100, 20_000
"""One row of `AUDITED_OF` is compared with transformers' own rendering, chosen by the hash of its id.

Behind the first `AUDITED_ALIKE` rows fewer are: as many again each time the rows are 2.7 times as many.
"""


OTHERWISE = Refusal("unproved", "FTC312", "the model's tokenizer would encode it otherwise, a mistake of ftc")
"""What becomes of a text whose tokens are not those that an embedding model would be given."""

UNROLLED = "the template writes a turn otherwise once others follow it: {} rows, one for each form"


@dataclass(frozen=True)
class RowSpec:
    """Everything the work on a row needs; it can be handed to another process.

    `shapes` say what has to be put right in the values of each column. `backend` is the tokenizer library;
    one that is not the reference is told the tokenizer's `traits`, and its work is sampled for the gate.
    """

    tokenizer_file: Path
    tokenizer: TokenizerStep
    render: RenderStep
    limits: LimitStep
    split: SplitStep
    threshold: int
    shapes: Mapping[str, Shape | None]
    backend: str = REFERENCE
    traits: Traits | None = None
    lints: LintSpec = field(default_factory=LintSpec)

    @property
    def preparation(self) -> Preparation:
        """What of it a process can load before there are rows."""
        return Preparation(self.tokenizer_file, self.backend, self.render.form == "chat")


@contextmanager
def without_collector() -> Iterator[None]:
    """Without the collector of cyclic garbage, which would look at the objects of a batch again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class RowCompiler:
    """Compiles batches of rows; what becomes of a row depends on that row alone.

    `loaded` is the spec's tokenizer library, where that has been loaded.
    """

    def __init__(self, spec: RowSpec, loaded: Backend | None = None) -> None:
        self._spec = spec
        encoding = loaded or BACKENDS[spec.backend if spec.traits else REFERENCE](spec.tokenizer_file)
        self._sampled = Sampled(encoding) if spec.traits else None
        backend = self._sampled or encoding
        self._renderer = Renderer(spec.render, spec.tokenizer, backend.text(spec.tokenizer.eos_id))
        self._encoder = _encoder(spec, backend)
        self._convert = {name: converter(shape) for name, shape in spec.shapes.items()}
        self._redactor = Redactor(spec.render.redact) if spec.render.redact else None
        self._lints, self._rendered_columns = RowLints(spec.lints), rendered_columns(spec.render)

    def __call__(self, rows: Rows) -> Batch:
        """The rows of a batch that can be used, compiled, and an account of the others."""
        with without_collector():
            return self._compiled(rows)

    def _compiled(self, rows: Rows) -> Batch:
        given = self._values(rows)
        sides = rows.sides if not self._spec.threshold else self._sides(given)
        values, redacted = self._redacted(given)
        audited = [_audited(number, id_) for number, id_ in enumerate(rows.ids, rows.number)]
        made = [self._rendered(value, audit) for value, audit in zip(values, audited, strict=True)]
        ids = self._safe_ids(rows.ids, made)
        flat = [(row, part, text) for row, one in enumerate(made) for part, text in _texts(one)]
        numbers, rendered = [row for row, _, _ in flat], [text for _, _, text in flat]
        compared = [number for number, row in enumerate(numbers) if audited[row]]
        encoded = self._encoder.encode(rendered, compared)
        silent = self._spec.render.train_on == "nothing"
        unlike = self._unlike(rendered, compared, encoded)
        left = whole(limited(encoded, self._spec.limits, silent=silent), numbers)
        refusals = {row: one for row, one in enumerate(made) if isinstance(one, Refusal)}
        refusals |= {numbers[row]: refusal for row, refusal in reversed(left.refusals.items())}
        refusals |= {numbers[row]: OTHERWISE for row in unlike}
        redacted = {row: kinds for row, kinds in redacted.items() if row not in refusals}
        counts = np.bincount(left.rows, minlength=len(numbers)).tolist()
        cut = {numbers[row]: (length, counts[row]) for row, length in left.cut.items()}
        members = None
        if self._spec.render.members:
            left, members = together(left, len(self._spec.render.members))
        kept = [numbers[row] for row in left.rows.tolist()]
        texts = [rendered[row] for row in left.rows.tolist()]
        cuts = zip(left.rows.tolist(), left.parts.tolist(), strict=True)
        parts = [(numbers[row], part or flat[row][1]) for row, part in cuts]
        unrolled = {row: len(one.rows) for row, one in enumerate(made) if isinstance(one, Unrolled)}
        return Batch(
            ids=[f"{ids[row]}/{part}" if part else ids[row] for row, part in parts],
            tokens=left.tokens.tokens,
            mask=left.tokens.mask,
            offsets=left.tokens.offsets,
            prompt_lengths=left.tokens.prompts,
            answer_lengths=left.answers.astype(np.int32),
            targets=_targets(texts, left),
            sides=sides[kept],
            copies=rows.copies[kept],
            account=self._account(ids, refusals, cut, redacted, unrolled),
            number=rows.number,
            read=len(rows),
            samples=self._sampled.taken() if self._sampled else None,
            features=self._looked_at(ids, parts, texts, values),
            member_lengths=members,
            carried=self._carried(kept, values) if self._spec.render.carried else None,
        )

    def _unlike(self, texts: Sequence[Rendered], compared: Sequence[int], encoded: Tokens) -> list[int]:
        """Of the compared texts of an embedding model those which its tokenizer would encode otherwise."""
        if not (self._spec.render.train_on == "nothing" and self._spec.render.members):
            return []
        from tokenizers import Tokenizer

        own: Any = Tokenizer.from_file(str(self._spec.tokenizer_file))
        own.no_truncation()
        own.no_padding()
        end = len(own.id_to_token(self._spec.tokenizer.eos_id)) if self._spec.render.closed else 0
        bounds = encoded.offsets.tolist()
        made = {row: encoded.tokens[bounds[row] : bounds[row + 1]].tolist() for row in compared}
        plain = {row: _without(texts[row].text, end) for row in made}
        return [row for row, tokens in made.items() if own.encode(plain[row]).ids != tokens]

    def _carried(self, rows: Sequence[int], values: Sequence[Mapping[str, Any]]) -> list[str]:
        """The columns that travel with the tokens, as one JSON object a row."""
        names = self._spec.render.carried
        return [to_json({name: values[row][name] for name in names}) for row in rows]

    def _values(self, rows: Rows) -> list[dict[str, Any]]:
        names = rows.columns.schema.names
        columns = [
            column.to_pylist()
            if is_right(column, self._spec.shapes.get(name))
            else converted(column.to_pylist(), self._convert.get(name))
            for name, column in zip(names, rows.columns.columns, strict=True)
        ]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def _redacted(
        self, given: list[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], dict[int, Mapping[str, int]]]:
        """The values without what the plan redacts, and how often each kind was in a row, by its number."""
        if self._redactor is None:
            return given, {}
        rows = [self._redactor.row(values) for values in given]
        return [values for values, _ in rows], {row: kinds for row, (_, kinds) in enumerate(rows) if kinds}

    def _safe_ids(self, ids: list[str], made: list[Made]) -> list[str]:
        """The ids; rows whose id holds what is to go are refused, as their ids would stay everywhere."""
        if self._redactor is None:
            return ids
        safe = [self._redactor.text(id_) for id_ in ids]
        for row in [row for row, id_ in enumerate(ids) if safe[row] != id_]:
            made[row] = Refusal("invalid", "FTC815", "its id holds what is redacted")
        return safe

    def _looked_at(
        self,
        ids: Sequence[str],
        parts: Sequence[tuple[int, int]],
        texts: Sequence[Rendered],
        values: Sequence[Mapping[str, Any]],
    ) -> Features:
        """What the lints keep of the rows, each by its number and its part (0: all of it)."""
        names = [name for name in self._rendered_columns if values and name in values[0]]
        looked = [
            Row(
                id=f"{ids[row]}/{part}" if part else ids[row],
                asked=text.text if text.prompt is None else text.prompt,
                answer=text.target,
                values=tuple(values[row][name] for name in names),
                part=part,
            )
            for (row, part), text in zip(parts, texts, strict=True)
        ]
        return self._lints.look(looked)

    def _sides(self, values: Sequence[Mapping[str, Any]]) -> Any:
        split, threshold = self._spec.split, self._spec.threshold
        return np.array(
            [EVAL if row_hash(split, row) < threshold else TRAIN for row in values], dtype=np.uint8
        )

    def _rendered(self, values: Mapping[str, Any], audit: bool) -> Made:
        made = self._renderer(values)
        if isinstance(made, Refusal) or not audit:
            return made
        return self._renderer.audit(values, made) or made

    def _account(
        self,
        ids: Sequence[str],
        refusals: Mapping[int, Refusal],
        cut: Mapping[int, tuple[int, int]],
        redacted: Mapping[int, Mapping[str, int]],
        unrolled: Mapping[int, int],
    ) -> list[Account]:
        several = {row: count for row, count in unrolled.items() if row not in refusals}
        found = [(row, self._cut(ids[row], *how)) for row, how in cut.items()]
        found += [(row, Account(ids[row], "redacted", replaced_by(kinds))) for row, kinds in redacted.items()]
        found += [
            (row, Account(ids[row], refusal.fate, refusal.reason, refusal.code))
            for row, refusal in refusals.items()
        ]
        found += [
            (row, Account(ids[row], "unrolled", UNROLLED.format(count), more=count - 1))
            for row, count in several.items()
        ]
        return [account for _, account in sorted(found)]

    def _cut(self, id_: str, length: int, parts: int) -> Account:
        """The line of a row that was longer than the limit and is kept."""
        limits = self._spec.limits
        most = limits.max_length
        if limits.too_long == "truncate":
            return Account(id_, "truncated", f"cut to {most} tokens")
        said = f"{length} tokens became {parts} rows of at most {most}"
        left_out = length - parts * most
        if left_out > 0:
            said += f"; the last {left_out} cannot be trained: no token is before it in its row"
        return Account(id_, "split", said, more=parts - 1)


def _texts(made: Made) -> list[tuple[int, Rendered]]:
    """The texts of a row, each with its number from 1; 0 where it is the only one."""
    if isinstance(made, Refusal):
        return []
    if isinstance(made, Members):
        return [(0, text) for text in made.rows]
    texts = made.rows if isinstance(made, Unrolled) else (made,)
    return list(enumerate(texts, 1)) if len(texts) > 1 else [(0, texts[0])]


def rendered_columns(render: RenderStep) -> tuple[str, ...]:
    """The columns of which the text of a row is made."""
    fields = render.fields.items()
    used = [
        [name] if source is None else [word for word, _ in template_variables(source)]
        for name, source in fields
    ]
    return tuple(dict.fromkeys(name for names in used for name in names))


def _encoder(spec: RowSpec, backend: Backend) -> Encoder | WholeEncoder:
    """In pieces, as inference makes them; in one where TRL's convention asks for it."""
    bos = spec.tokenizer.bos_id if spec.render.form in ("completion", "text") else None
    traits = spec.traits
    if isinstance(backend, Tokenizers):
        if spec.render.convention == "trl":
            return WholeEncoder(backend, bos)
        traits = backend.traits
    assert traits is not None  # noqa: S101 - a fast back end is told them
    pieces = Pieces(backend, traits.safe_added, begins_texts=traits.begins_texts)
    return Encoder(pieces, bos, Joints(pieces, local=traits.splits_first))


def _audited(number: int, id_: str) -> bool:
    """Whether a row is compared, by its place among all rows and its id."""
    if number < AUDITED_FIRST:
        return True
    of = AUDITED_OF * max(number, AUDITED_ALIKE)
    return int.from_bytes(sha256(id_.encode()).digest()[:8], "big") % of < AUDITED_ALIKE


def _without(text: str, end: int) -> str:
    """A text without so many characters at its end."""
    return text[: len(text) - end]


def _targets(rendered: Sequence[Rendered], left: Limited) -> list[str | None]:
    lengths = left.tokens.prompts.tolist()
    return [text.target if length >= 0 else None for text, length in zip(rendered, lengths, strict=True)]
