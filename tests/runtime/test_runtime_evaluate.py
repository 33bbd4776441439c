"""Metrics against a slow oracle: one row at a time, without padding or cache, by plain transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from in_process import Ran, execute

from ftc.runtime.events import Evaluation
from ftc.runtime.heldout import Heldout, label_tokens, stop_tokens
from ftc.runtime.ready import ready
from tiny_plan import LABELS, Tiny, completion_row, text_row, write_part


def rows_of(tiny: Tiny) -> list[dict]:
    return [row for s in tiny.eval.shards for row in pq.read_table(tiny.data / s.file.name).to_pylist()]


def log_probabilities(model, ids: list[int]):
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits.log_softmax(dim=-1)


def answers_of(ran: Ran, suite: str = "held_out") -> list[dict]:
    lines = (ran.directory / "answers" / f"{suite}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def oracle_loss(model, row: dict) -> tuple[float, int]:
    found = log_probabilities(model, row["input_ids"])
    pairs = [
        (i, t) for i, (t, kept) in enumerate(zip(row["input_ids"], row["mask"], strict=True)) if kept and i
    ]
    return -sum(found[i - 1, t].item() for i, t in pairs), len(pairs)


def oracle_answer(model, prompt: list[int], longest: int) -> list[int]:
    made: list[int] = []
    while len(made) < longest:
        token = int(log_probabilities(model, prompt + made)[-1].argmax())
        if token == 2:
            break
        made.append(token)
    return made


def oracle_label(model, prompt: list[int], answers: list[list[int]]) -> int:
    def total(answer: list[int]) -> float:
        found = log_probabilities(model, prompt + answer)
        return sum(found[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))

    scores = [total(answer) for answer in answers]
    return scores.index(max(scores))


def loaded(directory: Path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype="float32").eval()


@pytest.mark.parametrize("when", ["before", "after"])
def test_against_the_oracle(when, full_run: Ran, tiny: Tiny):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny.model / "tokenizer.json"))
    model = loaded(tiny.model if when == "before" else full_run.directory / "model")
    told = json.loads((full_run.directory / "eval.json").read_text())
    answers = [completion_row(tokenizer, "", "x", label)["input_ids"][1:] for label in LABELS]
    total, count, right, labelled = 0.0, 0, 0, 0
    for row, entry in zip(rows_of(tiny), answers_of(full_run), strict=True):
        assert (entry["id"], entry["reference"]) == (row["id"], row["target"])
        loss, tokens = oracle_loss(model, row)
        total, count = total + loss, count + tokens
        assert entry[when]["loss"] == pytest.approx(loss / tokens, rel=1e-4, abs=1e-6)
        prompt = row["input_ids"][: row["prompt_length"]]
        answer = tokenizer.decode(oracle_answer(model, prompt, 8), skip_special_tokens=False)
        assert entry[when]["answer"] == answer
        assert entry[when]["scores"]["exact_match"] == (answer.strip() == row["target"].strip())
        right += entry[when]["scores"]["exact_match"]
        label = LABELS[oracle_label(model, prompt, answers)]
        assert entry[when]["label"] == label
        labelled += label == row["target"]
    metrics = told[when]
    assert metrics["loss"] == pytest.approx(total / count, rel=1e-4)
    assert metrics["loss_tokens"] == count
    assert (metrics["exact_match_right"], metrics["exact_match_rows"]) == (right, 9)
    assert (metrics["label_accuracy_right"], metrics["label_accuracy"]) == (labelled, labelled / 9)


def test_labels_of_many_tokens_and_unequal_length(tiny: Tiny, tiny_model):
    """Scores by cache equal scores without, for labels of one to seven tokens, in one chunk and in many."""
    import torch

    from ftc.runtime import score

    model = loaded(tiny_model)
    prompts = [[5, 6, 7], [9], [30, 31, 32, 33, 34, 35, 36]]
    labels = [[40, 2], [2], [41, 42, 43, 44, 45, 46, 2], [41, 42, 2]]
    with torch.no_grad():
        found = score.label_scores(model, prompts, labels, pad_id=0)
    for i, prompt in enumerate(prompts):
        for j, label in enumerate(labels):
            each = log_probabilities(model, prompt + label)
            want = sum(each[len(prompt) + k - 1, token].item() for k, token in enumerate(label))
            assert found[i, j].item() == pytest.approx(want, rel=1e-5)


def test_chunks_of_labels(tiny_model, monkeypatch):
    import torch

    from ftc.runtime import score

    model = loaded(tiny_model)
    labels = [[40 + i, 50 + i, 2][: 1 + i % 3] for i in range(7)]
    with torch.no_grad():
        whole = score.label_scores(model, [[5, 6], [7]], labels, pad_id=0)
        monkeypatch.setattr(score, "LABEL_ROWS", 4)
        parts = score.label_scores(model, [[5, 6], [7]], labels, pad_id=0)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_losses_where_a_pad_token_is_the_end_token(tiny_model):
    """Rows that end in the padding token lose nothing: attention follows lengths, labels follow the mask."""
    import torch

    from ftc.runtime import score

    model = loaded(tiny_model)
    rows = [[5, 6, 7, 2], [8, 2], [9, 10, 11, 12, 13, 2, 2]]
    masks = [[False, False, True, True], [False, True], [True] * 7]
    with torch.no_grad():
        found = score.row_losses(model, rows, masks, pad_id=2)
    for ids, mask, (loss, count) in zip(rows, masks, found, strict=True):
        want, number = oracle_loss(model, {"input_ids": ids, "mask": mask})
        assert count == number
        assert loss == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "granite"])
def test_losses_in_pieces_are_those_of_all_logits(kind: str, monkeypatch):
    """The rows are read once, and the model's own code bounds or scales the logits of each piece."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ftc.runtime import score

    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 300}
    own = {"gemma2": {"final_logit_softcapping": 2.0}, "granite": {"logits_scaling": 3.0}}.get(kind, {})
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **sizes, **heads, **own)
    model = AutoModelForCausalLM.from_config(config).eval()
    rows = [list(range(3, 20)), [8, 2], list(range(40, 75))]
    masks = [[place >= len(row) // 3 for place in range(len(row))] for row in rows]
    read: list[int] = []
    model.model.layers[0].register_forward_pre_hook(lambda *_: read.append(1))
    with torch.no_grad():
        whole = score.row_losses(model, rows, masks, pad_id=2)
        monkeypatch.setattr(score, "PIECE", 3 * 3 * 300)  # three positions at a time
        parts = score.row_losses(model, rows, masks, pad_id=2)
    assert len(read) == 2
    assert "forward" not in vars(model.model)
    for (one, count), (other, number), ids, mask in zip(whole, parts, rows, masks, strict=True):
        assert count == number
        assert one == pytest.approx(other, rel=1e-6)
        want, _ = oracle_loss(model, {"input_ids": ids, "mask": mask})
        assert other == pytest.approx(want, rel=1e-5)


def test_generation_ignores_the_models_own_settings(tiny_model):
    """A repetition penalty or sampling in generation_config.json has no say, and is put back."""
    import torch
    from transformers import GenerationConfig

    from ftc.runtime import score

    model = loaded(tiny_model)
    own = GenerationConfig(
        do_sample=True, temperature=5.0, repetition_penalty=9.0, eos_token_id=[7], max_length=3
    )
    model.generation_config = own
    with torch.no_grad():
        made = score.greedy(model, [[5, 6, 7], [8]], stops=[2], pad_id=0, longest=6)
    assert model.generation_config is own
    assert made == [oracle_answer(model, [5, 6, 7], 6), oracle_answer(model, [8], 6)]


def heldout(tiny: Tiny, tmp_path: Path, rows: list[dict]) -> tuple[Tiny, Heldout]:
    part = write_part(tmp_path / "data", "eval", rows)
    other = Tiny(tmp_path, tiny.model, write_part(tmp_path / "data", "train", rows[:1]), part)
    return other, Heldout.read(part, other.data)


def test_label_tokens_are_those_of_the_rows(tiny: Tiny, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny.model / "tokenizer.json"))
    rows = [completion_row(tokenizer, "a", "the", " fox"), completion_row(tokenizer, "b", "over", " dog")]
    other, held = heldout(tiny, tmp_path, rows)
    plan = ready(other.plan())
    stops = stop_tokens(plan, held, tokenizer)
    assert stops == [2]
    parts = (plan.data.train, plan.data.eval)
    labels = ("fox", " dog", "cat")
    found = label_tokens(plan, other.data, labels, parts=parts, tokenizer=tokenizer, stops=stops)
    assert list(found) == ["fox", " dog", "cat"]
    assert found["fox"] == rows[0]["input_ids"][rows[0]["prompt_length"] :]
    assert found[" dog"] == rows[1]["input_ids"][rows[1]["prompt_length"] :]
    assert found["cat"] == [*tokenizer.encode(" cat", add_special_tokens=False).ids, 2]


def test_a_turns_own_stop_token_stops(tiny: Tiny, tmp_path):
    """Rows may end in another special token than the tokenizer's own; an ordinary token is no end."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny.model / "tokenizer.json"))
    ends = [
        completion_row(tokenizer, "a", "the", " fox", eos=1),
        completion_row(tokenizer, "b", "x", " dog", eos=50),
    ]
    other, held = heldout(tiny, tmp_path, ends)
    assert stop_tokens(ready(other.plan()), held, tokenizer) == [1, 2]


def test_documents_have_a_loss_alone(tiny: Tiny, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny.model / "tokenizer.json"))
    texts = [text_row(tokenizer, f"t{i}", "the quick brown fox " * (i + 1)) for i in range(5)]
    other, _ = heldout(tiny, tmp_path, texts)
    ran = execute(other, other.plan(steps=1, metrics=("loss", "exact_match")), tmp_path / "run")
    assert ran.status == 0, ran.log
    after = json.loads((ran.directory / "eval.json").read_text())["after"]
    assert set(after) == {"loss", "loss_tokens"}
    assert after["loss_tokens"] == sum(len(row["input_ids"]) - 1 for row in texts)


@pytest.mark.parametrize("step", ["no rows", "no step"])
def test_nothing_held_out(step, tiny: Tiny, tmp_path):
    other = Tiny(tiny.root, tiny.model, tiny.train, None)
    plan = other.plan(steps=2)
    if step == "no step":
        plan = plan.model_copy(update={"eval": None})
    ran = execute(other, plan, tmp_path / "run")
    assert ran.status == 0, ran.log
    told = json.loads((ran.directory / "eval.json").read_text())
    assert told["before"] == told["after"] == {}
    assert "No row is held out" in told["note"]
    assert ran.of(Evaluation) == []


def test_batches_do_not_change_the_results(full_run: Ran, tiny: Tiny, tmp_path):
    from ftc.plan.steps import Plan

    plan = Plan.model_validate_json((full_run.directory / "plan.json").read_text())
    ones = plan.model_copy(update={"eval": plan.eval.model_copy(update={"batch": 1})})
    ran = execute(tiny, ones, tmp_path / "run")
    alone = json.loads((ran.directory / "eval.json").read_text())
    batched = json.loads((full_run.directory / "eval.json").read_text())
    assert alone["after"]["loss"] == pytest.approx(batched["after"]["loss"], rel=1e-4)
    answers = [[row["after"]["answer"] for row in answers_of(one)] for one in (ran, full_run)]
    assert answers[0] == answers[1]
