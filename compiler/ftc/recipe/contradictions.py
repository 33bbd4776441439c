"""Settings that are each well-formed but make no sense together: one small function a rule, one table.

Rules look at what the recipe gives, not at its typed form, so that they speak even where other settings
are refused; each makes sure of the types it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.diagnostics import Finding, Span
from ftc.recipe import (
    card_rules,
    eval_rules,
    lint_names,
    loss_rules,
    project,
    secret_rules,
    source_names,
    sweep_rules,
    training_rules,
)
from ftc.recipe.layers import Key, Origins, Values
from ftc.recipe.model import Render
from ftc.recipe.settings import Settings
from ftc.recipe.suggest import closest, either

Rule = Callable[[Settings], Iterator[Finding]]


def find(values: Values, origins: Origins) -> list[Finding]:
    """Every contradiction among the settings of a recipe."""
    settings = Settings(values, origins)
    return [finding for rule in RULES for finding in rule(settings)]


def epochs_and_steps(settings: Settings) -> Iterator[Finding]:
    """Training ends after epochs or after steps."""
    yield from _exclusive(settings, ("train", "epochs"), ("train", "steps"), "both say how long to train")


def micro_batch(settings: Settings) -> Iterator[Finding]:
    """A batch is made of whole micro-batches."""
    micro = settings.whole("train", "micro_batch")
    batch = settings.whole("train", "batch", default=16)
    if not micro or not batch or micro < 1 or batch < 1 or batch % micro == 0:
        return
    given = "`train.batch`" if settings.has("train", "batch") else "`train.batch`, by default"
    relation = "is more than" if micro > batch else "does not divide"
    divisors = [str(n) for n in range(1, batch + 1) if batch % n == 0 and n <= micro][-3:]
    help_line = f"write {either(divisors)}, or change the batch"
    message = f"`train.micro_batch` is {micro}, which {relation} {given} ({batch})"
    yield settings.wrong(message, ("train", "micro_batch"), help_line)


def float16_on_cpu(settings: Settings) -> Iterator[Finding]:
    """CPUs do not train in float16."""
    if settings.get("train", "device") == "cpu" and settings.get("model", "dtype") == "float16":
        message = "`model.dtype` is float16, which does not train on the CPU"
        yield settings.wrong(message, ("model", "dtype"), 'write dtype = "float32"')


def revision_of_files(settings: Settings) -> Iterator[Finding]:
    """Only models on the hub have revisions."""
    base = settings.get("model", "base")
    if isinstance(base, dict) and settings.get("model", "trust_remote_code"):
        message = "`model.trust_remote_code` is for models, and `model.base` names a recipe"
        yield settings.wrong(message, ("model", "trust_remote_code"), "remove `trust_remote_code`")
    if isinstance(base, dict) and "recipe" in base and settings.has("model", "revision"):
        message = "`model.revision` is for models on the hub, and `model.base` names a recipe"
        yield settings.wrong(message, ("model", "revision"), "remove `revision`")
    if not isinstance(base, str) or not settings.has("model", "revision"):
        return
    if base.startswith((".", "/", "~", "package://")) or base.endswith(".gguf"):
        message = "`model.revision` is for models on the hub, and `model.base` names files"
        yield settings.wrong(message, ("model", "revision"), "remove `revision`")


def parts_of_rows(settings: Settings) -> Iterator[Finding]:
    """A part of the rows is a fraction, or a whole number of rows."""
    for path, verb in ((("data", "split", "eval"), "hold out"), (("data", "sample"), "take")):
        value = settings.get(*path)
        if not isinstance(value, float) or value < 1:
            continue
        several = f"write {round(value)} to {verb} {round(value)} row{'s' * (round(value) != 1)}"
        helps = [several] + (["write a fraction below 1, such as 0.1"] if value == 1 else [])
        message = f"`{'.'.join(path)}` is a fraction below 1, or a whole number of rows"
        span = settings.origins.value(*path)
        yield Finding("FTC104", message, span, f"this is {value:g}", help=tuple(helps))


HOLDING = ("eval", "column", "query")
"""The keys of [data.split], each of which says which rows are held out."""


def ways_to_hold_out(settings: Settings) -> Iterator[Finding]:
    """Rows are held out by hash, as a column says, or as a query says."""
    for first, second in (("eval", "column"), ("eval", "query"), ("column", "query")):
        paths: tuple[Key, Key] = ("data", "split", first), ("data", "split", second)
        yield from _exclusive(settings, *paths, "both say which rows are held out")


def group_without_eval(settings: Settings) -> Iterator[Finding]:
    """Groups and strata guide a split by hash; without one they do nothing."""
    if settings.has("data", "split", "eval"):
        return
    stated = [key for key in HOLDING if settings.has("data", "split", key)]
    reason = f"`data.split.{stated[0]}` says it of each row" if stated else "no rows are held out"
    help_line = f"remove it, or `{stated[0]}`" if stated else "add eval = 0.1 to the split"
    for key in ("group", "stratify"):
        if settings.has("data", "split", key):
            message = f"`data.split.{key}` has no effect: {reason}"
            yield settings.wrong(message, ("data", "split", key), help_line)


def group_is_stratum(settings: Settings) -> Iterator[Finding]:
    """A value that stays on one side cannot be held out in proportion."""
    group, stratify = (settings.get("data", "split", key) for key in ("group", "stratify"))
    if isinstance(group, str) and group == stratify:
        message = f"`{group}` cannot stay on one side and be held out in proportion too"
        help_line = "name another column in one of the two, or remove one"
        yield settings.wrong(message, ("data", "split", "stratify"), help_line)


def similarity_of_equal(settings: Settings) -> Iterator[Finding]:
    """Equal rows are as similar as can be."""
    path = ("data", "dedupe", "similarity")
    if settings.get("data", "dedupe", "method") == "exact" and settings.has(*path):
        message = "`data.dedupe.similarity` has no effect: exact duplicates are equal"
        yield settings.wrong(message, path, 'write method = "near", or remove `similarity`')


def split_of_answers(settings: Settings) -> Iterator[Finding]:
    """Only documents can be split: the later parts of another row would have no prompt."""
    answers = settings.has_any(*(("render", name) for name in ("user", "assistant", "prompt", "completion")))
    answers = answers or settings.objective == "sft"
    if answers and settings.get("data", "too_long") == "split":
        message = '`data.too_long` is "split", but the later parts of rows with answers would have no prompt'
        yield settings.wrong(message, ("data", "too_long"), 'write too_long = "drop" or "truncate"')


def repeated_words(settings: Settings) -> Iterator[Finding]:
    """A word that stands twice in a list is a slip."""
    for path in (("tune", "targets"), ("data", "redact"), ("train", "trackers")):
        words = settings.get(*path)
        for index, word in enumerate(words if isinstance(words, list) else ()):
            if isinstance(word, str) and word in words[:index]:
                message = f'"{word}" stands in `{".".join(path)}` twice'
                yield settings.wrong(message, (*path, index), "remove one of the two")


def empty_words(settings: Settings) -> Iterator[Finding]:
    """An empty layer name matches nothing."""
    for path in (("tune", "targets"),):
        words = settings.get(*path)
        for index, word in enumerate(words if isinstance(words, list) else ()):
            if isinstance(word, str) and not word.strip():
                span = settings.origins.value(*path, index)
                yield Finding("FTC104", f"`{'.'.join(path)}` has an empty entry", span, help=("remove it",))


def render_forms(settings: Settings) -> Iterator[Finding]:
    """A row becomes one thing: messages, a completion, or a document."""
    forms = (("text",), ("user", "assistant"), ("prompt", "completion"))
    given = [[key for key in form if settings.has("render", key)] for form in forms]
    present = [keys[0] for keys in given if keys]
    for other in present[1:]:
        first, second = ("render", present[0]), ("render", other)
        yield from _exclusive(settings, first, second, "a row becomes messages, a completion or one text")


def system_without_messages(settings: Settings) -> Iterator[Finding]:
    """A system message needs a conversation to stand in."""
    if not settings.has("render", "system"):
        return
    if settings.is_text:
        message = "`render.system` has no effect: a document is no conversation"
        yield settings.wrong(
            message, ("render", "system"), "remove `system`, or put its text into `render.text`"
        )
    elif settings.get("render", "chat") is False:
        message = "`render.system` needs the chat template, and `render.chat` is false"
        yield settings.wrong(
            message, ("render", "system"), "put its text at the beginning of `render.prompt`"
        )


_PAIRS = (("user", "assistant"), ("assistant", "user"), ("prompt", "completion"), ("completion", "prompt"))


def halves(settings: Settings) -> Iterator[Finding]:
    """A question needs its answer, and the reverse."""
    for here, missing in _PAIRS:
        if (
            settings.has("render", here)
            and not settings.has("render", missing)
            and not _slip(settings, missing)
        ):
            message = f"`render.{here}` is given without `render.{missing}`"
            help_line = f'add {missing} = "{{{{ COLUMN }}}}" with a column of the query'
            yield settings.wrong(message, ("render", here), help_line)


def _slip(settings: Settings, wanted: str) -> bool:
    """Whether [render] has an unknown key that is `wanted`, misspelt: that is a finding of its own."""
    return bool(closest(wanted, set(settings.get("render")) - set(Render.model_fields)))


def chat_of_messages(settings: Settings) -> Iterator[Finding]:
    """Messages go through the chat template; there is nothing to switch off."""
    if settings.get("render", "chat") is False and settings.has_any(
        ("render", "user"), ("render", "assistant")
    ):
        message = "`render.chat` is false, but user and assistant messages need the chat template"
        help_line = "rename user to prompt and assistant to completion, or remove `chat`"
        yield settings.wrong(message, ("render", "chat"), help_line)


def chat_settings_without_chat(settings: Settings) -> Iterator[Finding]:
    """What concerns the chat template has no effect where none is used."""
    if not settings.is_text and settings.get("render", "chat") is not False:
        return
    reason = "documents use no chat template" if settings.is_text else "`render.chat` is false"
    keys: list[Key] = [("render", "variables"), ("model", "chat_template")]
    if settings.is_text:
        keys.append(("render", "chat"))
    for path in keys:
        if settings.has(*path):
            name = ".".join(map(str, path))
            yield settings.wrong(f"`{name}` has no effect: {reason}", path, f"remove `{path[-1]}`")


def train_on_of_form(settings: Settings) -> Iterator[Finding]:
    """What carries loss must exist in the form that rows have."""
    value = settings.get("render", "train_on")
    chosen: tuple[str, ...] = ("assistant", "last_assistant", "completion", "all")
    reason = ""
    if settings.is_text:
        chosen, reason = ("all",), "a document is trained as a whole"
    elif settings.has_any(("render", "user"), ("render", "assistant")):
        chosen, reason = ("assistant", "last_assistant", "all"), "messages have no completion"
    elif settings.get("render", "chat") is False:
        chosen, reason = ("completion", "all"), "without the chat template there is no assistant"
    if (
        isinstance(value, str)
        and value not in chosen
        and value in ("assistant", "last_assistant", "completion")
    ):
        choices = either([f'"{word}"' for word in chosen])
        yield settings.wrong(
            f'train_on = "{value}" cannot apply: {reason}', ("render", "train_on"), f"write {choices}"
        )


def objective_of_form(settings: Settings) -> Iterator[Finding]:
    """A stated objective must fit what rows are made into."""
    objective = settings.objective
    answers = [key for key in ("user", "assistant", "prompt", "completion") if settings.has("render", key)]
    if objective == "cpt" and answers:
        message = f'objective = "cpt" trains on whole documents, and `render.{answers[0]}` makes no document'
        yield settings.wrong(message, ("train", "objective"), 'write "sft", or give `render.text` alone')
    if objective == "sft" and settings.has("render", "text"):
        message = 'objective = "sft" trains on answers, and `render.text` makes whole documents'
        yield settings.wrong(message, ("train", "objective"), 'write "cpt", or remove `objective`')


def query_and_mix(settings: Settings) -> Iterator[Finding]:
    """Rows come of one query, or of the queries of a mix."""
    yield from _exclusive(settings, ("data", "query"), ("data", "mix"), "both say where the rows come from")


def sources_without_query(settings: Settings) -> Iterator[Finding]:
    """With several sources, only a query can say how their rows become examples."""
    sources = settings.get("data", "sources")
    stated = settings.has_any(("data", "query"), ("data", "mix"))
    if isinstance(sources, dict) and len(sources) > 1 and not stated:
        first, second = list(sources)[:2]
        message = f"`query` is missing in [data]: there are {len(sources)} sources"
        help_line = f"type a query that joins them:\n  from {first} join {second} using (…)"
        yield Finding("FTC106", message, settings.origins.header("data"), help=(help_line,))


def _exclusive(settings: Settings, first: Key, second: Key, reason: str) -> Iterator[Finding]:
    """A finding at the later of two settings of which only one may be given."""
    if not settings.has(*first) or not settings.has(*second):
        return
    a, b = settings.origins.key(*first), settings.origins.key(*second)
    if _later(a, b):
        first, second, a = second, first, b
    names = (".".join(map(str, first)), ".".join(map(str, second)))
    notes = (f"`{names[0]}` stands at {a.place}",) if a else ()
    message = f"`{names[1]}` contradicts `{names[0]}`: {reason}"
    yield settings.wrong(message, second, "remove one of the two", notes=notes)


def _later(a: Span | None, b: Span | None) -> bool:
    """Whether `a` stands behind `b` in the same text."""
    return a is not None and b is not None and a.source is b.source and a.start > b.start


RULES: tuple[Rule, ...] = (
    epochs_and_steps,
    micro_batch,
    float16_on_cpu,
    revision_of_files,
    parts_of_rows,
    ways_to_hold_out,
    group_without_eval,
    group_is_stratum,
    similarity_of_equal,
    *eval_rules.RULES,
    split_of_answers,
    repeated_words,
    empty_words,
    render_forms,
    system_without_messages,
    halves,
    chat_of_messages,
    chat_settings_without_chat,
    train_on_of_form,
    loss_rules.trl_marks_turns,
    loss_rules.turns_without_chat,
    objective_of_form,
    query_and_mix,
    sources_without_query,
    lint_names.unknown_lints,
    lint_names.unknown_kinds,
    source_names.unusable_names,
    source_names.one_place,
    source_names.format_of_place,
    source_names.options_of_other_formats,
    source_names.same_delimiter_and_quote,
    *training_rules.RULES,
    *sweep_rules.RULES,
    *card_rules.RULES,
    *project.RULES,
    *secret_rules.RULES,
)
