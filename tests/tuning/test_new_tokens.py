"""New tokens: rows compiled with them, rows of the embedding that train, and models that load as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.data.kept.shards import CompiledRow, read_rows
from ftc.diagnostics import Severity
from ftc.plan.canonical import canonical_bytes
from ftc.runtime.events import Checkpoint
from ftc.runtime.job import Job
from models import write_tiny_tokenizer
from runtime.in_process import run_job
from tuning.test_training import logits

pytestmark = pytest.mark.filterwarnings("ignore")
NEW = ("<sql>", "<end-of-plan>")
ROWS = [
    {"prompt": f"what is the capital of {i}?", "completion": f"<sql> the fox {i} <end-of-plan>"}
    for i in range(12)
]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "apart"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose head is its embedding, or one that has both."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("base")
    size = write_tiny_tokenizer(directory)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=size, **sizes, eos_token_id=2, pad_token_id=0, tie_word_embeddings=request.param
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def planned(directory: Path, base: Path, tune: str, tokens: str = "") -> ftc.PlanResult:
    directory.mkdir(exist_ok=True)
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    new = tokens or f'["{NEW[0]}", {{ text = "{NEW[1]}", special = true }}]'
    (directory / "recipe.toml").write_text(
        f'[model]\nbase = "{base}"\nnew_tokens = {new}\n[data]\nsources.rows = "rows.jsonl"\n'
        "packing = false\n"
        f"[tune]\n{tune}\n[train]\nsteps = 4\nbatch = 4\nsave_every = 2\nlearning_rate = 1e-2\n"
        '[lints]\nduplicates = "allow"\n',
        encoding="utf-8",
    )
    return ftc.plan(directory / "recipe.toml")


def job_of(result: ftc.PlanResult, base: Path, run: Path) -> Job:
    assert result.ok, result.findings
    assert result.plan is not None
    assert result.data is not None
    run.mkdir(exist_ok=True)
    (run / "plan.json").write_bytes(canonical_bytes(result.plan))
    return Job(run / "plan.json", result.data, base, run)


def loaded(base: Path, run: Path, method: str, rows: int) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if method == "full":
        return AutoModelForCausalLM.from_pretrained(run / "model").eval()
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(rows, mean_resizing=False)
    return PeftModel.from_pretrained(model, run / "model").eval()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_new_tokens_train_and_load_back(
    method: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from ftc.runtime import save
    from ftc.runtime.merge import merge

    result = planned(tmp_path, base, f'method = "{method}"')
    job = job_of(result, base, tmp_path / "run")
    assert result.plan is not None
    step = result.plan.model
    assert step is not None
    old = AutoModelForCausalLM.from_pretrained(base)
    before = old.get_input_embeddings().weight.detach()
    ids = [token.id for token in step.new_tokens]
    assert (ids, step.vocabulary) == ([len(before), len(before) + 1], len(before) + 2)

    row = next(read_rows(job.data, result.plan.data.train))
    assert set(ids) <= set(row.input_ids)

    seen: list[Any] = []
    real = save.save_model

    def look(plan: Any, model: Any, *rest: Any) -> tuple[str, ...]:
        seen.append(logits(model.eval()))
        return real(plan, model, *rest)

    monkeypatch.setattr(save, "save_model", look)
    ran = run_job(job)
    assert ran.status == 0, ran.log[-3000:]
    model = loaded(base, job.run, method, step.vocabulary)
    assert torch.allclose(logits(model), seen[0], atol=1e-5)
    assert_tokenizer(job.run / "model", row, ids)
    start = before[list(step.new_tokens[0].pieces)].mean(dim=0)
    now = model.get_input_embeddings().weight.detach()[ids[0]]
    assert not torch.equal(now, start)
    assert torch.allclose(now, start, atol=0.1)
    if method == "lora":
        merge(job.run, base, tmp_path / "merged")
        whole = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
        assert torch.allclose(logits(model), logits(whole), atol=1e-5)
    if (method == "full") == (old.config.tie_word_embeddings is True):
        return
    again = job_of(result, base, tmp_path / "again")
    assert run_job(again, lambda event: isinstance(event, Checkpoint)).status == 130
    assert run_job(again).status == 0
    files = [next((one / "model").glob("*.safetensors")).read_bytes() for one in (job.run, again.run)]
    assert files[0] == files[1]


def assert_tokenizer(directory: Path, row: CompiledRow, ids: list[int]) -> None:
    """The run's tokenizer is the one that compiled the row."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert tokenizer.decode(row.input_ids) == tokenizer.apply_chat_template(
        [{"role": "user", "content": row_of(row.id)["prompt"]}, {"role": "assistant", "content": row.target}],
        tokenize=False,
    )
    assert tokenizer(row.target, add_special_tokens=False)["input_ids"][0] == ids[0]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == NEW[0]


def row_of(name: str) -> dict[str, str]:
    return ROWS[int(name.rpartition(":")[2]) - 1]


def test_what_cannot_be_added_or_would_not_train_is_said(tmp_path: Path, tiny_model: Path) -> None:
    def codes(name: str, tune: str, tokens: str = "") -> list[str]:
        found = planned(tmp_path / name, tiny_model, tune, tokens).findings
        return [one.code for one in found if one.severity is Severity.ERROR]

    for number, tokens in enumerate(('["<|im_end|>"]', '["<a>", "<a>"]', '["a"]', '[" <a>"]')):
        assert codes(f"a{number}", 'method = "lora"', tokens) == ["FTC546"], tokens
    assert codes("b", 'method = "ia3"') == ["FTC547"]
    assert codes("c", 'method = "freeze"\nembeddings = true') == ["FTC547"]
    assert codes("d", 'method = "freeze"\nembeddings = true\nhead = true') == []
