"""One step at any micro-batch and length: what it needs of a card there, as the single answer says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from trainables.memory.cards import UNNAMED_GPU, Card
from trainables.memory.explaining.micro_batch import MOST_SEQUENCES, largest_that_fits
from trainables.memory.explaining.step_explanation import HOPELESS, check_step
from trainables.memory.formula.sharding import ShardedStep
from trainables.memory.formula.sizes import chunk_tokens
from trainables.memory.predict import Need, TracedStep, predict_by_formula
from trainables.memory.tracing.timeline import MemoryTrace
from trainables.memory.tracing.trace_family import Point, StepsDifferError, TraceFamily, nodes
from trainables.memory.tracing.trial_trace import trial_trace, with_micro_batch
from trainables.model.models import find_model, load_config, model_shape
from trainables.records.settings import TrialSettings

UNBOUNDED = 2**20  # positions of a model that names none


def at(settings: TrialSettings, micro_batch_size: int, sequence_length: int) -> TrialSettings:
    """The same settings at another micro-batch and length."""
    return dataclasses.replace(with_micro_batch(settings, micro_batch_size), sequence_length=sequence_length)


class Steps:
    """The step of `settings` at any size, on each of `gpus` GPUs that share the model.

    Where traces of a few sizes do not give the others, each size that is asked for is traced.
    Raises: ModelError.
    """

    def __init__(self, settings: TrialSettings, gpus: int = 1) -> None:
        self.settings, self.gpus = settings, gpus
        self._config = load_config(find_model(settings.model), settings.weights)
        self._shape = model_shape(self._config)
        self._positions = getattr(self._config, "max_position_embeddings", None) or UNBOUNDED
        self._family: TraceFamily | None = None
        self._is_family = True

    def check(self) -> None:
        """Raises: UserError as an explanation of the longest of these steps does."""
        check_step(self.settings, self._config)

    def nodes(self) -> list[Point]:
        """The micro-batches and lengths whose traces give all others; none where they do not."""
        try:
            return nodes(self.settings.attention, self._positions)
        except StepsDifferError:
            return []

    def is_hopeless(self, card: Card, micro_batch_size: int, sequence_length: int) -> bool:
        """Whether the formula needs so much more than the card that nothing is traced."""
        return self._peak_is_hopeless(self._sharded(micro_batch_size, sequence_length), card)

    def needs(self, cards: Sequence[Card], micro_batch_size: int, sequence_length: int) -> list[Need]:
        """What the step needs of each card at that size."""
        step = self._sharded(micro_batch_size, sequence_length)
        if self.gpus > 1:
            shards = [step.on(card, self.gpus) for card in cards]
            return [
                Need(shard.reserved_bytes, shard.device_bytes, card.holds(shard.device_bytes))
                for shard, card in zip(shards, cards, strict=True)
            ]
        traced: TracedStep | None = None
        found: list[Need] = []
        for card in cards:
            if self._peak_is_hopeless(step, card):
                told = predict_by_formula(step.settings, self._shape, card)
                found.append(Need(told.reserved_bytes, told.device_bytes, told.fits))
                continue
            traced = traced or TracedStep(self.trace(micro_batch_size, sequence_length))
            found.append(traced.need(card))
        return found

    def limit(self, card: Card, sequence_length: int) -> int:
        """The largest micro-batch of that length which fits, 0 for none; one more does not."""
        assert card.capacity_bytes is not None, "what fits is told of a bound"

        def needed(size: int) -> tuple[bool, int]:
            need = self.needs([card], size, sequence_length)[0]
            return need.fits, need.device_bytes

        one, two = (self._sharded(size, sequence_length).on(card, self.gpus).device_bytes for size in (1, 2))
        sequence_bytes = max(1, two - one)
        start = min(max(1, (card.capacity_bytes - one) // sequence_bytes), MOST_SEQUENCES)
        return largest_that_fits(needed, card.capacity_bytes, start=start, sequence_bytes=sequence_bytes)

    def trace(self, micro_batch_size: int, sequence_length: int) -> MemoryTrace:
        """The trace at that size: that of the single answer on a card without a name."""
        if self._is_family and self._family is None:
            try:
                self._family = TraceFamily(self._traced, self.settings.attention, self._positions, self._chunk)
            except StepsDifferError:
                self._is_family = False
        if self._family is None:
            return self._traced((micro_batch_size, sequence_length))
        return self._family.at(micro_batch_size, sequence_length)

    def _traced(self, point: Point) -> MemoryTrace:
        return trial_trace(at(self.settings, *point), UNNAMED_GPU)

    def _chunk(self, tokens: int) -> int:
        return chunk_tokens(tokens, self._shape)

    def _sharded(self, micro_batch_size: int, sequence_length: int) -> ShardedStep:
        return ShardedStep(at(self.settings, micro_batch_size, sequence_length), self._shape)

    def _peak_is_hopeless(self, step: ShardedStep, card: Card) -> bool:
        assert card.capacity_bytes is not None, "what fits is told of a bound"
        return step.peak(1).allocated_bytes > HOPELESS * card.capacity_bytes
