"""Completions for fixed prompts and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from data.tokenizer import LoadedTokenizer

CACHE_BYTES = 2**29  # of keys and values at once; assumed: little beside what training held on any card
ENDED_SHARE = 1 / 8  # of a batch's rows, before those that ended are taken out; assumed: taking out copies the cache


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

    Each row has its own chances, drawn beforehand, so what is drawn beside it does not change it. As many rows go at
    once as keep the cache of keys and values within `CACHE_BYTES`. The caller's random state and the model's training
    mode are left as they were.
    """
    encoded = [loaded.tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    count = 1 if settings.greedy else settings.per_prompt
    rows = [index for index in range(len(prompts)) for _ in range(count)]
    chances_NT = torch.rand(len(rows), settings.max_new_tokens, generator=torch.Generator().manual_seed(settings.seed))
    together = _rows_together(model, max(map(len, encoded)) + settings.max_new_tokens) if rows else 1
    completions: list[list[Completion]] = [[] for _ in prompts]
    was_training = model.training
    model.eval()
    for start in range(0, len(rows), together):
        chosen = rows[start : start + together]
        chances_BT = chances_NT[start : start + together].to(model.device)
        drawn = _continue(model, [encoded[index] for index in chosen], chances_BT, loaded.separator_id, settings)
        for index, ids in zip(chosen, drawn, strict=True):
            completions[index].append(_completion(ids, loaded))
    model.train(was_training)
    return completions


def _continue(
    model: PreTrainedModel, prompts: Sequence[list[int]], chances_BT: Tensor, end_id: int, settings: SamplingSettings
) -> list[list[int]]:
    """New tokens of each prompt, up to and with `end_id`; `chances_BT` in [0, 1) decide them.

    All rows start at position 0 and move on together: where a row still is in its prompt, the prompt's token stands in
    for the drawn one. So nothing is padded, whatever the lengths. Rows that have ended leave the batch and the cache.
    """
    new_tokens: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))  # the rows that the cache holds, in its order
    ids_BT = torch.tensor([prompt[: min(map(len, prompts))] for prompt in prompts], device=model.device)
    cache, length = None, ids_BT.shape[1]
    while True:
        output = model(input_ids=ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        drawing_B = [max(0, length - len(prompts[row])) for row in alive]  # which of a row's chances is next
        places_B = [min(place, settings.max_new_tokens - 1) for place in drawing_B]
        chosen_B = _draw(output.logits[:, -1].float(), chances_BT[alive, places_B], settings).tolist()
        for place, row in enumerate(alive):
            if length < len(prompts[row]):
                chosen_B[place] = prompts[row][length]
            elif not _is_over(new_tokens[row], end_id, settings):
                new_tokens[row].append(chosen_B[place])
        going = [place for place, row in enumerate(alive) if not _is_over(new_tokens[row], end_id, settings)]
        if not going:
            return new_tokens
        if len(going) <= len(alive) * (1 - ENDED_SHARE):
            cache.batch_select_indices(torch.tensor(going, device=model.device))
            alive, chosen_B = [alive[place] for place in going], [chosen_B[place] for place in going]
        ids_BT = torch.tensor(chosen_B, device=model.device)[:, None]
        length += 1


def _is_over(new_tokens: Sequence[int], end_id: int, settings: SamplingSettings) -> bool:
    return len(new_tokens) == settings.max_new_tokens or (bool(new_tokens) and new_tokens[-1] == end_id)


def _draw(logits_BV: Tensor, chances_B: Tensor, settings: SamplingSettings) -> Tensor:
    """The token of each row that its chance in [0, 1) picks among the likeliest that make up `top_p`, or the likeliest.

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1: nucleus sampling.
    """
    if settings.greedy:
        return logits_BV.argmax(-1)
    sorted_BV, tokens_BV = (logits_BV / settings.temperature).softmax(-1).sort(descending=True)
    mass_BV = sorted_BV.cumsum(-1)
    kept_B1 = (mass_BV - sorted_BV < settings.top_p).sum(-1, keepdim=True)
    wanted_B1 = chances_B[:, None] * mass_BV.gather(-1, kept_B1 - 1)
    place_B1 = torch.searchsorted(mass_BV, wanted_B1, right=True).minimum(kept_B1 - 1)
    return tokens_BV.gather(-1, place_B1)[:, 0]


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
