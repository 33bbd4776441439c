"""Embedding models: loaded with sentence-transformers, trained on compiled tokens, measured by retrieval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.plan.steps import ModelStep
from ftc.runtime.collate import attention, padded
from ftc.runtime.ready import Ready

if TYPE_CHECKING:
    from torch import Tensor

    from ftc.runtime.evaluate import Evaluator, Row

RANKED = 100
"""Texts of each ranking that are kept."""


POOLINGS = {"mean": "mean", "last": "lasttoken", "cls": "cls"}
"""What sentence-transformers calls the ways from the vectors of tokens to one."""


def load(step: ModelStep, directory: Path, device: str, pooling: object = None) -> Any:
    """The model of a sentence-transformers directory, or of any other under a pooling.

    A text is read as it stands, as it is trained on, where the tokenizer would have a chat template for it.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    kwargs = {"dtype": getattr(torch, step.dtype), "use_safetensors": True}
    model: Any = SentenceTransformer(
        str(directory), device=device, local_files_only=True, model_kwargs=kwargs
    )
    if pooling is not None and not (directory / "modules.json").is_file():
        model[1] = Pooling(model[1].embedding_dimension, POOLINGS[str(pooling)])
    ways = getattr(model[0], "modality_config", {})
    if "text" in ways and len(ways) > 1:
        model[0].modality_config = {"text": ways["text"]}
    return model


def adapted(model: Any, config: Any) -> Any:
    """The model with an adapter in its transformer, as sentence-transformers adds it, in float32."""
    from peft.tuners.tuners_utils import cast_adapter_dtype

    model.add_adapter(config)
    cast_adapter_dtype(model, adapter_name="default")
    return model


def loss(plan: Ready, model: Any) -> Any:
    """The loss that the plan names, over features of anchors, positives and perhaps negatives."""
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.util import cos_sim

    options = plan.objective.options
    scale, margin = (float(str(options[name])) for name in ("scale", "margin"))
    if options["loss"] == "in_batch":
        return losses.MultipleNegativesRankingLoss(model, scale=scale, similarity_fct=cos_sim)
    if options["loss"] == "triplet":
        metric = losses.TripletDistanceMetric.COSINE
        return losses.TripletLoss(model, distance_metric=metric, triplet_margin=margin)
    return _contrastive(losses.ContrastiveLoss(model, margin=margin))


def _contrastive(pairs: Any) -> Any:
    """The loss of pairs that belong together or not, over triplets: each is one pair of either kind."""
    import torch

    class Triplets(torch.nn.Module):
        """Triplets as twice as many pairs: the loss is the mean over all of them."""

        def __init__(self) -> None:
            super().__init__()
            self.pairs = pairs

        def forward(self, features: list[dict[str, Tensor]], _labels: Tensor | None = None) -> Tensor:
            """The loss of features of anchors, positives and negatives."""
            anchor, positive, negative = features
            rows = len(anchor["input_ids"])
            right, wrong = (torch.full((rows,), kind, device=pairs.model.device) for kind in (1, 0))
            both = pairs([anchor, positive], right) + pairs([anchor, negative], wrong)
            mean: Tensor = both / 2
            return mean

    return Triplets()


class MemberCollator:
    """Batches of rows with several texts, each apart, as sentence-transformers takes them."""

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, pad_id: int, members: tuple[str, ...]) -> None:
        self.pad_id, self._members = pad_id, members

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids and attention_mask (rows, longest) of each member, and row (rows)."""
        import torch

        batch: dict[str, Tensor] = {}
        for place, member in enumerate(self._members):
            texts = [_member(example, place) for example in examples]
            batch[f"{member}_input_ids"] = padded(texts, self.pad_id)
            batch[f"{member}_attention_mask"] = attention(texts)
        return batch | {"row": torch.tensor([example["row"] for example in examples])}


def _member(example: dict[str, Any], place: int) -> list[int]:
    lengths = example["lengths"]
    start = sum(lengths[:place])
    tokens: list[int] = example["input_ids"][start : start + lengths[place]]
    return tokens


def ranked(evaluator: Evaluator, model: Any, rows: list[Row]) -> None:
    """For each held-out anchor the held-out positives, the most similar first, by the ids of their rows.

    Positives that are the same text are one; all those are relevant that stand in a row with this anchor.
    """
    held, numbers = evaluator.heldout, range(len(rows))
    texts = [[tuple(held.member(row, place)[0]) for row in numbers] for place in range(2)]
    documents: dict[tuple[int, ...], int] = {}
    for row, text in enumerate(texts[1]):
        documents.setdefault(text, row)
    right: dict[tuple[int, ...], set[int]] = {}
    for anchor, positive in zip(*texts, strict=True):
        right.setdefault(anchor, set()).add(documents[positive])
    queries = _encoded(evaluator, model, texts[0], "anchors")
    found = _encoded(evaluator, model, list(documents), "positives")
    places = list(documents.values())
    order = (queries @ found.T).argsort(dim=1, descending=True, stable=True)[:, :RANKED].tolist()
    for row, anchor in enumerate(texts[0]):
        ids = [held.ids[places[place]] for place in order[row]]
        relevant = [held.ids[place] for place in sorted(right[anchor])]
        rows[row].setdefault("columns", {}).update(ranked=ids, relevant=relevant)


def _encoded(evaluator: Evaluator, model: Any, texts: list[tuple[int, ...]], what: str) -> Tensor:
    """Unit vectors of texts, of shape (texts, features)."""
    import torch
    from torch.nn.functional import normalize

    vectors: dict[int, Tensor] = {}
    for batch in evaluator.in_turn(list(range(len(texts))), [len(text) for text in texts], what):
        tokens = [list(texts[number]) for number in batch]
        features = {"input_ids": padded(tokens, evaluator.pad), "attention_mask": attention(tokens)}
        out = model({name: tensor.to(model.device) for name, tensor in features.items()})
        vectors.update(zip(batch, normalize(out["sentence_embedding"].float(), dim=1).cpu(), strict=True))
    return torch.stack([vectors[number] for number in range(len(texts))])
