"""Completions for fixed prompts and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from data.tokenizer import LoadedTokenizer


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How completions are drawn: `per_prompt` of each, at most `max_new_tokens` long, by nucleus sampling."""

    per_prompt: int = 8
    max_new_tokens: int = 48
    temperature: float = 0.8
    top_p: float = 0.95
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
    """`settings.per_prompt` completions for each prompt, in the order of `prompts`.

    Prompts of equal token length are drawn together, so nothing is padded on the left. The caller's random state and
    the model's training mode are left as they were.
    """
    encoded = [loaded.tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    by_length: dict[int, list[int]] = {}
    for index, ids in enumerate(encoded):
        by_length.setdefault(len(ids), []).append(index)
    config = GenerationConfig(
        do_sample=True,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=0,
        max_new_tokens=settings.max_new_tokens,
        num_return_sequences=settings.per_prompt,
        eos_token_id=loaded.separator_id,
        pad_token_id=loaded.pad_id,
        use_cache=True,
    )
    completions: list[list[Completion]] = [[] for _ in prompts]
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        for length, members in sorted(by_length.items()):
            torch.manual_seed(settings.seed)
            ids_BT = torch.tensor([encoded[i] for i in members], device=model.device)
            generate: Any = model.generate  # a mixin's method, which pyright takes for a submodule
            out_BT: Tensor = generate(ids_BT, attention_mask=torch.ones_like(ids_BT), generation_config=config)
            new_BT = out_BT[:, length:].tolist()
            for row, ids in enumerate(new_BT):
                completions[members[row // settings.per_prompt]].append(_completion(ids, loaded))
    model.train(was_training)
    return completions


def _completion(ids: list[int], loaded: LoadedTokenizer) -> Completion:
    ended = loaded.separator_id in ids
    if ended:
        ids = ids[: ids.index(loaded.separator_id)]
    text = loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return Completion(text=" ".join(text.split()), ended=ended)
