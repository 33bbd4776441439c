"""What a model makes of batches of rows: losses, greedy answers, log-probabilities of labels."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ftc.runtime.collate import attention, padded
from ftc.runtime.rows import IGNORED

if TYPE_CHECKING:
    from torch import Tensor

LABEL_ROWS = 256
"""Rows at a time when a batch of prompts is tried with many labels."""

PIECE = 2**24
"""Numbers in the logits that are there at once, unless those of one position are more."""


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _prompted(model: Any) -> Any:
    """PEFT's configuration of virtual tokens, or None for a model without."""
    config = getattr(model, "active_peft_config", None)
    return config if config is not None and config.is_prompt_learning else None


def leading(model: Any) -> int:
    """Virtual tokens that stand before each row in the model's logits; a prefix stands in the cache alone."""
    config = _prompted(model)
    return 0 if config is None or config.peft_type == "PREFIX_TUNING" else int(config.num_virtual_tokens)


def takes_positions(model: Any) -> bool:
    """Whether the model can compute the logits of some positions alone."""
    return "logits_to_keep" in inspect.signature(_base(model).forward).parameters


def row_losses(
    model: Any, tokens: list[list[int]], masks: list[list[bool]], *, pad_id: int
) -> list[tuple[float, int]]:
    """For each row the sum of its trained tokens' losses, in nats, and their number."""
    import torch

    labels = [
        [token if kept else IGNORED for token, kept in zip(ids, mask, strict=True)]
        for ids, mask in zip(tokens, masks, strict=True)
    ]
    wanted = padded(labels, IGNORED)[:, 1:]
    columns = (wanted != IGNORED).any(dim=0).nonzero().flatten()
    if not len(columns):
        return [(0.0, 0) for _ in tokens]
    losses = position_losses(model, tokens, wanted[:, columns], columns, pad_id=pad_id)
    sums = losses.to(torch.float64).sum(dim=1).tolist()
    counts = (wanted != IGNORED).sum(dim=1).tolist()
    return list(zip(sums, counts, strict=True))


def position_losses(
    model: Any, tokens: list[list[int]], wanted: Tensor, columns: Tensor, *, pad_id: int
) -> Tensor:
    """The losses of some positions of each row, in nats, of shape (rows, positions); 0 where none is wanted.

    The rows are read once. Their logits are made and given back in pieces of `PIECE` numbers, as the head
    makes each position's from its hidden state alone.
    """
    import torch
    from torch.nn.functional import cross_entropy

    inputs = {
        "input_ids": padded(tokens, pad_id).to(model.device),
        "attention_mask": attention(tokens).to(model.device),
        "use_cache": False,
    }
    wanted, columns = wanted.to(model.device), columns.to(model.device) + leading(model)
    if not takes_positions(model):
        logits = model(**inputs).logits[:, columns].float().transpose(1, 2)
        return cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="none")
    base = _base(model)
    apart = base.base_model is not base
    at_once = max(1, PIECE // (len(tokens) * _words(base))) if apart else len(columns)
    losses = []
    with read_once(base) if apart else nullcontext():
        for start in range(0, len(columns), at_once):
            some, these = (all_of[..., start : start + at_once] for all_of in (columns, wanted))
            logits = model(**inputs, logits_to_keep=some).logits.float().transpose(1, 2)
            losses.append(cross_entropy(logits, these, ignore_index=IGNORED, reduction="none"))
            del logits
    return torch.cat(losses, dim=1)


def _words(model: Any) -> int:
    """Numbers in the logits of one position."""
    words: int = model.config.get_text_config().vocab_size
    return words


@contextmanager
def read_once(model: Any) -> Iterator[None]:
    """While the block runs, the decoder computes in its first call; later ones get the same hidden states.

    So the model's own code makes logits of other positions, whatever it does behind its decoder.
    """
    decoder = model.base_model
    own, forward, read = vars(decoder).get("forward"), decoder.forward, list[Any]()

    def once(*args: Any, **kwargs: Any) -> Any:
        if not read:
            read.append(forward(*args, **kwargs))
        return read[0]

    decoder.forward = once
    try:
        yield
    finally:
        del decoder.forward
        if own is not None:
            decoder.forward = own


def row_scores(model: Any, tokens: list[list[int]], *, pad_id: int) -> list[float]:
    """The score of each row by a model whose head gives one."""
    scores: list[float] = class_scores(model, tokens, pad_id=pad_id).squeeze(-1).tolist()
    return scores


def class_scores(model: Any, tokens: list[list[int]], *, pad_id: int) -> Tensor:
    """The scores of each row by a model whose head gives some, of shape (rows, scores)."""
    logits: Tensor = model(
        input_ids=padded(tokens, pad_id).to(model.device),
        attention_mask=attention(tokens).to(model.device),
        use_cache=False,
    ).logits
    return logits.float()


def greedy(
    model: Any, prompts: list[list[int]], *, stops: list[int], pad_id: int, longest: int
) -> list[list[int]]:
    """The likeliest next token again and again, to a stop token (left out) or to `longest` tokens."""
    made = continued(model, prompts, stops=stops, pad_id=pad_id, longest=longest)
    return [_until(row, stops) for row in made.tolist()]


def continued(  # noqa: PLR0913 - what transformers is given
    model: Any,
    prompts: list[list[int]],
    *,
    stops: list[int],
    pad_id: int,
    longest: int,
    drawn: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
) -> Tensor:
    """The tokens written behind each prompt, of shape (prompts, written).

    The likeliest ones, unless `drawn` says how they are drawn; `told` are whom transformers tells of them.
    """
    import transformers

    make: Any = transformers.GenerationConfig
    how = {"do_sample": False} if drawn is None else drawn
    settings = make(max_new_tokens=longest, eos_token_id=stops, pad_token_id=pad_id, use_cache=True, **how)
    base = _base(model)
    kept, base.generation_config = base.generation_config, settings
    ids = padded(prompts, pad_id, left=True).to(model.device)
    made = model.generate(
        input_ids=ids,
        attention_mask=attention(prompts, left=True).to(model.device),
        generation_config=settings,
        **(told or {}),
    )
    base.generation_config = kept
    written: Tensor = made[:, ids.shape[1] :]
    return written


def _until(tokens: list[int], stops: list[int]) -> list[int]:
    end = next((place for place, token in enumerate(tokens) if token in stops), len(tokens))
    return tokens[:end]


def label_scores(model: Any, prompts: list[list[int]], labels: list[list[int]], *, pad_id: int) -> Tensor:
    """Sum of the log-probabilities of each label's tokens after each prompt, of shape (prompts, labels).

    The prompts are read once; every label goes on from a copy of their key-value cache.
    """
    import torch

    if _prompted(model) is not None:
        return _scored_whole(model, prompts, labels, pad_id=pad_id)
    mask = attention(prompts, left=True).to(model.device)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    few = {"logits_to_keep": 1} if takes_positions(model) else {}
    read = model(
        input_ids=padded(prompts, pad_id, left=True).to(model.device),
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        **few,
    )
    first = read.logits[:, -1].float().log_softmax(dim=-1)
    at_once = max(1, LABEL_ROWS // len(prompts))
    chunks = [labels[start : start + at_once] for start in range(0, len(labels), at_once)]
    state = (read.past_key_values, mask, positions[:, -1:] + 1)
    return torch.cat([_continued(model, first, chunk, state, pad_id) for chunk in chunks], dim=1)


def _scored_whole(model: Any, prompts: list[list[int]], labels: list[list[int]], *, pad_id: int) -> Tensor:
    """The same, each prompt read anew for each label: PEFT puts virtual tokens before what goes on, too."""
    import torch

    found = []
    for label in labels:
        rows = [prompt + label for prompt in prompts]
        masks = [[False] * len(prompt) + [True] * len(label) for prompt in prompts]
        found.append([-total for total, _ in row_losses(model, rows, masks, pad_id=pad_id)])
    return torch.tensor(found).T


def _continued(
    model: Any, first: Tensor, labels: list[list[int]], state: tuple[Any, Tensor, Tensor], pad_id: int
) -> Tensor:
    """Scores of some labels after prompts which are already read."""
    import torch

    cache, mask, next_position = state
    rows, count = len(first), len(labels)
    heads = torch.tensor([label[0] for label in labels], device=first.device)
    scores = first[:, heads]
    inner = [label[:-1] for label in labels]
    if max(map(len, inner)) == 0:
        return scores
    cache = copy.deepcopy(cache)
    cache.batch_repeat_interleave(count)
    ids = padded(inner, pad_id).to(first.device).repeat(rows, 1)
    inner_mask = attention(inner).to(first.device).repeat(rows, 1)
    steps = torch.arange(ids.shape[1], device=first.device)
    logits = model(
        input_ids=ids,
        attention_mask=torch.cat([mask.repeat_interleave(count, dim=0), inner_mask], dim=1),
        position_ids=next_position.repeat_interleave(count, dim=0) + steps,
        past_key_values=cache,
        use_cache=True,
    ).logits
    following = padded([label[1:] for label in labels], pad_id).to(first.device).repeat(rows, 1)
    found = logits.float().log_softmax(dim=-1).gather(2, following[:, :, None])[:, :, 0]
    total: Tensor = scores + (found * inner_mask).sum(dim=1).reshape(rows, count)
    return total
