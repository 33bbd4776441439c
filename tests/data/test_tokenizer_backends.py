"""A fast tokenizer library gives the tokens of the reference, or it is not used."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_requests import Job, chat, source, write_jsonl
from ftc.data.compile import Compiled
from ftc.data.query import result
from ftc.data.ragged import offsets_of
from ftc.data.tokens import encoders, gate
from ftc.data.tokens.encoders import Backend, Fastokens, Tokenizers, Unfit
from ftc.facts.cache import Cache
from ftc.plan.steps import SplitStep
from models import write_tiny_tokenizer
from real_tokenizers import PACKAGED, packaged_tokenizer, smollm2

NASTY = [
    "",
    " leading",
    "  two",
    "\n\n\nx",
    "\ttab\r\nline\r",
    "x" * 5000,
    " " * 700,
    "\n" * 300,
    "1234567890" * 60,
    "a\u0301 e\u0301 Å Å" * 50,
    "👨‍👩‍👧‍👦 family 👍🏽 🏳️‍🌈" * 20,
    "日本語のテキスト 中文字符 한국어 العربية हिन्दी",
    "ﬁ ﬂ ｆｕｌｌ İstanbul ß ẞ 𝔘𝔫𝔦",
    "\u200b\u200dzero \u00a0nbsp\u3000wide \u2028line\u2029 \ufeffbom \U000e0001tag",
    "\x00\x01\x07\x7f",
    "don't I'LL we'Ve 'S",
    "def f(x):\n    return x  # done\n\n\n\tif",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|><|im_end|> <|im_end|>x<|im_end",
    "<bos><start_of_turn>user\nx<end_of_turn>\n<unused0><eos>",
    "<s>[INST] x [/INST] y</s><unk>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nx<|eot_id|>",
    "<|start|>assistant<|channel|>final<|message|>x<|return|>",
    "<｜User｜>x<｜Assistant｜><｜end▁of▁sentence｜>",
    "<think>\n\n</think>\n\n<tool_call>\n{}\n</tool_call>",
]

Named = Callable[[str], Path]


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Named:
    """The tokenizer.json of a name."""

    @cache
    def find(name: str) -> Path:
        if name in PACKAGED:
            return packaged_tokenizer(name, pytestconfig) / "tokenizer.json"
        directory = tmp_path_factory.mktemp("tokenizer")
        if name == "smollm2":
            return smollm2(directory) / "tokenizer.json"
        write_tiny_tokenizer(directory)
        return directory / "tokenizer.json"

    return find


def both(file: Path, texts: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
    """The tokens of texts by the fast library and by the reference."""
    found = []
    for backend in (Fastokens(file), Tokenizers(file)):
        tokens, offsets = backend.encode(texts)
        found.append([part.tolist() for part in np.split(tokens, offsets[1:-1])])
    return found[0], found[1]


def test_fastokens_is_loaded_anew_after_so_much_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_tokenizer(tmp_path)
    file, loads = tmp_path / "tokenizer.json", list[int]()
    load = Fastokens._load
    monkeypatch.setattr(encoders, "RENEWED_AFTER", 100)
    monkeypatch.setattr(Fastokens, "_load", lambda self: (loads.append(1), load(self))[1])
    backend, reference = Fastokens(file), Tokenizers(file)
    texts = ["the capital of a country"] * 2
    for _ in range(6):
        for found, right in zip(backend.encode(texts), reference.encode(texts), strict=True):
            assert found.tolist() == right.tolist()
    assert len(loads) == 2  # again before the fourth time, with 144 characters behind it


@pytest.mark.parametrize("name", ["smollm2", *PACKAGED])
def test_published_tokenizers_encode_alike(named: Named, name: str) -> None:
    file = named(name)
    added = [entry["content"] for entry in json.loads(file.read_text())["added_tokens"]]
    beside = [text for one in added[:200] for text in (one, f" {one} ", one + one, f"a{one}b\n", one[:-1])]
    fast, right = both(file, NASTY + beside)
    assert fast == right


characters = st.sampled_from([*"abc XYZ 012\n\t.,'!<|>_-", "\u0301", "日", "👍", "\u200d", "\u00a0", "ß"])
words = st.sampled_from([" the", "<|im_end|>", "<|im_start|>", "\n\n", "<think>", "'s", "  "])
texts = st.lists(st.lists(characters | words | st.characters(codec="utf-8"), max_size=40).map("".join))


@pytest.mark.parametrize("name", ["tiny", "smollm2"])
def test_any_text_is_encoded_alike(named: Named, name: str) -> None:
    backends = Fastokens(named(name)), Tokenizers(named(name))

    @given(texts=texts)
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def alike(texts: list[str]) -> None:
        try:
            fast, starts = backends[0].encode(texts)
        except Unfit as unfit:  # SmolLM2 has no token for the byte with which U+40000 begins
            assert name == "smollm2"
            assert "has no token in vocabulary" in str(unfit)  # noqa: PT017
            return
        right, right_starts = backends[1].encode(texts)
        assert fast.tolist() == right.tolist()
        assert starts.tolist() == right_starts.tolist()

    alike()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    write_tiny_tokenizer(tmp_path / "tokenizer")
    return tmp_path / "tokenizer" / "tokenizer.json"


def unknown(tmp_path: Path) -> Path:
    """A tokenizer of a kind that the fast library does not know."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.BPE({"a": 0}, []))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.save(str(tmp_path / "unknown.json"))
    return tmp_path / "unknown.json"


def test_a_tokenizer_that_is_not_known_is_unfit(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="Metaspace"):
        Fastokens(unknown(tmp_path))


def test_what_panics_is_unfit() -> None:
    class PanicException(BaseException):  # as Rust's is
        pass

    def panic() -> None:
        raise PanicException("index out of bounds")

    with pytest.raises(Unfit, match="out of bounds"):
        encoders._tried(panic)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoders._tried(interrupt)


class Wrong:
    """A back end that is right until a text has a certain word in it."""

    word = "never"

    def __init__(self, file: Path) -> None:
        self._right = Tokenizers(file)

    def text(self, token: int) -> str:
        return self._right.text(token)

    def encode(self, texts: Sequence[str]) -> tuple[Any, Any]:
        return self._right.encode([text.replace(self.word, self.word[::-1]) for text in texts])


def sampled(backend: Backend, batches: Sequence[Sequence[str]]) -> gate.Samples:
    kept = gate.Sampled(backend)
    for batch in batches:
        kept.encode(batch)
    return kept.taken()


def test_the_gate_compares_first_and_hashed_and_repeated_texts(tiny: Path) -> None:
    many = [f"text number {n} " * 5 for n in range(3000)]
    samples = sampled(
        Tokenizers(tiny), [many[: gate.FIRST], many[gate.FIRST :], ["short"], ["short"], ["short"]]
    )
    assert samples.texts[: gate.FIRST] == many[: gate.FIRST]
    assert samples.texts.count("short") == 1
    assert 10 < len(samples.texts) - gate.FIRST < 60
    gate.Gate(tiny).check(samples)


@pytest.mark.parametrize("batches", [[["a zebra"]], [["x"] * gate.FIRST, ["a zebra"], ["b"], ["a zebra"]]])
def test_the_gate_tells_a_wrong_text(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, batches: list[list[str]]
) -> None:
    monkeypatch.setattr(Wrong, "word", "zebra")
    with pytest.raises(Unfit, match="a zebra"):
        gate.Gate(tiny).check(sampled(Wrong(tiny), batches))


def test_the_gate_tells_a_token_too_many(tiny: Path) -> None:
    right = sampled(Tokenizers(tiny), [["one", "two"]])
    longer = gate.Samples(
        right.texts,
        np.append(right.tokens, np.int32(1)),
        offsets_of(np.diff(right.offsets) + np.array([0, 1])),
    )
    with pytest.raises(Unfit, match="two"):
        gate.Gate(tiny).check(longer)


def compiled(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, rows: int = 400) -> Compiled:
    """Chats compiled by the fast back end of the moment, in many batches."""
    monkeypatch.setattr("ftc.data.work.dispatch.INLINE_BYTES", -1)
    monkeypatch.setattr(result, "BATCH", 64)
    path = tmp_path / "t.jsonl"
    if not path.exists():
        pairs = [(f"question {n}", f"answer {n} 👍🏽") for n in range(rows)]
        write_jsonl(path, [{"asked": asked, "said": said} for asked, said in pairs])
    job = Job(tmp_path, (source(path),), cache=Cache(tmp_path / name))
    job.render = chat(user="{{ asked }}", assistant="{{ said }}")
    job.split = SplitStep(fraction=0.1, rows=None, keys=("asked",), seed=0)
    return job.run()


def files(done: Compiled) -> dict[str, bytes]:
    assert done.directory is not None, done.problems
    return {file.name: file.read_bytes() for file in done.directory.iterdir()}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_bytes_do_not_depend_on_the_back_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    monkeypatch.setenv("FTC_JOBS", jobs)
    used: list[str] = []
    check = gate.Gate.check
    monkeypatch.setattr(
        gate.Gate, "check", lambda self, samples: (used.extend(samples.texts), check(self, samples))[1]
    )
    fast = compiled(tmp_path, "fast", monkeypatch)
    assert len(used) > gate.FIRST
    assert fast.notes == ()
    monkeypatch.setattr(encoders, "installed", lambda: ("tokenizers",))
    assert files(compiled(tmp_path, "reference", monkeypatch)) == files(fast)


def test_a_wrong_back_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is right for most rows, and found out late: the rows are those of the reference, all of them."""
    monkeypatch.setenv("FTC_JOBS", "1")
    monkeypatch.setitem(encoders.BACKENDS, "fastokens", Wrong)
    monkeypatch.setattr(Wrong, "word", "question 3")
    monkeypatch.setattr(gate, "FIRST", 0)
    monkeypatch.setattr(gate, "ONE_OF", 10)
    wrong = compiled(tmp_path, "wrong", monkeypatch)
    (note,) = wrong.notes
    assert (note.code, note.severity, "question 3" in note.message) == ("FTC622", "note", True)
    monkeypatch.setattr(encoders, "installed", lambda: ("tokenizers",))
    assert files(compiled(tmp_path, "reference", monkeypatch)) == files(wrong)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_tokenizer_that_is_not_known_is_encoded_by_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    monkeypatch.setenv("FTC_JOBS", jobs)
    write_tiny_tokenizer(tmp_path / "tokenizer")
    file = tmp_path / "tokenizer" / "tokenizer.json"
    value = json.loads(file.read_text())
    value["normalizer"] = {"type": "Nmt"}
    file.write_text(json.dumps(value))
    done = compiled(tmp_path, "fast", monkeypatch, rows=100)
    (note,) = done.notes
    assert (note.code, done.step is not None) == ("FTC622", True)
