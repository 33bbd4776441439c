"""How values and types are called in messages, and what to write instead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Protocol

from ftc.recipe.layers import Key

EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""What each of pydantic's type errors wants, in words."""

OTHER_WORDS = {
    "fp32": "float32",
    "f32": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "gpu": "cuda",
    "mp": "mps",
    "db": "sqlite",
    "sqlite3": "sqlite",
    "feather": "arrow",
    "ipc": "arrow",
    "markdown": "text",
    "md": "text",
    "txt": "text",
    "postgresql": "postgres",
    "ndjson": "jsonl",
    "tsv": "csv",
    "utf8": "utf-8",
    "latin1": "latin-1",
    "iso-8859-1": "latin-1",
    "accuracy": "label_accuracy",
    "em": "exact_match",
    "skip": "drop",
    "cut": "truncate",
    "fail": "error",
    "raise": "error",
    "layernorm": "ln",
    "ln_tuning": "ln",
    "norms": "ln",
    "p-tuning": "p_tuning",
    "ptuning": "p_tuning",
    "prefix_tuning": "prefix",
    "prompt_tuning": "prompt",
    "pretrain": "cpt",
    "pretraining": "cpt",
    "pt": "cpt",
    "instruct": "sft",
    "fft": "full",
    "completions": "completion",
    "assistants": "assistant",
    "everything": "all",
}
"""Words that other tools use for a value, and ours."""


class Refused(Protocol):
    """A setting whose value was refused."""

    @property
    def path(self) -> Key:
        """Where it stands."""

    @property
    def value(self) -> Any:
        """What stands there."""


@dataclass(frozen=True)
class Given:
    """A setting and what stands there."""

    path: Key
    value: Any


def name(path: Key) -> str:
    """A setting's path as a person writes it: `data.sources.a`, `eval.labels[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """A value as TOML shows it, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else str(value)
    return text if len(text) <= 40 else text[:36] + "…" + text[-1]


def found(value: Any) -> str:
    """What kind of thing stands there."""
    match value:
        case bool():
            return "`true`" if value else "`false`"
        case str():
            return "a string"
        case int():
            return "a whole number"
        case float():
            return "a number with a decimal point"
        case list():
            return "an array"
        case dict():
            return "a table"
        case datetime() | date() | time():
            return "a date or time"
    return "this"


def type_help(kind: str, mistake: Refused) -> tuple[str, ...]:
    """What to write where a value has the wrong type; nothing if it cannot be told."""
    line = _HELPS[EXPECTED[kind]](mistake) if kind in EXPECTED else ""
    return (line,) if line else ()


def _for_string(mistake: Refused) -> str:
    value = mistake.value
    if isinstance(value, list) and mistake.path[:2] == ("data", "sources"):
        return 'one path, which may be a glob: "data/*.parquet"; or a source for each file'
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return f"write {shown(value[0])}, without brackets"
    if isinstance(value, (dict, list)):
        return ""
    return f"put it in quotes: {json.dumps(shown(value).strip(chr(34)), ensure_ascii=False)}"


def _for_whole(mistake: Refused) -> str:
    value = mistake.value
    if isinstance(value, str) and value.strip().isdigit():
        return f"write {int(value)}, without quotes"
    if isinstance(value, float) and abs(value) < 2**53:
        return f"write {int(value)}" if value == int(value) else f"write {int(value)} or {int(value) + 1}"
    return "write a whole number such as 8"


def _for_number(mistake: Refused) -> str:
    value = mistake.value
    if isinstance(value, str) and _as_number(value) is not None:
        return f"write {value.strip()}, without quotes"
    if isinstance(value, str) and value.strip().endswith("%") and _as_number(value.strip()[:-1]) is not None:
        return f"write {float(value.strip()[:-1]) / 100:g}"
    return "write a number such as 0.1"


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _for_boolean(mistake: Refused) -> str:
    word = str(mistake.value).casefold()
    known = "true" if word in _YES else "false" if word in _NO else ""
    quotes = ", without quotes" if isinstance(mistake.value, str) and known else ""
    return f"write {known}{quotes}" if known else "write true or false"


def _for_array(mistake: Refused) -> str:
    value = mistake.value
    if isinstance(value, str) and "," in value:
        parts = [part.strip() for part in value.split(",")]
        return f"write {json.dumps(parts, ensure_ascii=False)}"
    if isinstance(value, str):
        return f"write [{json.dumps(value, ensure_ascii=False)}]"
    return "write values between brackets: [1, 2]" if not isinstance(value, dict) else ""


def _for_table(mistake: Refused) -> str:
    path = name(mistake.path)
    value = shown(mistake.value)
    if isinstance(mistake.value, list) and all(isinstance(part, dict) for part in mistake.value):
        return f"write [{path}], in single brackets"
    if mistake.path == ("data", "sources") and isinstance(mistake.value, str):
        return f"give the source a name: sources.rows = {value}"
    if mistake.path[:2] == ("data", "sources") and mistake.path[3:] == ("database",):
        return 'keep the connection string in the environment: database = { env = "PG_URL" }'
    if mistake.path[:2] == ("data", "sources") and mistake.path[3:] == ("chunk",):
        return f'write chunk = {{ by = "{mistake.value if isinstance(mistake.value, str) else "heading"}" }}'
    if mistake.path in _FIRST_KEYS:
        key = _FIRST_KEYS[mistake.path]
        is_number = isinstance(mistake.value, (int, float))
        fits = is_number if key in ("eval", "epochs") else isinstance(mistake.value, str)
        return f"write {path} = {{ {key} = {value if fits else '…'} }}"
    return f"write a header [{path}], and keys below it" if mistake.path else ""


_FIRST_KEYS: dict[Key, str] = {
    ("model",): "base",
    ("data", "split"): "eval",
    ("tune",): "method",
    ("train",): "epochs",
}

_HELPS = {
    "a string": _for_string,
    "a whole number": _for_whole,
    "a number": _for_number,
    "true or false": _for_boolean,
    "an array": _for_array,
    "a table": _for_table,
}


def range_help(path: Key, value: Any) -> tuple[str, ...]:
    """What is probably meant by a number out of its range."""
    is_part = path in (("train", "warmup"), ("train", "weight_decay"), ("tune", "dropout"))
    if is_part and isinstance(value, (int, float)) and 1 < value <= 100:
        return (f"it is a part of 1: write {value / 100:g} for {value:g} per cent",)
    if path == ("train", "steps"):
        return ("remove the key to train for whole epochs",)
    return ()
