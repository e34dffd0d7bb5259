"""What a model is measured on: held-out quotes, held-out base text, and completions of fixed prompts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from data.batches import Rows, collate, make_rows
from data.documents import encode_documents
from data.quotes import Quote
from data.tokenizer import LoadedTokenizer
from trainables.model.step import autocast
from trainables.quality.sampling import Completion, OnProgress, SamplingSettings, sample_completions
from trainables.records.record import Sample
from trainables.records.settings import TrialSettings
from trainables.records.trial_data import TrialData

EVALUATION_LINES = 200  # held-out lines that each loss is measured on; assumed: enough for 0.01 nats
ROOM = 1.25  # new tokens that a completion may have, over what 99 of 100 training lines need; assumed


class HeldOut:
    """The same measurements for the base model and the tuned one."""

    def __init__(self, data: TrialData, loaded: LoadedTokenizer, settings: TrialSettings) -> None:
        self._settings = settings
        self._loaded = loaded
        self._domain, self._prompts = data.domain, data.prompts
        self.sampling = SamplingSettings(
            per_prompt=settings.samples_per_prompt,
            max_new_tokens=self._longest_completion([self._domain.line(quote) for quote in data.quotes.train]),
            temperature=settings.temperature,
            top_p=settings.top_p,
            greedy=settings.greedy,
            seed=settings.seed,
        )
        self._quotes = self._rows([self._domain.line(quote) for quote in data.quotes.validation])
        self._science = self._rows(data.domain.base_validation)

    @property
    def asked(self) -> list[Any]:
        """All that a model is measured on and how, as plain JSON: what its figures depend on besides its weights."""
        settings = self._settings
        rows = [[each.ids.tolist(), each.lengths.tolist()] for each in (self._quotes, self._science)]
        openings = self._loaded.tokenizer(self._openings(), add_special_tokens=False)["input_ids"]
        kinds = [prompt.kind for prompt in self._prompts]
        of_model = [settings.model, settings.precision, settings.attention, settings.lora_rank, settings.lora_targets]
        of_rows = [settings.sequence_length, settings.micro_batch_size]
        return [rows, openings, kinds, of_model, of_rows, dataclasses.asdict(self.sampling), self._loaded.identity]

    def losses(self, model: PreTrainedModel) -> tuple[MeanLoss, float]:
        """Held-out quote loss, and perplexity of held-out base text per token."""
        quotes, science = (
            mean_loss(model, rows, batch_size=self._settings.micro_batch_size, precision=self._settings.precision)
            for rows in (self._quotes, self._science)
        )
        return quotes, math.exp(science.nats_per_token)

    def off_domain_loss(self, model: PreTrainedModel, base: Sequence[Sequence[Completion]]) -> float:
        """The model's loss on the base model's completions of off-domain prompts, in nats per token; 0 without any."""
        lines = [
            self._domain.line(Quote(keyword=prompt.keyword, text=completion.text))
            for prompt, row in zip(self._prompts, base, strict=True)
            for completion in row
            if prompt.kind == "off_domain" and self._loaded.separator not in completion.text
        ]
        if not lines:
            return 0.0
        rows, settings = self._rows(lines), self._settings
        loss = mean_loss(model, rows, batch_size=settings.micro_batch_size, precision=settings.precision)
        return loss.nats_per_token

    def completions(
        self, model: PreTrainedModel, on_progress: OnProgress | None = None
    ) -> tuple[tuple[Completion, ...], ...]:
        """Completions of every prompt, in the order of the prompts."""
        drawn = sample_completions(model, self._loaded, self._openings(), self.sampling, on_progress=on_progress)
        return tuple(map(tuple, drawn))

    def samples(
        self,
        model: PreTrainedModel,
        base: Sequence[Sequence[Completion]],
        on_progress: OnProgress | None = None,
    ) -> tuple[Sample, ...]:
        """The tuned model's completions, each beside the base model's for the same prompt and seed."""
        drawn = self.completions(model, on_progress)
        return tuple(
            Sample(
                prompt=f"{prompt.keyword}:",
                kind=prompt.kind,
                seed=index,
                text=tuned.text,
                base_text=untuned.text,
                ended=tuned.ended,
            )
            for prompt, tuned_row, base_row in zip(self._prompts, drawn, base, strict=True)
            for index, (tuned, untuned) in enumerate(zip(tuned_row, base_row, strict=True))
        )

    def _openings(self) -> list[str]:
        return [f"{self._loaded.separator}{self._domain.opening(prompt.keyword)}" for prompt in self._prompts]

    def _longest_completion(self, lines: Sequence[str]) -> int:
        """Tokens that let nearly every training line end; with the longest prompt still within a row."""
        lengths = sorted(map(len, encode_documents(self._loaded, lines[:2_000])))
        wanted = math.ceil(ROOM * lengths[round(0.99 * (len(lengths) - 1))])
        prompts = self._loaded.tokenizer(self._openings(), add_special_tokens=False)
        return max(1, min(wanted, self._settings.sequence_length - max(map(len, prompts["input_ids"]))))

    def _rows(self, lines: Sequence[str]) -> Rows:
        return make_rows(
            encode_documents(self._loaded, list(lines)[:EVALUATION_LINES]),
            layout="padded",
            sequence_length=self._settings.sequence_length,
            pad_id=self._loaded.pad_id,
            seed=0,
        )


@dataclass(frozen=True, kw_only=True)
class MeanLoss:
    """Loss over all tokens of some lines, in nats per token, and its standard error over lines like these.

    The error is that of a ratio of sums over lines (Cochran, Sampling Techniques, 1977, 6.4); 0 for a single line.
    """

    nats_per_token: float
    standard_error: float


@torch.no_grad()
def mean_loss(model: torch.nn.Module, rows: Rows, *, batch_size: int, precision: str) -> MeanLoss:
    """Mean next-token loss over all unmasked tokens of `rows`, a line each, without dropout.

    The model's training mode is put back afterwards, and no random number is drawn.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    losses: list[float] = []  # of each row, summed over its tokens
    counts: list[int] = []
    for indices in torch.arange(len(rows.lengths)).split(batch_size):
        batch = collate(rows, indices)
        with autocast(precision, device):
            logits_BTV = model(input_ids=batch.input_ids_BT.to(device), use_cache=False).logits
        targets_BT = batch.labels_BT[:, 1:].to(device)
        losses_BT = functional.cross_entropy(
            logits_BTV[:, :-1].float().flatten(0, 1), targets_BT.flatten(), ignore_index=-100, reduction="none"
        ).view_as(targets_BT)
        losses += losses_BT.sum(dim=1).tolist()
        counts += (targets_BT != -100).sum(dim=1).tolist()
    model.train(was_training)
    tokens = sum(counts)
    mean = math.fsum(losses) / tokens
    squares = math.fsum((loss - mean * count) ** 2 for loss, count in zip(losses, counts, strict=True))
    error = math.sqrt(squares * len(losses) / max(1, len(losses) - 1)) / tokens
    return MeanLoss(nats_per_token=mean, standard_error=error)
