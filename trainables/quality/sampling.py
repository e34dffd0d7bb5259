"""Completions for fixed prompts and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from data.tokenizer import LoadedTokenizer

CACHE_BYTES = 2**29  # of keys and values at once; assumed: little beside what training held on any card


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How completions are drawn: `per_prompt` of each, at most `max_new_tokens` long, by nucleus sampling.

    `greedy` takes the likeliest token each time: one completion a prompt, without chance.
    """

    per_prompt: int = 20
    max_new_tokens: int = 96
    temperature: float = 0.8
    top_p: float = 0.95
    greedy: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Text after the prompt, on one line; `ended` says that the model closed it with the separator itself."""

    text: str
    ended: bool


@torch.no_grad()
def sample_completions(
    model: PreTrainedModel, loaded: LoadedTokenizer, prompts: Sequence[str], settings: SamplingSettings
) -> list[list[Completion]]:
    """`settings.per_prompt` completions for each prompt, one if greedy, in the order of `prompts`.

    Prompts of equal token length are drawn together, so nothing is padded on the left, and as many at once as keep the
    cache of keys and values within `CACHE_BYTES`. The caller's random state and the model's training mode are left as
    they were.
    """
    encoded = [loaded.tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    by_length: dict[int, list[int]] = {}
    for index, ids in enumerate(encoded):
        by_length.setdefault(len(ids), []).append(index)
    drawing: dict[str, Any] = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    config = GenerationConfig(
        do_sample=not settings.greedy,
        **({} if settings.greedy else drawing),
        max_new_tokens=settings.max_new_tokens,
        eos_token_id=loaded.separator_id,
        pad_token_id=loaded.pad_id,
        use_cache=True,
    )
    completions: list[list[Completion]] = [[] for _ in prompts]
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(settings.seed)
        for length, members in sorted(by_length.items()):
            rows = [index for index in members for _ in range(1 if settings.greedy else settings.per_prompt)]
            together = _rows_together(model, length + settings.max_new_tokens)
            for chosen in (rows[start : start + together] for start in range(0, len(rows), together)):
                ids_BT = torch.tensor([encoded[index] for index in chosen], device=model.device)
                generate: Any = model.generate  # a mixin's method, which pyright takes for a submodule
                out_BT: Tensor = generate(ids_BT, attention_mask=torch.ones_like(ids_BT), generation_config=config)
                for index, ids in zip(chosen, out_BT[:, length:].tolist(), strict=True):
                    completions[index].append(_completion(ids, loaded))
    model.train(was_training)
    return completions


def _rows_together(model: PreTrainedModel, tokens: int) -> int:
    """Rows of `tokens` tokens whose keys and values fill `CACHE_BYTES`; one at least."""
    config = model.config.get_text_config()
    row_bytes = 2 * config.num_hidden_layers * config.hidden_size * tokens * model.dtype.itemsize
    return max(1, CACHE_BYTES // row_bytes)


def _completion(ids: list[int], loaded: LoadedTokenizer) -> Completion:
    ended = loaded.separator_id in ids
    if ended:
        ids = ids[: ids.index(loaded.separator_id)]
    text = loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return Completion(text=" ".join(text.split()), ended=ended)
