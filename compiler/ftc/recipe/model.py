"""The recipe language as types: what may stand in a recipe, its range, and its meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Strict, Tag

from ftc.recipe.base import Strings, Table, Text, auto_or_number, left_out
from ftc.recipe.card import Card
from ftc.recipe.evaluation import Evals
from ftc.recipe.forms import Tune
from ftc.recipe.hardware import Budget, Hardware
from ftc.recipe.project import Project
from ftc.recipe.rows import Parameter, Query, SourceEntry
from ftc.recipe.sweep import Sweep
from ftc.recipe.training import Train


class BaseRecipe(Table):
    """`base = { recipe = "../domain/recipe.toml" }`: training starts from what another recipe makes."""

    recipe: Text
    """Path of the other recipe, relative to this one."""


def _base_kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, BaseRecipe)) else "place"


class AddedToken(Table):
    """`{ text = "<call>", special = true }`: a token that the model's tokenizer does not have."""

    text: Text
    """What stands in the rows; it becomes one token wherever it stands."""

    special: bool = False
    """Whether it marks structure, so that it is left out where answers are read as text."""


def _token_kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, AddedToken)) else "text"


Token = Annotated[
    Annotated[Text, Tag("text")] | Annotated[AddedToken, Tag("table")], Discriminator(_token_kind)
]


class Model(Table):
    """`[model]`: where training starts."""

    base: Annotated[
        Annotated[Text, Tag("place")] | Annotated[BaseRecipe, Tag("table")], Discriminator(_base_kind)
    ]
    """Hub id, local directory, .gguf file, `package://NAME/FILE`, or `{ recipe = "PATH" }`."""

    revision: Text | None = None
    """Commit, tag or branch on the hub."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights and of the computation."""

    new_tokens: Annotated[tuple[Token, ...], Strict(strict=False), Field(min_length=1)] | None = None
    """Tokens that are added to the vocabulary, each one token from then on: texts, or tables."""

    trust_remote_code: bool = False
    """Whether Python code that comes with the model may run; its files are then pinned by their digests."""

    chat_template: Text | None = None
    """A Jinja file to use instead of the model's own template, or the name of one that ftc ships."""


def added_tokens(model: Model) -> tuple[AddedToken, ...]:
    """The new tokens of `[model]`, those too that are stated as texts."""
    stated = model.new_tokens or ()
    return tuple(AddedToken(text=token) if isinstance(token, str) else token for token in stated)


class Split(Table):
    """`data.split`: which rows are held out for evaluation and never trained on."""

    eval: Annotated[float, Field(gt=0)] | None = None
    """A fraction of the rows (below 1) or a number of rows (1 or more, whole)."""

    group: Text | None = None
    """A column: rows with the same value stay on one side."""

    stratify: Text | None = None
    """A column: each of its values is held out in proportion."""

    column: Text | None = None
    """A column that says the side of each row, `train` or `eval`, instead of choosing by hash."""

    query: Query | None = None
    """A query of its own whose rows are held out, instead of choosing by hash."""


class Mix(Table):
    """`data.mix.NAME`: one of several queries, and its part of the training rows."""

    query: Query
    """One SELECT in DuckDB's SQL."""

    weight: Annotated[float, Field(gt=0)]
    """Its part of the training rows, in proportion to the other weights."""

    repeat: Annotated[int, Field(ge=1)] = 1
    """How often a row may be trained on in one pass before the query counts as exhausted."""


class Dedupe(Table):
    """`data.dedupe` with options of its own."""

    method: Literal["exact", "near"]
    """Rows that are equal, or rows whose texts share most of their words."""

    columns: Strings | None = None
    """What is compared; the columns of text that an example is made of unless given."""

    similarity: Annotated[float, Field(gt=0, le=1)] | None = None
    """Jaccard similarity from which rows are near duplicates."""


def _dedupe_kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, Dedupe)) else "method"


Duplicates = Annotated[
    Annotated[Literal["exact", "near"], Tag("method")] | Annotated[Dedupe, Tag("table")],
    Discriminator(_dedupe_kind),
]


class Data(Table):
    """`[data]`: the rows, and which of them are held out."""

    sources: Annotated[dict[str, SourceEntry], Field(min_length=1)]
    """Names and places which the query may read."""

    query: Query | None = None
    """One SELECT in DuckDB's SQL; every row of the only source unless given."""

    parameters: dict[str, Parameter] = Field(default_factory=dict)
    """Values for the SQL, which names them as `$NAME`."""

    mix: Annotated[dict[str, Mix], Field(min_length=1)] | None = None
    """Several queries with weights, instead of one query."""

    id: Text | None = None
    """A column of the result whose values identify the rows; their place or content unless given."""

    sample: Annotated[float, Field(gt=0)] | None = None
    """A fraction of the result's rows (below 1) or a number of them (1 or more, whole), chosen by hash."""

    dedupe: Duplicates | None = None
    """Which repeated rows are left out; the first of each is kept."""

    split: Split = left_out()
    """What is held out."""

    redact: Strings | None = None
    """Kinds of personal data and secrets that are replaced by their names in every text."""

    max_length: (
        Annotated[
            Annotated[Literal["auto"], Tag("auto")] | Annotated[Annotated[int, Field(ge=2)], Tag("number")],
            Discriminator(auto_or_number),
        ]
        | None
    ) = None
    """Longest row in tokens, or `auto` for the longest that fits the device; the model's context if unset."""

    too_long: Literal["error", "drop", "truncate", "split"] = "error"
    """What becomes of a longer row; it is counted in any case."""

    invalid: Literal["error", "drop"] = "error"
    """What becomes of a row that cannot be parsed, has a null or fails its template."""

    packing: bool | None = None
    """Train several rows in one sequence, each seeing itself alone; chosen by device and model if unset."""


class Render(Table):
    """`[render]`: how a row becomes messages or text, each value a Jinja template over the row's columns."""

    system: Text | None = None
    """Text of the system message."""

    user: Text | None = None
    """Text of the user's message."""

    assistant: Text | None = None
    """Text of the assistant's message."""

    prompt: Text | None = None
    """The prompt of a completion."""

    completion: Text | None = None
    """The completion, which is what is learned."""

    chosen: Text | None = None
    """The better of two answers to the prompt."""

    rejected: Text | None = None
    """The worse of two answers to the prompt."""

    text: Text | None = None
    """A whole document."""

    chat: bool | None = None
    """Put prompt and completion through the chat template as user and assistant; on if there is one."""

    train_on: Literal["assistant", "last_assistant", "completion", "all"] | None = None
    """Which tokens carry loss; by the form of the rows unless given."""

    convention: Literal["inference", "trl"] = "inference"
    """Which characters of a turn carry loss: what inference emits, or what TRL's training templates mark."""

    reasoning: Literal["train", "mask"] = "train"
    """Whether the reasoning of a trained turn carries loss."""

    tool_calls: Literal["train", "mask"] = "train"
    """Whether the tool calls of a trained turn carry loss."""

    history: Literal["unroll", "error", "exclude", "keep"] = "unroll"
    """An earlier turn that inference would render otherwise: a row of its own, an error, no loss, trained."""

    unproved: Literal["error", "drop"] = "error"
    """What becomes of a row whose mask cannot be proved."""

    variables: dict[str, JsonValue] = Field(default_factory=dict)
    """Variables for the chat template, such as `enable_thinking`."""

    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """The day, as year-month-day, that a chat template sees which prints the date."""


Level = Literal["allow", "warn", "deny"]


class Recipe(Table):
    """A recipe: the model, the data, and how one is fitted to the other."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Name of the runs' directory; the recipe's own file or directory name unless given."""

    extends: Text | None = None
    """A recipe whose settings hold wherever this one has none."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the split, of the row order, of new weights and of dropout."""

    model: Model
    data: Data
    render: Render = left_out()
    lints: dict[str, Level] = Field(default_factory=dict)
    """Names of lints of the data and their levels: allow says nothing, deny makes it an error."""

    tune: Tune = left_out()
    train: Train = left_out()
    eval: Evals = left_out()
    hardware: Hardware = left_out()
    budget: Budget = left_out()
    card: Card = left_out()
    project: Project = left_out()
    sweep: Sweep | None = None
