"""Micro-batch, checkpointing and limit of length against the memory of the device that a plan is for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plan_facts import COMPILED, context_of, part
from pydantic import JsonValue

from ftc.diagnostics import Finding, Severity
from ftc.estimate.fit import Fit
from ftc.facts.machine import CudaDevice
from ftc.plan.account import Ledger, SourceRows
from ftc.plan.context import Context, Outcome
from ftc.plan.fitting import with_fit
from ftc.plan.pipeline import run_passes
from ftc.plan.steps import DataStep, Plan, TrainStep

ROWS = {"prompt": "VARCHAR", "completion": "VARCHAR"}
SOME_8B: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}
AUTO = '[train]\nmicro_batch = "auto"\ngradient_checkpointing = "auto"\n'


def compiled(longest: int = 2048, rows: int = 1000) -> DataStep:
    """Rows of 600 tokens and one of `longest`, with answers of 300 at most."""
    tokens = {"longest": longest, "tokens": rows * 600, "trained_tokens": rows * 100}
    ledger = Ledger(
        sources=(SourceRows(name="rows", rows=rows + 4),), read=rows + 4, lines=(), train=rows, eval=4
    )
    return COMPILED.model_copy(
        update={
            "train": part("train", rows).model_copy(update=tokens),
            "ledger": ledger,
            "labels": None,
            "longest_target": 300,
        }
    )


def context(directory: Path, extra: str, data: DataStep | None = None, **facts: Any) -> Context:
    made = context_of(directory, ROWS, extra, data or compiled())
    config = facts.pop("config", SOME_8B)
    model = replace(made.facts.model, config=config)
    model.__dict__["tensor_names"] = ()
    packages = {"torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0"}
    return replace(made, facts=replace(made.facts, model=model, packages=packages, **facts))


def planned(directory: Path, extra: str, data: DataStep | None = None, **facts: Any) -> Outcome:
    return run_passes(Plan(name="x", seed=0), context(directory, extra, data, **facts), after="schedule")


def on(gpu: str, rest: str = AUTO) -> str:
    """The recipe's end: rows are not packed."""
    data, split = ("", rest) if not rest.startswith("[data]\n") else (rest.removeprefix("[data]\n"), "")
    return f'[data]\npacking = false\n{data}{split}[hardware]\ngpu = "{gpu}"\n'


def reason(outcome: Outcome, key: str) -> tuple[JsonValue, str]:
    return next((one.value, one.reason) for one in outcome.plan.choices if one.key == key)


def codes(outcome: Outcome) -> list[tuple[str, Severity]]:
    return [(finding.code, finding.severity) for finding in outcome.findings]


def micro(outcome: Outcome) -> int:
    assert outcome.plan.train is not None
    return outcome.plan.train.micro_batch


def test_auto_takes_the_most_that_fits_and_says_why(tmp_path: Path) -> None:
    outcome = planned(tmp_path, on("L4"))
    assert outcome.findings == ()
    value, why = reason(outcome, "train.micro_batch")
    assert why.startswith("the largest part of the batch that fits: peak ")
    assert re.search(r"of 22\.\d GiB on L4 \(.*\), 10% left free$", why)
    again, because = reason(outcome, "train.gradient_checkpointing")
    assert again is True
    assert because.startswith("without it one row at a time needs")
    train = outcome.plan.train
    assert train is not None
    assert train.micro_batch == value
    assert train.micro_batch * train.accumulation == train.batch == 16
    assert train.arguments["per_device_train_batch_size"] == value
    assert train.arguments["gradient_accumulation_steps"] == train.accumulation
    assert train.arguments["gradient_checkpointing"] is True
    assert list(train.arguments) == sorted(train.arguments)


def test_the_next_micro_batch_does_not_fit(tmp_path: Path) -> None:
    most = micro(planned(tmp_path, on("A100-80GB")))
    stated = f"[train]\nmicro_batch = {most * 2}\n"
    assert codes(planned(tmp_path, on("A100-80GB", stated))) == [("FTC862", Severity.ERROR)]


def test_more_memory_gives_more_rows_without_checkpointing(tmp_path: Path) -> None:
    rest = '[train]\nmicro_batch = "auto"\ngradient_checkpointing = true\n'
    sizes = [micro(planned(tmp_path, on(gpu, rest))) for gpu in ("L4", "L40S", "A100-80GB", "B200")]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    value, _ = reason(planned(tmp_path, on("B200")), "train.gradient_checkpointing")
    assert value is False


def test_more_headroom_leaves_more(tmp_path: Path) -> None:
    rest = '[train]\nmicro_batch = "auto"\ngradient_checkpointing = true\n'
    half = on("A100-80GB", rest) + "headroom = 0.6\n"
    outcome = planned(tmp_path, half)
    assert micro(outcome) < micro(planned(tmp_path, on("A100-80GB", rest)))
    assert "60% left free" in reason(outcome, "train.micro_batch")[1]


def test_unset_stays_as_it_is_where_that_fits(tmp_path: Path) -> None:
    outcome = planned(tmp_path, on("B200", ""))
    assert reason(outcome, "train.micro_batch")[1].startswith("the longest row has 2048 tokens")
    smaller = planned(tmp_path, on("A100-80GB", ""))
    assert micro(smaller) < micro(outcome)
    assert "that fits: peak" in reason(smaller, "train.micro_batch")[1]
    unknown = planned(tmp_path, "[data]\npacking = false\n")
    assert micro(unknown) == micro(outcome)


def test_a_gpu_yet_to_be_chosen_settles_nothing(tmp_path: Path) -> None:
    outcome = planned(tmp_path, on("auto"))
    assert outcome.findings == ()
    assert micro(outcome) == micro(planned(tmp_path, on("B200", "")))


def test_what_does_not_fit_is_an_error_where_the_device_is_named(tmp_path: Path) -> None:
    own = CudaDevice("Some GPU", 8 << 30, (8, 9))
    assert codes(planned(tmp_path, on("T4"))) == [("FTC860", Severity.ERROR)]
    here = "[data]\npacking = false\n"
    assert codes(planned(tmp_path, here, device="cuda", gpu=own)) == [("FTC860", Severity.WARNING)]
    stated = here + "[train]\nmicro_batch = 8\n"
    assert codes(planned(tmp_path, stated, device="cuda", gpu=own)) == [("FTC862", Severity.WARNING)]
    asked = here + AUTO
    assert codes(planned(tmp_path, asked, device="cuda", gpu=own)) == [("FTC860", Severity.ERROR)]


def test_a_step_that_leaves_little_is_a_warning(tmp_path: Path) -> None:
    tight = on("L4", "[train]\nmicro_batch = 4\ngradient_checkpointing = true\n")
    (finding,) = planned(tmp_path, tight, compiled(1536)).findings
    assert (finding.code, finding.severity) == ("FTC861", Severity.WARNING)
    assert "write micro_batch = 2: peak" in finding.help[0]


def test_this_machines_memory_counts_on_the_cpu(tmp_path: Path) -> None:
    here = "[data]\npacking = false\n" + AUTO
    (finding,) = planned(tmp_path, here, memory=16 << 30).findings
    assert finding.code == "FTC860"
    assert "of this machine's 16.0 GiB" in finding.message
    assert "write gpu" in finding.help[-1]
    assert planned(tmp_path, here, memory=1 << 40).findings == ()


CHANGES = (
    (r"write micro_batch = (\d+):", "train", "micro_batch = {}"),
    (r"write gradient_checkpointing = true:", "train", "gradient_checkpointing = true"),
    (
        r"write gradient_checkpointing = true and micro_batch = (\d+):",
        "train",
        "gradient_checkpointing = true\nmicro_batch = {}",
    ),
    (r'write method = "lora" under \[tune\]', "tune", 'method = "lora"'),
    (r'write gpu = "([^"]+)" under \[hardware\]', "hardware", 'gpu = "{}"'),
)


def settings_of(line: str) -> tuple[str, str] | None:
    """The table and the settings that a help line says to write; None for what ftc does not offer."""
    for pattern, table, written in CHANGES:
        found = re.match(pattern, line)
        if found:
            return table, written.format(*found.groups())
    return None


@pytest.mark.parametrize(
    ("gpu", "train", "tune"),
    [
        ("A100-80GB", "micro_batch = 8", ""),
        ("L4", "micro_batch = 8", ""),
        ("L4", 'micro_batch = "auto"', ""),
        ("H100", 'micro_batch = "auto"', 'method = "full"'),
        ("T4", 'micro_batch = "auto"', ""),
    ],
)
def test_what_is_advised_fits(gpu: str, train: str, tune: str, tmp_path: Path) -> None:
    written = {"data": "packing = false", "train": train, "tune": tune, "hardware": f'gpu = "{gpu}"'}

    def of(tables: dict[str, str]) -> tuple[Finding, ...]:
        names = ("data", "train", "tune", "hardware")
        return planned(tmp_path, "".join(f"[{name}]\n{tables[name]}\n" for name in names)).findings

    (finding,) = of(written)
    advised = [change for line in finding.help if (change := settings_of(line))]
    assert advised
    for table, text in advised:
        key = text.partition(" ")[0]
        kept = "\n".join(line for line in written[table].splitlines() if not line.startswith(key))
        kept = "" if "micro_batch" in text else kept
        more = {"train": "gradient_checkpointing = true"} if table == "tune" else {}
        assert of({**written, **more, table: f"{kept}\n{text}"}) == (), text


def test_what_ftc_does_not_offer_is_marked(tmp_path: Path) -> None:
    (finding,) = planned(tmp_path, on("T4")).findings
    quantised = next(line for line in finding.help if "qlora" in line)
    several = next(line for line in finding.help if "FSDP" in line)
    assert quantised.startswith('write method = "qlora" under [tune]')
    assert "which ftc does not offer yet: peak " in several


def test_what_cannot_be_estimated_is_said(tmp_path: Path) -> None:
    unknown = {**SOME_8B, "model_type": "mamba"}
    (finding,) = planned(tmp_path, on("L4"), config=unknown).findings
    assert (finding.code, finding.severity) == ("FTC863", Severity.WARNING)
    assert "model type mamba" in finding.message
    note = planned(tmp_path, on("L4", ""), config=unknown)
    assert codes(note) == [("FTC863", Severity.NOTE)]
    silent = planned(tmp_path, "[data]\npacking = false\n", config=unknown)
    assert silent.findings == ()
    apple = planned(tmp_path, "[data]\npacking = false\n" + AUTO, device="mps")
    (finding,) = apple.findings
    assert finding.code == "FTC863"
    assert "name the device" in finding.help[0]
    assert micro(apple) == micro(silent)


def test_the_longest_row_that_fits(tmp_path: Path) -> None:
    rest = '[data]\nmax_length = "auto"\n[train]\ngradient_checkpointing = true\n'
    outcome = planned(tmp_path, on("L4", rest))
    limits = outcome.plan.limits
    assert limits is not None
    assert limits.max_length % 64 == 0
    assert limits.max_length < 40960
    assert "the longest row that fits by itself: peak" in reason(outcome, "data.max_length")[1]
    longer = planned(tmp_path, on("L4", rest), compiled(limits.max_length))
    assert micro(longer) == 1
    assert longer.findings == ()
    too_long = f"[data]\nmax_length = {limits.max_length + 512}\n[train]\ngradient_checkpointing = true\n"
    assert codes(planned(tmp_path, on("L4", too_long), compiled(limits.max_length + 512))) == [
        ("FTC861", Severity.WARNING)
    ]
    whole = planned(tmp_path, on("B200", rest))
    assert reason(whole, "data.max_length")[0] == 40960
    assert "the model's context, which fits" in reason(whole, "data.max_length")[1]


def test_no_row_fits(tmp_path: Path) -> None:
    outcome = planned(tmp_path, on("T4", '[data]\nmax_length = "auto"\n'))
    assert codes(outcome) == [("FTC860", Severity.ERROR)]
    assert outcome.findings[0].message.startswith("not even rows of 64 tokens fit")


def test_a_limit_without_an_estimate_is_the_models_context(tmp_path: Path) -> None:
    outcome = planned(tmp_path, '[data]\npacking = false\nmax_length = "auto"\n', device="mps")
    assert codes(outcome) == [("FTC863", Severity.WARNING)]
    assert reason(outcome, "data.max_length")[0] == 40960


def test_fewer_held_out_rows_are_advised_where_those_are_what_does_not_fit(tmp_path: Path) -> None:
    data = compiled(256)
    held = part("eval", 40).model_copy(update={"longest": 256, "tokens": 40 * 200})
    ledger = data.ledger.model_copy(update={"eval": 40, "read": 1040})
    ledger = ledger.model_copy(update={"sources": (SourceRows(name="rows", rows=1040),)})
    data = data.model_copy(update={"eval": held, "ledger": ledger, "longest_target": 100})
    answers = '[eval]\nmetrics = ["exact_match"]\nmax_new_tokens = 8192\n'
    split = f"[data]\nsplit = {{ eval = 40 }}\n{answers}[train]\nmicro_batch = 1\n"
    (finding,) = planned(tmp_path, on("L4", split), data).findings
    assert "(evaluation)" in finding.message
    line = next(line for line in finding.help if "under [eval]" in line)
    rows = re.search(r"write batch = (\d+) under \[eval\]: peak ", line)
    assert rows is not None
    fewer = split.replace("[eval]\n", f"[eval]\nbatch = {rows[1]}\n")
    assert planned(tmp_path, on("L4", fewer), data).findings == ()


def test_a_prompts_answers_stay_together_where_the_micro_batch_changes() -> None:
    """A prompt of GRPO is as many of the trainer's rows as answers are sampled to it."""
    train = TrainStep(
        steps=1,
        epochs=1,
        batch=8,
        micro_batch=4,
        accumulation=2,
        save_every=1,
        arguments={"per_device_train_batch_size": 4 * 6},
    )
    changed = with_fit(train, Fit(2, checkpointing=False))
    assert (changed.micro_batch, changed.accumulation) == (2, 4)
    assert changed.arguments["per_device_train_batch_size"] == 2 * 6
