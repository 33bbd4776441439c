"""The plan's nodes: frozen, fully resolved steps which serialise to canonical JSON.

A plan is what the runtime executes; nothing in it is `auto`. It holds no absolute path and no time,
so the same recipe on the same inputs gives the same bytes on any machine.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.plan.account import Ledger
from ftc.recipe.base import Frozen

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileDigest(Frozen):
    """One input or output file: its portable name, its size in bytes, its SHA-256."""

    name: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Digest


class Choice(Frozen):
    """A value the compiler picked where the recipe left it open, with the reason."""

    key: str
    value: JsonValue
    reason: str


class SourceStep(Frozen):
    """A declared source: its files in reading order and how they are read.

    What has no files, such as a table of a database, stands there as one, with the digest of its rows.
    """

    name: str
    location: str
    format: Literal["parquet", "jsonl", "json", "csv", "text", "arrow", "sqlite", "postgres", "dataset"]
    options: dict[str, JsonValue]
    files: tuple[FileDigest, ...]

    @property
    def sha256(self) -> str:
        """The source's digest: of one file its SHA-256, of several that of their list.

        The list is what `sha256sum` prints, sorted by name: digest, two spaces, name, line break.
        """
        if len(self.files) == 1:
            return self.files[0].sha256
        lines = (f"{file.sha256}  {file.name}\n" for file in sorted(self.files, key=lambda file: file.name))
        return sha256("".join(lines).encode()).hexdigest()


class ColumnType(Frozen):
    """A column of the query's result and its DuckDB type."""

    name: str
    type: str


class QueryStep(Frozen):
    """The SQL that makes examples of the sources.

    Of the queries of a mix each has a `name`, its `weight` among the others and how often its rows may
    `repeat`; the only query has none. `parameters` are the values of the SQL's `$name`.

    `traced_source` names the one source of which every result row is a row (a plain SELECT … FROM …
    WHERE …), so that rows the query leaves out can be named; None for joins, groups and the like.
    `id_column` is the recipe's own key; None derives ids.
    """

    name: str = ""
    sql: str
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    columns: tuple[ColumnType, ...]
    id_column: str | None
    traced_source: str | None
    weight: float | None = None
    repeat: int = 1


class ModelStep(Frozen):
    """The base model as the world has it.

    What another recipe makes has the kind `run`: its location is the name of that run, its revision the
    digest of that plan, from which its weights follow. They are not listed, as they need not be there yet;
    configuration and tokenizer are those which that run began with.
    """

    location: str
    kind: Literal["hub", "directory", "gguf", "run"]
    revision: str | None
    architecture: str
    context_length: int
    vocabulary: int
    config_sha256: Digest
    tokenizer_sha256: Digest
    weights: tuple[FileDigest, ...]
    dtype: Literal["float32", "bfloat16", "float16"]


class TokenizerStep(Frozen):
    """What of the tokenizer decides the tokens: special tokens by role, and their ids.

    `bos` is prepended to text that no chat template renders; None where the tokenizer adds none.
    """

    special_tokens: dict[str, str]
    bos_id: int | None
    eos_id: int
    pad_id: int


class RewardStep(Frozen):
    """What an answer is worth: a metric's score under options, or that of a function in a Python file.

    The `source` of the file is its whole text. Scores are multiplied by `weight` and added up.
    """

    name: str
    metric: str | None
    options: dict[str, JsonValue]
    python: str | None
    source: str | None
    weight: float


class ObjectiveStep(Frozen):
    """What is optimised, chosen from the columns or stated, and what the trainer needs for it.

    `batches` names how compiled rows become the trainer's batches, `head` what stands on the model's
    layers; with `reference` the model before training is there too.
    """

    name: str
    trainer: str
    config: str
    options: dict[str, JsonValue] = Field(default_factory=dict)
    batches: str = "rows"
    head: Literal["vocabulary", "scores", "classes", "embedding"] = "vocabulary"
    reference: bool = False
    rewards: tuple[RewardStep, ...] = ()
    teacher: ModelStep | None = None


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


class UnfrozenStep(Frozen):
    """Which of the base's own weights train where the others are frozen; a weight trains that any part names.

    `first` and `last` count decoder layers, and `modules` are patterns of module names
    (`tuning/modules.py`, fits).
    """

    first: Annotated[int, Field(ge=0)] = 0
    last: Annotated[int, Field(ge=0)] = 0
    embeddings: bool = False
    norms: bool = False
    head: bool = False
    modules: tuple[str, ...] = ()


class QuantiseStep(Frozen):
    """How bitsandbytes stores the frozen linear layers: NF4 or FP4 in blocks of 64, or LLM.int8().

    `double` quantises the blocks' scales in turn.
    """

    kind: Literal["nf4", "fp4", "int8"]
    double: bool = False


class TuneStep(Frozen):
    """Which weights train: the method, and its resolved options as PEFT takes them (None: no adapter).

    `unfrozen` says which weights of the base train where some are frozen. An adapter whose initialisation
    changes the base is `converted` when it is saved, so that it stands on the base as it was. `parameters`
    is how many numbers train, and `total` how many the model has; None where its modules are not known.
    """

    method: str
    peft: dict[str, JsonValue] | None
    unfrozen: UnfrozenStep | None = None
    quantise: QuantiseStep | None = None
    converted: bool = False
    parameters: int | None = None
    total: int | None = None


class WatchStep(Frozen):
    """The held-out loss while training: every `every` steps and after the last, `batch` rows at a time.

    Training ends after `patience` evaluations in a row of which none is better by more than `min_delta` than
    the best before them; never where that is None. `keep` says which weights are saved.
    """

    every: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    patience: int | None = None
    min_delta: float = 0.0
    keep: Literal["last", "best"] = "last"


class TrainStep(Frozen):
    """The schedule, and every argument of the trainer's config except places and devices.

    `divergence` says what becomes of training whose loss goes up for good, but stays finite.
    """

    steps: Annotated[int, Field(ge=1)]
    epochs: float
    batch: Annotated[int, Field(ge=1)]
    micro_batch: Annotated[int, Field(ge=1)]
    accumulation: Annotated[int, Field(ge=1)]
    save_every: Annotated[int, Field(ge=1)]
    arguments: dict[str, JsonValue]
    watch: WatchStep | None = None
    divergence: Literal["stop", "warn"] = "stop"


class SuiteRows(Frozen):
    """Rows of a suite's own: what they were made of, the compiled part, and the account of all of them.

    `shipped` names the suite of ftc's own that they are. Where there are no `references`, a stand-in was
    rendered in their place: prompts can be answered, and nothing else can be measured.
    """

    shipped: str | None = None
    sources: tuple[SourceStep, ...]
    query: QueryStep
    render: RenderStep
    part: Part
    ledger: Ledger
    references: bool = True


class FunctionStep(Frozen):
    """A metric of the user's own: the function `named` as `file.py:function`, and the file as it is kept."""

    name: str
    named: str
    file: FileDigest
    better: Literal["higher", "lower"]


class GateStep(Frozen):
    """What a metric must come to after training, compared with `factor` times the base's plus `offset`.

    `factor` is 0 where the base's value has no say. `text` is how the recipe writes it.
    """

    metric: str
    comparison: Literal[">=", ">", "<=", "<"]
    factor: float
    offset: float
    text: str


class BaselineStep(Frozen):
    """The suite's rows with training examples before each prompt, as the base model alone is measured.

    `examples` of them stand before each prompt, taken from `pool` training rows.
    """

    kind: Literal["few_shot", "retrieval"]
    examples: int
    pool: int
    part: Part
    ledger: Ledger


class JudgeStep(Frozen):
    """The model that judges answers; `key` names the environment variable that has its key."""

    endpoint: str
    model: str
    key: str | None
    prompt: str | None


class EvalStep(Frozen):
    """A suite: what is measured before and after training, on the held-out rows or on `rows` of its own.

    `metrics` are names of `ftc.evaluation.METRICS` and of `functions`; `options` what they read.
    """

    metrics: tuple[str, ...]
    labels: tuple[str, ...]
    max_new_tokens: int
    batch: int
    name: str = "held_out"
    rows: SuiteRows | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)
    functions: tuple[FunctionStep, ...] = ()
    gates: tuple[GateStep, ...] = ()
    baselines: tuple[BaselineStep, ...] = ()
    judge: JudgeStep | None = None


class EnvironmentStep(Frozen):
    """What of the machine decides the weights: the device, its thread count aside, and package versions."""

    device: Literal["cpu", "cuda", "mps"]
    packages: dict[str, str]


class Plan(Frozen):
    """The intermediate representation: passes fill it in, field by field, in one visible order.

    `eval` is the suite of the held-out rows, `suites` are all others.
    """

    format: Literal[1] = 1
    name: str
    seed: int
    sources: tuple[SourceStep, ...] | None = None
    queries: tuple[QueryStep, ...] | None = None
    model: ModelStep | None = None
    tokenizer: TokenizerStep | None = None
    objective: ObjectiveStep | None = None
    render: RenderStep | None = None
    limits: LimitStep | None = None
    selection: SelectionStep | None = None
    split: SplitStep | None = None
    packing: PackingStep | None = None
    data: DataStep | None = None
    tune: TuneStep | None = None
    train: TrainStep | None = None
    eval: EvalStep | None = None
    suites: tuple[EvalStep, ...] = ()
    environment: EnvironmentStep | None = None
    choices: tuple[Choice, ...] = ()

    @property
    def all_suites(self) -> tuple[EvalStep, ...]:
        """Every suite, that of the held-out rows first."""
        return (*((self.eval,) if self.eval is not None else ()), *self.suites)
