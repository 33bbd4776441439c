"""Packed rows train as they would alone: the batches, the masks, the gradients, the proof, the restart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from in_process import Ran, execute

from ftc.data.packing.sequences import lay_out
from ftc.data.packing.sizes import Sizes
from ftc.plan.steps import Plan
from ftc.runtime.events import Failed, Step
from tiny_plan import Tiny

CAPACITY = 40


def lengths_of(tiny: Tiny) -> np.ndarray:
    tables = [pq.read_table(tiny.data / shard.file.name) for shard in tiny.train.shards]
    return np.array([len(row) for table in tables for row in table["input_ids"].to_pylist()], dtype=np.int32)


def laid_out(
    tiny: Tiny, root: Path, capacity: int | None, copies: list[int] | None = None
) -> tuple[Tiny, Any]:
    """The tiny data in a directory of its own, with sequences of its rows."""
    shutil.copytree(tiny.data, root / "data")
    lengths = lengths_of(tiny)
    times = np.ones(len(lengths), np.int32) if copies is None else np.array(copies, np.int32)
    return Tiny(root, tiny.model, tiny.train, tiny.eval), lay_out(
        Sizes(lengths, times), capacity, root / "data"
    )


def with_sequences(plan: Plan, sequences: Any) -> Plan:
    return plan.model_copy(update={"data": plan.data.model_copy(update={"sequences": sequences})})


def metrics(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ran.directory / "metrics.jsonl").read_text().splitlines()]


def failure(ran: Ran) -> Failed:
    assert ran.status == 1
    assert isinstance(ran.events[-1], Failed)
    return ran.events[-1]


@pytest.fixture(scope="session")
def packed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, Any]:
    return laid_out(tiny, tmp_path_factory.mktemp("packed"), CAPACITY)


@pytest.fixture(scope="session")
def mapped(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from ftc.runtime.rows import trainable
    from ftc.runtime.sequences import MappedRows

    target = tmp_path_factory.mktemp("mapped") / "train.arrow"
    return MappedRows(trainable(tiny.train, tiny.data, target))


def test_a_batch_is_the_one_of_trl(mapped: Any) -> None:
    """TRL's collator without padding is the oracle: tokens, labels and positions are its own."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from ftc.runtime.collate import PackedCollator, rows_of, tokens_of

    sequences = [[3, 5, 0], [7], [1, 2]]
    ours = PackedCollator(mapped)([{"rows": rows, "length": 0} for rows in sequences])
    gathered = [mapped(rows) for rows in sequences]
    examples = [
        {"input_ids": g.tokens, "labels": g.labels, "seq_lengths": g.lengths.tolist()} for g in gathered
    ]
    theirs = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(examples)
    for name in ("input_ids", "labels", "position_ids"):
        assert ours[name].tolist() == theirs[name].tolist(), name
    assert ours["row"].tolist() == [3, 5, 0, 7, 1, 2]
    assert "attention_mask" not in ours
    assert tokens_of(ours) == sum(g.lengths.sum() for g in gathered)
    alone = [mapped([row]) for rows in sequences for row in rows]
    assert list(rows_of(ours)) == [(one.tokens.tolist(), one.labels.tolist()) for one in alone]
    assert all(one.labels[0] == -100 for one in alone)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_the_mask_of_a_packed_batch_is_block_diagonal(tiny: Tiny, mapped: Any, kernel: str) -> None:
    """What transformers makes of the positions: each row sees itself and what came before in it."""
    import torch
    from transformers import AutoConfig
    from transformers.masking_utils import create_causal_mask
    from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids

    from ftc.runtime.collate import PackedCollator

    batch = PackedCollator(mapped).batch([4, 0, 9, 1])
    lengths = mapped([4, 0, 9, 1]).lengths.tolist()
    config = AutoConfig.from_pretrained(tiny.model)
    config._attn_implementation = kernel
    embeds = torch.zeros(1, sum(lengths), config.hidden_size)
    mask = create_causal_mask(
        config=config,
        inputs_embeds=embeds,
        attention_mask=None,
        past_key_values=None,
        position_ids=batch["position_ids"],
    )
    seen = mask[0, 0] if mask.dtype == torch.bool else mask[0, 0] == 0
    blocks = [torch.ones(n, n, dtype=torch.bool).tril() for n in lengths]
    assert torch.equal(seen, torch.block_diag(*blocks).bool())
    (starts, _), (longest, _) = prepare_fa_kwargs_from_position_ids(batch["position_ids"])
    assert starts.tolist() == [0, *np.cumsum(lengths).tolist()]
    assert int(longest) == max(lengths)


def test_packed_steps_are_the_unpacked_steps(tiny: Tiny, packed: tuple[Tiny, Any], tmp_path: Path) -> None:
    """A step over the same rows, packed or padded, has the same loss, gradient and weights."""
    from safetensors.numpy import load_file

    where, sequences = packed
    rows = {"method": "full", "steps": 3, "save_every": 3, "learning_rate": 1e-3}
    padded = execute(tiny, tiny.plan(**rows, micro_batch=6, accumulation=4), tmp_path / "padded")
    assert sequences.count % 2 == 0  # two sequences at a time, end to end
    halves = where.plan(**rows, micro_batch=2, accumulation=sequences.count // 2)
    joined = execute(where, with_sequences(halves, sequences), tmp_path / "joined")
    assert padded.status == joined.status == 0, joined.log
    for one, other in zip(metrics(padded), metrics(joined), strict=True):
        assert one["tokens"] == other["tokens"] == tiny.train.tokens
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    weights = [load_file(ran.directory / "model" / "model.safetensors") for ran in (padded, joined)]
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name], tensor, rtol=1e-3, atol=2e-5, err_msg=name)


def test_a_stopped_packed_run_ends_with_the_same_bytes(packed: tuple[Tiny, Any], tmp_path: Path) -> None:
    where, sequences = packed
    plan = with_sequences(where.plan(steps=4, save_every=4, micro_batch=2), sequences)
    whole = execute(where, plan, tmp_path / "whole")
    run = tmp_path / "run"
    stopped = execute(where, plan, run, lambda event: isinstance(event, Step) and event.step == 3)
    assert stopped.status == 130
    assert execute(where, plan, run).status == 0
    for name in ("model/adapter_model.safetensors", "metrics.jsonl"):
        assert (run / name).read_bytes() == (whole.directory / name).read_bytes(), name


def test_repeated_rows_train_as_often_as_they_are_listed(tiny: Tiny, tmp_path: Path) -> None:
    copies = [1] * (tiny.train.rows - 4) + [3] * 4
    where, sequences = laid_out(tiny, tmp_path, None, copies)
    assert sequences.count == tiny.train.rows + 8
    plan = with_sequences(where.plan(steps=4, save_every=4, micro_batch=8), sequences)
    ran = execute(where, plan, tmp_path / "run")
    assert ran.status == 0, ran.log
    assert sum(line["tokens"] for line in metrics(ran)) == sequences.tokens == int(lengths_of(tiny) @ copies)


def test_a_model_that_sees_the_row_before_is_not_trained(
    packed: tuple[Tiny, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With positions unheeded, as some modelling code leaves them, the proof fails before the first step."""
    from transformers import masking_utils

    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda *_, **__: None)
    where, sequences = packed
    ran = execute(where, with_sequences(where.plan(steps=2), sequences), tmp_path / "run")
    event = failure(ran)
    assert (event.code, ran.of(Step)) == ("FTC712", [])
    assert "packed rows see each other" in event.message
    assert event.help == ("write packing = false under [data]",)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_recurrent_model_is_found_out_and_a_llama_is_not(tiny: Tiny, mapped: Any, dtype: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

    from ftc.runtime.failure import BuildError
    from ftc.runtime.isolation import prove

    kind = getattr(torch, dtype)
    llama = AutoModelForCausalLM.from_pretrained(tiny.model, dtype=kind).train()
    prove(llama, mapped, dtype)
    assert llama.training
    config = MambaConfig(
        vocab_size=llama.config.vocab_size, hidden_size=32, num_hidden_layers=2, state_size=4
    )
    torch.manual_seed(0)
    with pytest.raises(BuildError, match="packed rows see each other"):
        prove(MambaForCausalLM(config).to(kind), mapped, dtype)


def test_a_changed_packed_batch_is_noticed(
    packed: tuple[Tiny, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.runtime.collate import PackedCollator

    collate = PackedCollator.__call__

    def spoiled(self: Any, examples: Any) -> Any:
        batch = collate(self, examples)
        batch["labels"][0, 0] = 7
        return batch

    monkeypatch.setattr(PackedCollator, "__call__", spoiled)
    where, sequences = packed
    ran = execute(where, with_sequences(where.plan(steps=1), sequences), tmp_path / "run")
    assert "changed row" in failure(ran).message


@pytest.mark.parametrize("damage", ["bytes", "rows"])
def test_other_sequences_than_the_plan_s_are_refused(tiny: Tiny, tmp_path: Path, damage: str) -> None:
    where, sequences = laid_out(tiny, tmp_path, CAPACITY)
    if damage == "bytes":
        path = where.data / sequences.file.name
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        sequences = sequences.model_copy(update={"rows": sequences.rows + 1})
    ran = execute(where, with_sequences(where.plan(steps=1), sequences), tmp_path / "run")
    assert failure(ran).code == "FTC706"
