"""What a model is measured on: held-out quotes, held-out science, and completions of fixed prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from transformers import PreTrainedModel

from data.batches import Rows, encode_documents, make_rows
from data.prompts import prompt_text, prompts_for
from data.tokenizer import LoadedTokenizer
from trainables.evaluate import mean_loss
from trainables.quality.sampling import Completion, SamplingSettings, sample_completions
from trainables.records import Sample, TrialSettings
from trainables.trial_data import TrialData

EVALUATION_LINES = 200  # held-out lines that each loss is measured on; assumed: enough for 0.01 nats


class HeldOut:
    """The same measurements for the base model and the tuned one."""

    def __init__(self, data: TrialData, loaded: LoadedTokenizer, settings: TrialSettings) -> None:
        self.sampling = SamplingSettings()
        self._settings = settings
        self._loaded = loaded
        self._prompts = prompts_for([quote.keyword for quote in data.quotes.train])
        self._quotes = self._rows([quote.line for quote in data.quotes.validation])
        self._science = self._rows(data.science_validation)

    def losses(self, model: PreTrainedModel) -> tuple[float, float]:
        """Held-out quote loss in nats per token, and science perplexity per token."""
        quote_loss, science_loss = (
            mean_loss(model, rows, batch_size=self._settings.micro_batch_size, precision=self._settings.precision)
            for rows in (self._quotes, self._science)
        )
        return quote_loss, math.exp(science_loss)

    def completions(self, model: PreTrainedModel) -> tuple[tuple[Completion, ...], ...]:
        """Completions of every prompt, in the order of the prompts."""
        texts = [prompt_text(self._loaded, prompt.keyword) for prompt in self._prompts]
        return tuple(tuple(row) for row in sample_completions(model, self._loaded, texts, self.sampling))

    def samples(self, model: PreTrainedModel, base: Sequence[Sequence[Completion]]) -> tuple[Sample, ...]:
        """The tuned model's completions, each beside the base model's for the same prompt and seed."""
        return tuple(
            Sample(
                prompt=f"{prompt.keyword}:",
                kind=prompt.kind,
                seed=index,
                text=tuned.text,
                base_text=untuned.text,
                ended=tuned.ended,
            )
            for prompt, tuned_row, base_row in zip(self._prompts, self.completions(model), base, strict=True)
            for index, (tuned, untuned) in enumerate(zip(tuned_row, base_row, strict=True))
        )

    def _rows(self, lines: Sequence[str]) -> Rows:
        return make_rows(
            encode_documents(self._loaded, list(lines)[:EVALUATION_LINES]),
            layout="padded",
            sequence_length=self._settings.sequence_length,
            pad_id=self._loaded.pad_id,
            seed=0,
        )
