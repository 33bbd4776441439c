"""axolotl's data sets: where they are, and what their `type` makes of the columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ftc.importing import places
from ftc.importing.axolotl_pairs import Form, judged, mapping, preference, roles_of
from ftc.importing.dataset import write_data
from ftc.importing.draft import Draft, plain
from ftc.importing.rows import Rows, column, filled, turns
from ftc.importing.rules import words
from ftc.recipe.starter import quoted

HEADINGS = (
    "### Instruction:\n{instruction}\n\n### Response:\n",
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n",
)
"""The Alpaca form without an input and with one; the sentence in front of it is left to the recipe."""
MIND_ALPACA = "with its headings, and without the introduction in front of them, which `data.query` can add"
MIND_TEMPLATE = "the model's own chat template takes the place of the one that the type names"

PLACE = ("path", "name", "split", "revision", "ds_type", "data_files")


def data(draft: Draft) -> None:
    """Sources and query of `datasets` or `pretraining_dataset`, and what is held out."""
    taken: set[str] = set()
    train = _sets(draft, "datasets", taken)
    documents = _sets(draft, "pretraining_dataset", taken)
    if train and documents:
        draft.lose("pretraining_dataset", "`datasets` goes before it")
        documents = []
    held = _sets(draft, "test_datasets", taken)
    rows = train or documents
    odd = write_data(draft, rows, held)
    raw = any("prompt" in one.columns and _is_raw(draft, one) for one in (*rows, *held))
    if raw and not odd and all(one.columns == ("prompt", "completion") for one in rows):
        draft.state("render.chat", value=False, why="the prompt's headings take the place of a chat template")
    size = draft.number("val_set_size")
    if size and not held:
        draft.carry("val_set_size", "data.split.eval", plain(size))
    draft.fine("val_set_size", "0, or test_datasets says it")


def _is_raw(draft: Draft, rows: Rows) -> bool:
    """Whether a prompt of the rows has a form of its own."""
    return any("### Instruction" in one or " || " in one for one in rows.select) and draft.objective is None


def _sets(draft: Draft, key: str, taken: set[str]) -> list[Rows]:
    given = draft.get(key)
    if given is None:
        draft.fine(key, "empty, which is the default")
        return []
    if isinstance(given, str) and key == "pretraining_dataset":
        name = places.source_name(given, taken)
        draft.carry(key, f"data.sources.{name}", given)
        return [Rows(name, _origin(given, draft), (column("text", "text"),), ("text",))]
    entries = given if isinstance(given, list) else []
    found = []
    for number, entry in enumerate(entries):
        rows = _rows(draft.within(key, number), key, taken) if isinstance(entry, dict) else None
        if rows is not None:
            found.append(rows)
    if not entries:
        draft.lose(key, "it is no list of data sets")
    return found


def _rows(at: Draft, key: str, taken: set[str]) -> Rows | None:
    path = at.get("path")
    if not isinstance(path, str) or not path:
        at.lose(tuple(at.table()), "it has no path")
        return None
    form = _documents(at) if key == "pretraining_dataset" else _form(at)
    if form is None:
        why = f"ftc imports no data set of the type {at.get('type')}"
        at.lose(tuple(at.table()), why, "`data.query`, in SQL, for its columns")
        return None
    files = at.get("data_files")
    name = places.source_name(files if isinstance(files, str) else path, taken)
    source = _source(at, path, f"data.sources.{name}")
    at.goes(("path", "name", "ds_type", "revision", "split", "data_files"), (f"data.sources.{name}",))
    select, columns = form
    at.goes(("type", *USED), ("data.query",), _mind(at))
    at.lose("message_field_training_detail", "loss is on whole messages", "a message's `weight`, 0 or 1")
    at.lose("shards", "ftc reads whole data sets", "data.sample")
    at.fine(("conversation", "train_on_eos", "train_on_eot", "chat_template", "shards_idx"), MIND_TURNS)
    at.fine(("preprocess_shards", "trust_remote_code", "input_format"), "ftc reads the rows itself")
    return Rows(name, source, select, columns)


MIND_TURNS = "ftc takes one template, and learns a turn with the token that ends it"
USED = words(
    """
    field field_messages field_chosen field_rejected field_instruction field_input field_output
    field_system message_property_mappings message_field_role message_field_content roles
    drop_system_message message_field_training text_column field_tools roles_to_train
    """
)
"""Keys of a data set that are in its query."""


def _mind(at: Draft) -> str:
    """What to mind of a data set's type."""
    kind = at.get("type")
    if not isinstance(kind, str) or at.objective == "grpo":
        return ""
    if at.objective is None:
        return MIND_ALPACA if kind.partition(":")[0] == "alpaca" else ""
    return MIND_TEMPLATE if kind.partition(".")[0] in ("chatml", "llama3", "zephyr") else ""


def _origin(path: str, draft: Draft) -> str | dict[str, Any]:
    return places.files(path, draft.home) if places.is_file(path) else places.hub(path, None, "train", None)


def _source(at: Draft, path: str, to: str) -> str | dict[str, Any]:
    """Files or a data set of the hub."""
    form = at.get("ds_type")
    files = at.get("data_files")
    split = at.get("split") if isinstance(at.get("split"), str) else None
    if isinstance(files, list) and len(files) == 1:
        files = files[0]
    kind = form if form in places.BUILDERS else None
    if path in places.BUILDERS and isinstance(files, str):
        at.fine("split", "files are read as a whole")
        return places.files(files, at.home, path)
    if places.is_file(path) or kind:
        at.fine(("split", "name"), "files are read as a whole")
        if files:
            at.lose("data_files", f"the recipe reads `{path}` as a whole", f"`{to}`, with a glob")
        return places.files(path, at.home, kind)
    if files:
        at.lose("data_files", "ftc reads whole data sets of the hub", "name and split")
    plain_split = (split or "train").partition("[")[0]
    if split and "[" in split:
        at.lose("split", f"the part of it, in brackets; `{plain_split}` is read whole", "data.sample")
    texts = {key: value for key in ("name", "revision") if isinstance(value := at.get(key), str)}
    return places.hub(path, texts.get("name"), plain_split, texts.get("revision"))


def _documents(at: Draft) -> Form:
    field = at.get("text_column")
    name = field if isinstance(field, str) and field else "text"
    return (column(name, "text"),), ("text",)


def _form(at: Draft) -> Form | None:
    """What the type of a data set makes of its columns; None where that is not known."""
    kind = at.get("type")
    if at.objective in ("dpo", "orpo", "simpo", "reward"):
        return preference(at, kind)
    if at.objective == "kto":
        return judged(at, kind)
    if at.objective == "grpo":
        why = "it names Python code, which is not run; the column `prompt` is taken"
        at.lose("type", why, "`data.query`, for prompts of another column")
        return ("prompt",), ("prompt",)
    if isinstance(kind, dict):
        return _own_form(at.within("type"))
    name = (kind if isinstance(kind, str) else "").partition(":")[0]
    return TYPES[name](at) if name in TYPES else None


def _chat(at: Draft, field: str = "messages") -> Form:
    stated = at.get("field_messages")
    name = stated if isinstance(stated, str) and stated else field
    role, content = mapping(at)
    if field == "conversations" and not at.get("message_property_mappings"):
        role, content = "from", "value"
    trained = at.get("message_field_training")
    drop = "system" if at.get("drop_system_message") is True else None
    roles = roles_of(at, sharegpt=(role, content) != ("role", "content"))
    value = turns(name, role, content, roles, trained if isinstance(trained, str) else None, drop)
    train = at.get("roles_to_train")
    if train not in (None, ["assistant"], ["gpt"]):
        at.lose("roles_to_train", "loss is on the assistant's turns", 'render.train_on = "all"')
    split = at.get("split_thinking") or at.get("field_thinking")
    if split:
        at.lose(
            ("split_thinking", "field_thinking", "template_thinking_key"), "ftc knows reasoning by itself"
        )
    at.fine(("split_thinking", "field_thinking", "template_thinking_key"), "ftc knows reasoning by itself")
    select, columns = [value if value == "messages" else f"{value} as messages"], ["messages"]
    tools = at.get("field_tools")
    if isinstance(tools, str) and tools:
        select.append(column(tools, "tools"))
        columns.append("tools")
    return tuple(select), tuple(columns)


def _alpaca(_: Draft) -> Form:
    fields = {"instruction": "instruction", "input": "input"}
    bare, whole = (filled(form, fields) or "" for form in HEADINGS)
    asked = f"{_either('input', bare, whole)} as prompt"
    return (asked, "output as completion"), ("prompt", "completion")


def _either(name: str, bare: str, whole: str) -> str:
    """One text where a column is empty, another one where it is not."""
    return f"case when coalesce({quoted(name)}, '') = '' then\n    {bare}\n  else\n    {whole}\n  end"


def _pair(asked: str, answered: str) -> Callable[[Draft], Form]:
    def form(_: Draft) -> Form:
        return (column(asked, "prompt"), column(answered, "completion")), ("prompt", "completion")

    return form


def _completion(at: Draft) -> Form:
    field = at.get("field")
    name = field if isinstance(field, str) and field else "text"
    return (column(name, "text"),), ("text",)


def _own_form(at: Draft) -> Form | None:
    """A type that is a table: names of columns, and a format for the prompt; None for a broken format."""
    fields = {
        name: str(at.get(f"field_{name}") or name) for name in ("instruction", "input", "output", "system")
    }
    form, bare = at.get("format"), at.get("no_input_format")
    form = form if isinstance(form, str) else "{instruction} {input}"
    asked = filled(form, fields)
    other = filled(bare, fields) if isinstance(bare, str) and bare != form else asked
    if asked is None or other is None:
        return None
    if other != asked:
        asked = _either(fields["input"], other, asked)
    at.lose(("system_prompt", "system_format"), "a system message of its own", "[render] system")
    at.goes(tuple(at.table()), ("data.query",))
    return (f"{asked} as prompt", column(fields["output"], "completion")), ("prompt", "completion")


TYPES: dict[str, Callable[[Draft], Form]] = {
    "": _chat,
    "chat_template": _chat,
    "sharegpt": lambda at: _chat(at, "conversations"),
    "alpaca": _alpaca,
    "alpaca_chat.load_qa": _pair("question", "answer"),
    "completion": _completion,
    "pretrain": _completion,
}
"""Types of data sets, with what each makes of the columns."""
