"""Completions for fixed prompts and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from data.tokenizer import LoadedTokenizer

CPU_CACHE_BYTES = 2**30  # of keys and values at once; assumed: little beside a trial's processes
CUDA_SHARE = 0.7  # of what is free on a card, for keys and values; assumed: a step's own tensors need far less
LIKELIEST = 128  # tokens that nucleus sampling sorts first: mostly they hold all of the nucleus
ENDED_SHARE = 1 / 8  # of a batch's rows, before those that ended are taken out; assumed: taking out copies the cache

OnProgress = Callable[[int, int], None]
"""Hears how many completions have ended, and of how many."""


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
    model: PreTrainedModel,
    loaded: LoadedTokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    *,
    cap_bytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[list[Completion]]:
    """`settings.per_prompt` completions for each prompt, one if greedy, in the order of `prompts`.

    Each row has its own chances, drawn beforehand, so what is drawn beside it does not change it. As many rows go at
    once as their keys and values have room for, on a card within `cap_bytes` in all. `on_progress` hears when
    more have ended. The caller's random state and the model's training mode are left as they were.
    """
    encoded = [loaded.tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    count = 1 if settings.greedy else settings.per_prompt
    rows = [index for index in range(len(prompts)) for _ in range(count)]
    chances_NT = torch.rand(len(rows), settings.max_new_tokens, generator=torch.Generator().manual_seed(settings.seed))
    row_bytes = cache_bytes(model.config, max(map(len, encoded), default=0) + settings.max_new_tokens, model.dtype)
    together = max(1, _room_bytes(model.device, cap_bytes) // row_bytes)
    completions: list[list[Completion]] = [[] for _ in prompts]
    was_training, told = model.training, 0
    model.eval()
    for start in range(0, len(rows), together):
        chosen = rows[start : start + together]
        chances_BT = chances_NT[start : start + together].to(model.device)

        def tell(ended: int, before: int = start) -> None:
            nonlocal told
            if on_progress and before + ended > told:
                told = before + ended
                on_progress(told, len(rows))

        drawn = _continue(model, [encoded[index] for index in chosen], chances_BT, loaded.separator_id, settings, tell)
        for index, ids in zip(chosen, drawn, strict=True):
            completions[index].append(_completion(ids, loaded))
    model.train(was_training)
    return completions


def _continue(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    chances_BT: Tensor,
    end_id: int,
    settings: SamplingSettings,
    tell: Callable[[int], None],
) -> list[list[int]]:
    """New tokens of each prompt, up to and with `end_id`; `chances_BT` in [0, 1) decide them.

    All rows start at position 0 and move on together: where a row still is in its prompt, the prompt's token stands in
    for the drawn one. So nothing is padded, whatever the lengths. A beginning that rows have in common is read once.
    Rows that have ended leave the batch and the cache; `tell` hears how many have, after each token.
    """
    new_tokens: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))  # the rows that the cache holds, in its order
    length = min(map(len, prompts))
    beginnings = list(dict.fromkeys(tuple(prompt[:length]) for prompt in prompts))
    output = model(input_ids=torch.tensor(beginnings, device=model.device), use_cache=True, logits_to_keep=1)
    cache = output.past_key_values
    sources_B = torch.tensor([beginnings.index(tuple(prompt[:length])) for prompt in prompts], device=model.device)
    cache.batch_select_indices(sources_B)
    logits_BV = output.logits[:, -1][sources_B]
    while True:
        drawing_B = [max(0, length - len(prompts[row])) for row in alive]  # which of a row's chances is next
        places_B = [min(place, settings.max_new_tokens - 1) for place in drawing_B]
        chosen_B = _draw(logits_BV.float(), chances_BT[alive, places_B], settings).tolist()
        for place, row in enumerate(alive):
            if length < len(prompts[row]):
                chosen_B[place] = prompts[row][length]
            elif not _is_over(new_tokens[row], end_id, settings):
                new_tokens[row].append(chosen_B[place])
        going = [place for place, row in enumerate(alive) if not _is_over(new_tokens[row], end_id, settings)]
        tell(len(prompts) - len(going))
        if not going:
            return new_tokens
        if len(going) <= len(alive) * (1 - ENDED_SHARE):
            cache.batch_select_indices(torch.tensor(going, device=model.device))
            alive, chosen_B = [alive[place] for place in going], [chosen_B[place] for place in going]
        ids_B1 = torch.tensor(chosen_B, device=model.device)[:, None]
        logits_BV = model(input_ids=ids_B1, past_key_values=cache, use_cache=True).logits[:, -1]
        length += 1


def _is_over(new_tokens: Sequence[int], end_id: int, settings: SamplingSettings) -> bool:
    return len(new_tokens) == settings.max_new_tokens or (bool(new_tokens) and new_tokens[-1] == end_id)


def _draw(logits_BV: Tensor, chances_B: Tensor, settings: SamplingSettings) -> Tensor:
    """The token of each row that its chance in [0, 1) picks among the likeliest that make up `top_p`, or the likeliest.

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1: nucleus sampling.
    """
    if settings.greedy:
        return logits_BV.argmax(-1)
    chances_BV = (logits_BV / settings.temperature).softmax(-1)
    largest_BK, tokens_BK = chances_BV.topk(min(LIKELIEST, chances_BV.shape[-1]))
    drawn_B = _pick(largest_BK, tokens_BK, chances_B, settings.top_p)
    wide = (largest_BK.sum(-1) < settings.top_p).nonzero()[:, 0]  # rows whose nucleus may hold more tokens than those
    if len(wide) and largest_BK.shape[-1] < chances_BV.shape[-1]:
        drawn_B[wide] = _pick(*chances_BV[wide].sort(descending=True), chances_B[wide], settings.top_p)
    return drawn_B


def _pick(sorted_BK: Tensor, tokens_BK: Tensor, chances_B: Tensor, top_p: float) -> Tensor:
    """The token that each row's chance picks of its nucleus, given the likeliest tokens in order."""
    mass_BK = sorted_BK.cumsum(-1)
    kept_B1 = (mass_BK - sorted_BK < top_p).sum(-1, keepdim=True)
    wanted_B1 = chances_B[:, None] * mass_BK.gather(-1, kept_B1 - 1)
    place_B1 = torch.searchsorted(mass_BK, wanted_B1, right=True).minimum(kept_B1 - 1)
    return tokens_BK.gather(-1, place_B1)[:, 0]


def cache_bytes(config: PreTrainedConfig, tokens: int, dtype: torch.dtype) -> int:
    """Bytes of the keys and values of a row of `tokens` tokens: by key heads and their width, where known.

    Sliding windows are not deducted.
    """
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * width * tokens * dtype.itemsize


def _room_bytes(device: torch.device, cap_bytes: int | None) -> int:
    """Bytes that keys and values may take at once: a share of what a card has free, within a cap on all of it."""
    if device.type != "cuda":
        return CPU_CACHE_BYTES
    free_bytes, _ = torch.cuda.mem_get_info(device)
    allocated_bytes = torch.cuda.memory_allocated(device)
    free_bytes += torch.cuda.memory_reserved(device) - allocated_bytes
    if cap_bytes is not None:
        free_bytes = min(free_bytes, cap_bytes - allocated_bytes)
    return int(CUDA_SHARE * max(0, free_bytes))


def _completion(ids: list[int], loaded: LoadedTokenizer) -> Completion:
    ended = loaded.separator_id in ids
    if ended:
        ids = ids[: ids.index(loaded.separator_id)]
    text = loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return Completion(text=" ".join(text.split()), ended=ended)
