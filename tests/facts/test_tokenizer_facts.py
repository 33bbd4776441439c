"""What is told of a tokenizer without loading it is what the library `tokenizers` says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from ftc.facts.cache import Cache
from ftc.facts.tokenizer import TOKENIZER_FILE, TokenizerFacts, read_tokenizer
from real_tokenizers import PACKAGED, packaged_tokenizer


def compare(directory: Path, cache: Cache) -> TokenizerFacts:
    """The facts of a directory, twice read, and held to the library."""
    library = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
    facts = read_tokenizer(directory, cache)
    begun = library.encode("", add_special_tokens=True).ids
    assert facts.first_id == (begun[0] if begun else None)
    for text in facts.special_tokens.values():
        assert facts.token_id(text) == library.token_to_id(text)
    assert read_tokenizer(directory, cache) == facts
    return facts


@pytest.mark.parametrize("name", PACKAGED)
def test_published_tokenizers(name: str, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    compare(packaged_tokenizer(name, pytestconfig), Cache(tmp_path / "cache"))


def test_special_tokens_that_are_words(smollm2_tokenizer: Path, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(smollm2_tokenizer, directory)
    file, config = directory / TOKENIZER_FILE, directory / "tokenizer_config.json"
    content = json.loads(file.read_bytes())
    word = next(text for text, number in content["model"]["vocab"].items() if number == 5000)
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "eos_token": word, "pad_token": "nowhere"})
    )
    facts = compare(directory, Cache(tmp_path / "cache"))
    assert (facts.eos_id, facts.pad_id, dict(facts.words)) == (5000, None, {word: 5000})


def test_a_list_of_words_with_scores(tmp_path: Path) -> None:
    Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("a", -1.0)], unk_id=0)).save(
        str(tmp_path / TOKENIZER_FILE)
    )
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    assert compare(tmp_path, Cache(tmp_path / "cache")).eos_id == 1


def test_a_post_processor_that_is_none(tiny_model: Path, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(tiny_model, directory)
    file = directory / TOKENIZER_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": {"type": "Nothing"}}))
    with pytest.raises(ValueError, match=TOKENIZER_FILE):
        read_tokenizer(directory, Cache(tmp_path / "cache"))
