"""LLaMA-Factory's data sets: names that a dataset_info.json explains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ftc.diagnostics import Finding
from ftc.importing import places
from ftc.importing.dataset import write_data
from ftc.importing.document import read_text
from ftc.importing.draft import Draft, as_number, plain
from ftc.importing.rows import Rows, column, joined, message, turn, turns, with_system
from ftc.recipe.starter import quoted

INFO = "dataset_info.json"
FOLDER = "data"
ONLINE = "ONLINE"
"""The `dataset_dir` of names that are data sets of the hub themselves."""
ROLES = {"user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "system_tag": "system"}
TAGS = {"user_tag": "human", "assistant_tag": "gpt", "observation_tag": "observation", "system_tag": "system"}
MEDIA = ("images", "videos", "audios")
COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
"""LLaMA-Factory's names of columns where a data set names none."""

Form = tuple[tuple[str, ...], tuple[str, ...]]


def data(draft: Draft) -> None:
    """Sources and query of `dataset`, and what is held out."""
    info, folder = _info(draft)
    taken: set[str] = set()
    train = _sets(draft, "dataset", info, folder, taken)
    held = _sets(draft, "eval_dataset", info, folder, taken)
    train = _mixed(draft, train)
    odd = write_data(draft, train, held)
    for rows in odd:
        message_ = f"the data set `{rows.name}` has other columns than the first one, and is left out"
        draft.findings.append(Finding("FTC123", message_, draft.document.span(("dataset",)), help=(APART,)))
    draft.fine("dataset_dir", "where it was looked for")
    size = draft.number("val_size")
    if size and not held:
        draft.carry("val_size", "data.split.eval", plain(size))
    draft.fine("val_size", "0, or eval_dataset says it")
    most = draft.whole("max_samples")
    if most is not None:
        draft.carry("max_samples", "data.sample", most, "of all rows together, chosen by hash")


APART = "import it on its own, as a recipe of its own"


def _info(draft: Draft) -> tuple[Mapping[str, Any], Path | None]:
    """dataset_info.json beside the file, or in its `dataset_dir` below; nothing where there is none."""
    beside = draft.home.file.parent
    stated = draft.get("dataset_dir")
    folders = [beside]
    if isinstance(stated, str) and _is_below(stated):
        folders += [beside / stated, Path(stated)]
    elif stated is None:
        folders += [beside / FOLDER, Path(FOLDER)]
    for folder in folders:
        if (folder / INFO).is_file():
            return _read(draft, folder / INFO), folder
    return {}, None


def _is_below(stated: str) -> bool:
    path = PurePosixPath(stated.replace("\\", "/"))
    return bool(stated) and not path.is_absolute() and ".." not in path.parts and ":" not in stated


def _read(draft: Draft, path: Path) -> Mapping[str, Any]:
    source = read_text(path)
    if isinstance(source, Finding):
        draft.findings.append(source)
        return {}
    try:
        found = json.loads(source.text)
    except json.JSONDecodeError as error:
        place = f"{source.name}:{error.lineno}:{error.colno}"
        draft.findings.append(
            Finding("FTC121", f"`{source.name}` is not valid JSON: {error.msg}", place=place)
        )
        return {}
    except (RecursionError, ValueError) as error:
        draft.findings.append(
            Finding("FTC121", f"`{source.name}` cannot be read: {error}", place=source.name)
        )
        return {}
    return found if isinstance(found, dict) else {}


def _sets(
    draft: Draft, key: str, info: Mapping[str, Any], folder: Path | None, taken: set[str]
) -> list[Rows]:
    names = draft.texts(key)
    online = draft.get("dataset_dir") == ONLINE
    found, unknown = [], []
    for name in names or ():
        entry = {"hf_hub_url": name} if online else info.get(name)
        rows = _rows(draft, name, entry, folder, taken) if isinstance(entry, dict) else None
        if rows is None:
            unknown.append(name)
        else:
            found.append(rows)
    to = tuple(f"data.sources.{rows.name}" for rows in found)
    if unknown and folder is None and not online:
        why = f"there is no {INFO} beside the file or in its dataset_dir"
        draft.lose(key, why, f"put {INFO} beside it, and import it again")
    elif unknown:
        listed = ", ".join(unknown)
        draft.findings.append(_unexplained(draft, key, listed))
        draft.lose(key, f"{INFO} has no {listed} that could be read", "their entries there")
    draft.goes(key, to)
    return found


def _unexplained(draft: Draft, key: str, listed: str) -> Finding:
    message_ = f"{INFO} has no entry that can be read for {listed}"
    return Finding("FTC123", message_, draft.document.span((key,)), help=("mend its entry there",))


def _rows(
    draft: Draft, name: str, entry: Mapping[str, Any], folder: Path | None, taken: set[str]
) -> Rows | None:
    source = _source(draft, entry, folder)
    if source is None or any(_columns(entry).get(kind) for kind in MEDIA):
        return None
    form = _form(draft, entry)
    return Rows(places.source_name(name, taken), source, *form) if form else None


def _source(draft: Draft, entry: Mapping[str, Any], folder: Path | None) -> str | dict[str, Any] | None:
    texts = {key: value for key, value in entry.items() if isinstance(value, str) and value}
    if "hf_hub_url" in texts:
        split = texts.get("split", "train")
        return places.hub(texts["hf_hub_url"], texts.get("subset"), split, None)
    if "file_name" in texts and folder is not None:
        return places.files(texts["file_name"], draft.home, None, folder.absolute())
    return None


def _columns(entry: Mapping[str, Any]) -> dict[str, str]:
    """The columns by what they are for: those that are named, or the usual ones where none is."""
    stated = entry.get("columns")
    if not isinstance(stated, dict):
        return dict(COLUMNS)
    return {key: value for key, value in stated.items() if isinstance(value, str) and value}


def _form(draft: Draft, entry: Mapping[str, Any]) -> Form | None:
    """What comes of an entry's columns."""
    columns = _columns(entry)
    if draft.objective == "cpt":
        return (column(columns.get("prompt", "text"), "text"),), ("text",)
    if entry.get("formatting") in ("sharegpt", "openai"):
        return _conversations(entry, columns)
    return _instructions(entry, columns)


def _instructions(entry: Mapping[str, Any], columns: Mapping[str, str]) -> Form | None:
    """Alpaca's columns: an instruction, more of it, an answer, and perhaps what was said before."""
    asked = [columns[key] for key in ("prompt", "query") if key in columns]
    if not asked:
        return None
    prompt = joined(asked)
    named = prompt if prompt == "prompt" else f"{prompt} as prompt"
    if entry.get("ranking") is True:
        if not {"chosen", "rejected"} <= set(columns):
            return None
        answers = tuple(column(columns[side], side) for side in ("chosen", "rejected"))
        return (named, *answers), ("prompt", "chosen", "rejected")
    if "response" not in columns:
        return None
    answer = columns["response"]
    if "kto_tag" in columns:
        more = (column(answer, "completion"), column(columns["kto_tag"], "label"))
        return (named, *more), ("prompt", "completion", "label")
    if "history" not in columns and "system" not in columns:
        return (named, column(answer, "completion")), ("prompt", "completion")
    return (f"{_with_history(prompt, answer, columns)} as messages",), ("messages",)


def _with_history(prompt: str, answer: str, columns: Mapping[str, str]) -> str:
    """The turns of before, the question and the answer, behind a system message."""
    last = f"[{message('user', prompt)}, {message('assistant', quoted(answer))}]"
    if "history" in columns:
        pair = f"[{message('user', 'h[1]')}, {message('assistant', 'h[2]')}]"
        last = f"flatten([{pair} for h in coalesce({quoted(columns['history'])}, [])]) || {last}"
    return with_system(last, columns["system"]) if "system" in columns else last


def _conversations(entry: Mapping[str, Any], columns: Mapping[str, str]) -> Form | None:
    """Lists of messages, with the names of their fields and roles."""
    stated = entry.get("tags")
    given: Mapping[str, Any] = stated if isinstance(stated, dict) else {}
    tags = {key: str(given.get(key) or name) for key, name in TAGS.items()}
    role, content = str(given.get("role_tag") or "from"), str(given.get("content_tag") or "value")
    roles = {tags[key]: name for key, name in ROLES.items()}
    before = turns(columns.get("messages", COLUMNS["messages"]), role, content, roles)
    if entry.get("ranking") is True:
        if not {"chosen", "rejected"} <= set(columns):
            return None
        select = tuple(
            f"list_append({before}, {turn(columns[side], role, content, roles)}) as {side}"
            for side in ("chosen", "rejected")
        )
        return select, ("chosen", "rejected")
    whole = with_system(before, columns["system"]) if "system" in columns else before
    listed, names = [whole if whole == "messages" else f"{whole} as messages"], ["messages"]
    if "kto_tag" in columns:
        listed.append(column(columns["kto_tag"], "label"))
        names.append("label")
    if "tools" in columns:
        listed.append(column(columns["tools"], "tools"))
        names.append("tools")
    return tuple(listed), tuple(names)


def _mixed(draft: Draft, sets: list[Rows]) -> list[Rows]:
    """Parts of a mixture, where data sets are interleaved."""
    strategy = draft.text("mix_strategy")
    if strategy in (None, "concat"):
        draft.fine(("mix_strategy", "interleave_probs"), "one behind the other, in an order by the seed")
        return sets
    parts = draft.texts("interleave_probs") if isinstance(draft.get("interleave_probs"), str) else None
    weights = [as_number(part) for part in parts or ["1"] * len(sets)]
    if len(sets) < 2 or len(weights) != len(sets) or not all(weights):
        draft.lose(("mix_strategy", "interleave_probs"), "there is not a part for each data set", "data.mix")
        return sets
    why = "" if strategy == "interleave_under" else "until the first is exhausted; `repeat` takes rows again"
    draft.goes(
        ("mix_strategy", "interleave_probs"), tuple(f"data.mix.{one.name}.weight" for one in sets), why
    )
    return [replace(one, weight=plain(part or 1)) for one, part in zip(sets, weights, strict=True)]
