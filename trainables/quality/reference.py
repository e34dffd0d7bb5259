"""What a frozen language model of general text says of a quotation: is it likely, of one piece, and on its keyword?

Three figures a text, from the log-probabilities that the model gives the same tokens after different beginnings:
- nats a token, after "A quote about keyword:";
- the gain of its second half from its first, in nats a token of it: halves of two texts, spliced, have hardly any;
- whether it is likelier after its own keyword than after others: whether their pointwise mutual information (Church &
  Hanks 1990) is the larger. Only that counts, as by how much has no bounds: 2.7 nats, give or take 5.3, on 102 lines.

The n-gram measure sees three words at a time; these see a text whole. They come from a network, so they do
not agree to the last bit: read in other batches, or in fp32, the means of 100 lines moved by 0.003 nats at most and the
wins by 0.005, single texts by 0.14 nats (SmolLM2-135M in bfloat16, one core).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from data.tokenizer import LoadedTokenizer
from trainables.model.models import find_model, load_model
from trainables.quality.baseline import weights_digest

BATCH_TOKENS = 2_048  # with padding; assumed: their logits over 50,000 words are 0.4 GB in fp32
OPENING = "A quote about {}:"
"""Tried on 102 held-out lines: 78% are likelier under their own keyword than under another, 57% where it alone stands
before the colon; 74% after "Topic: …", a line break and "Quote:"."""

OTHERS = 2  # keywords that a text's own is set against; assumed: one more reading each
Pair = tuple[str, str]
"""A keyword and a text."""


@dataclass(frozen=True, kw_only=True)
class ReferenceScore:
    """Of one text: nats a token after its keyword, what its second half gains, and of how many others it wins.

    `seam_gain` is in nats a token of the second half. `keyword_wins` is the share of other keywords after which the
    text is less likely than after its own, half for one after which it is as likely.
    """

    nats_per_token: float
    seam_gain: float
    keyword_wins: float


class ReferenceModel:
    """A causal language model that only reads."""

    def __init__(self, model: PreTrainedModel, loaded: LoadedTokenizer, name: str) -> None:
        self._model, self._loaded, self.name = model.eval(), loaded, name

    @property
    def digest(self) -> str:
        """Of its weights and tokenizer: what its scores depend on."""
        return f"{weights_digest(self._model)}-{self._loaded.identity}"

    def scores(
        self, pairs: Sequence[Pair], keywords: Collection[str], progress: Callable[[int], None] | None = None
    ) -> list[ReferenceScore | None]:
        """The scores of each keyword with its text; None for a text of fewer than two words.

        `keywords` are those that a text's own is set against, two of them by chance. `progress` is told how many of
        the readings, four a text, are done.
        """
        halves = [self._halves(text) for _, text in pairs]
        chance, among = random.Random(0), sorted(set(keywords))
        readings: list[tuple[list[int], list[int]]] = []
        counts: list[int] = []
        for (keyword, _), both in zip(pairs, halves, strict=True):
            strange = [word for word in among if word != keyword]
            others = chance.sample(strange, min(OTHERS, len(strange)))
            counts.append(len(others))
            if both is not None:
                whole = both[0] + both[1]
                readings += [(self._opening(keyword), both[1])]
                readings += [(self._opening(word), whole) for word in (keyword, *others)]
        told = iter(self._log_probabilities(readings, progress))
        return [
            None if both is None else _score(len(both[0]), next(told), next(told), [next(told) for _ in range(count)])
            for both, count in zip(halves, counts, strict=True)
        ]

    def _halves(self, text: str) -> tuple[list[int], list[int]] | None:
        """The tokens of the first and of the second half of the words."""
        words = text.split()
        if len(words) < 2:
            return None
        middle = len(words) // 2
        first, second = (self._tokens(" " + " ".join(part)) for part in (words[:middle], words[middle:]))
        return first, second

    def _opening(self, keyword: str) -> list[int]:
        return [self._loaded.separator_id, *self._tokens(OPENING.format(keyword))]

    def _tokens(self, text: str) -> list[int]:
        ids = self._loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert isinstance(ids, list)
        return ids

    @torch.no_grad()
    def _log_probabilities(
        self, readings: Sequence[tuple[list[int], list[int]]], progress: Callable[[int], None] | None
    ) -> list[list[float]]:
        """The log-probability, in nats, of each token of each reading's second part."""
        found: list[list[float]] = [[] for _ in readings]
        by_length = sorted(range(len(readings)), key=lambda place: -sum(map(len, readings[place])))
        done = 0
        while done < len(by_length):
            longest = sum(map(len, readings[by_length[done]]))
            chosen = by_length[done : done + max(1, BATCH_TOKENS // longest)]
            rows = [readings[place][0] + readings[place][1] for place in chosen]
            ids_BT = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self._model.device)
            # What is padded stands after a row's own tokens, so that no mask is needed: nothing looks ahead.
            logits_BTV = self._model(input_ids=ids_BT, use_cache=False).logits[:, :-1].float()
            nats_BT = -functional.cross_entropy(logits_BTV.transpose(1, 2), ids_BT[:, 1:], reduction="none")
            for place, row_T, row in zip(chosen, nats_BT.tolist(), rows, strict=True):
                found[place] = row_T[len(readings[place][0]) - 1 : len(row) - 1]
            done += len(chosen)
            if progress:
                progress(done)
        return found


def load_reference(name: str) -> ReferenceModel:
    """The model of this name, in bfloat16 where the processor multiplies in it, else in fp32; on a GPU if there is one.

    Raises: trainables.model.models.ModelError for a name that is none.
    """
    from data.tokenizer import load_tokenizer

    source = find_model(name)
    on_cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if on_cuda or torch.cpu._is_amx_tile_supported() else torch.float32
    model = load_model(source, weights="pretrained", dtype=dtype, attention="sdpa", seed=0)
    model.to("cuda" if on_cuda else "cpu")  # pyright: ignore[reportArgumentType]  # wraps() hides the self
    return ReferenceModel(model, load_tokenizer(source.location), name)


def _score(
    first_tokens: int, second: Sequence[float], own: Sequence[float], others: Sequence[Sequence[float]]
) -> ReferenceScore:
    after_first, mine = own[first_tokens:], math.fsum(own)
    wins = [1.0 if mine > theirs else 0.5 if mine == theirs else 0.0 for theirs in map(math.fsum, others)]
    return ReferenceScore(
        nats_per_token=-mine / len(own),
        seam_gain=(math.fsum(after_first) - math.fsum(second)) / len(second),
        keyword_wins=math.fsum(wins) / len(wins) if wins else 0.5,
    )
