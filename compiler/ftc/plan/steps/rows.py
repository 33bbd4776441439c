"""How rows are rendered, chosen and held out, and what they are once compiled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.plan.account import Ledger
from ftc.plan.steps.base import FileDigest
from ftc.plan.steps.sources import QueryStep
from ftc.recipe.base import Frozen


class RenderStep(Frozen):
    """How a row becomes text with trained spans.

    `form` says what a row is: `chat` (messages through the chat template), `completion` (prompt then
    completion as plain text, the end token after it) or `text` (one document, the end token after it).
    `fields` maps a role (system, user, assistant, prompt, completion, text, messages) to the Jinja
    source that makes it of the row's columns, or to None where the column of that name is taken as it is.
    `stop_tokens` are the tokens that may end a turn of the chat template; the proof decides which does.
    `history` says what becomes of a turn that inference would render otherwise, `date` (year-month-day) is
    the day a chat template sees that prints one. Under the convention `trl` the loss follows the
    generation blocks of `training_template`, which writes the rows' text; None stands for
    `chat_template` itself. `reasoning` and `tool_calls` say whether those parts of a turn carry loss.
    `redact` names the kinds of personal data and secrets that are replaced in a row before all this.
    Where a row is several texts that train together, `members` names the field that ends each of them,
    behind the `prompt` they share, if there is one. `carried` are columns that travel with the tokens.
    Where nothing of a row is predicted, `closed` says that it is read whole, with its end token.
    """

    form: Literal["chat", "completion", "text"]
    fields: dict[str, str | None]
    chat_template: str | None
    training_template: str | None = None
    convention: Literal["inference", "trl"] = "inference"
    reasoning: Literal["train", "mask"] = "train"
    tool_calls: Literal["train", "mask"] = "train"
    variables: dict[str, JsonValue]
    date: str | None = None
    stop_tokens: tuple[str, ...] = ()
    history: Literal["unroll", "error", "exclude", "keep"] = "error"
    train_on: Literal["assistant", "last_assistant", "completion", "all", "nothing"]
    unproved: Literal["error", "drop"]
    redact: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    closed: bool = False


class LimitStep(Frozen):
    """How long a row may be, in tokens, and what becomes of one that is longer or invalid."""

    max_length: Annotated[int, Field(ge=1)]
    too_long: Literal["error", "drop", "truncate", "split"]
    invalid: Literal["error", "drop"]


class SampleStep(Frozen):
    """A part of the queries' rows: those with the smallest hashes of their ids.

    Exactly one of `fraction` and `rows` is set.
    """

    fraction: float | None
    rows: int | None


class DedupeStep(Frozen):
    """Rows that go because an earlier one has the same in `columns`, or nearly the same.

    Near are rows whose sets of `words` words in a row have a Jaccard similarity of at least `similarity`;
    pairs are found by MinHash (`hashes` in `bands`) and then compared exactly. All None for `exact`.
    """

    method: Literal["exact", "near"]
    columns: tuple[str, ...]
    similarity: float | None = None
    words: int | None = None
    hashes: int | None = None
    bands: int | None = None


class SelectionStep(Frozen):
    """Which of the queries' rows go on: a sample of them, then without duplicates."""

    sample: SampleStep | None
    dedupe: DedupeStep | None
    seed: int


class SplitStep(Frozen):
    """Which rows are held out: by a hash of `keys`, so that equal keys fall on one side.

    Exactly one of `fraction`, `rows`, `column` and `query` is set, or none (nothing is held out). With
    `stratify` each value of that column is held out in proportion. `column` says the side of each row;
    rows of `query` are held out, known by their values of `keys`.
    """

    fraction: float | None
    rows: int | None
    keys: tuple[str, ...]
    seed: int
    stratify: str | None = None
    column: str | None = None
    query: QueryStep | None = None

    @property
    def holds_out(self) -> bool:
        """Whether any rows are to be held out."""
        return any(way is not None for way in (self.fraction, self.rows, self.column, self.query))


class MixedRows(Frozen):
    """What one query of a mix gives to a pass of training.

    `rows` are there to be trained on, `used` of them are, and `trained` counts them as often as each is
    trained on in one pass.
    """

    query: str
    rows: int
    used: int
    trained: int


class Shard(Frozen):
    """One Parquet file of compiled rows."""

    file: FileDigest
    rows: int


class Part(Frozen):
    """The compiled rows of one side of the split, with counts in tokens.

    Of rows with several members the longest and the shortest are those by their longest member.
    `repeats` counts the times beyond the first that one pass over the part uses its rows.
    """

    shards: tuple[Shard, ...]
    rows: int
    tokens: int
    trained_tokens: int
    longest: int
    shortest: int
    repeats: int = 0


class PackingStep(Frozen):
    """Whether training sequences hold several rows, each of which sees itself alone."""

    packed: bool


class Sequences(Frozen):
    """What one pass trains on where that is not simply the training rows, one by one.

    The file has a list of row numbers (from 0, in the order of the shards) for each sequence. `rows` counts
    rows as often as they are used, `tokens` theirs, `longest` those of the longest sequence. `capacity` is
    the most tokens of a sequence; None where each holds one row and some rows are repeated.
    """

    file: FileDigest
    count: int
    rows: int
    tokens: int
    longest: int
    capacity: int | None

    @property
    def utilisation(self) -> float:
        """Part of the sequences' room that is filled; 1 where they hold one row each."""
        return self.tokens / (self.count * self.capacity) if self.capacity else 1.0


class DataStep(Frozen):
    """The compiled data: both parts, the ledger, and the labels of a closed answer set.

    `classes` are those that a classifier tells apart, in the order of its scores.
    It says what the rows are, not how they were made: a release of ftc that compiles the same bytes makes
    the same plan.
    """

    train: Part
    eval: Part | None
    ledger: Ledger
    labels: tuple[str, ...] | None
    longest_target: int
    mix: tuple[MixedRows, ...] = ()
    sequences: Sequences | None = None
    classes: tuple[str, ...] = ()
