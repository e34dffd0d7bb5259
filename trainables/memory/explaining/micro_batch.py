"""The largest micro-batch that a card holds, from as few traces as will do."""

from __future__ import annotations

from collections.abc import Callable

from trainables.memory.cards import UNNAMED_GPU, Card
from trainables.memory.formula.full_training import step_memory
from trainables.memory.formula.sizes import chunk_tokens
from trainables.memory.predict import TracedStep
from trainables.memory.tracing.timeline import MemoryTrace
from trainables.memory.tracing.trial_trace import interpolate, with_micro_batch
from trainables.model.models import ModelShape
from trainables.records.settings import TrialSettings

MOST_SEQUENCES = 4096  # the largest micro-batch that is looked for
GUESSES = 8  # by the line through what is known; after as many the rest is halved


def largest_micro_batch_size(
    settings: TrialSettings, shape: ModelShape, card: Card, traced: Callable[[int], MemoryTrace]
) -> int | None:
    """Sequences that fit the card at once, 0 where not even one does, None without a bound.

    `traced` gives the trace of the step at a micro-batch, and remembers it.

    Two traces give all others where the step does not depend on the micro-batch. On a CPU, and in fp16, the fused loss
    makes it do so: then each size that is tried is traced, and the closed form says which to try.
    """
    if card.capacity_bytes is None:
        return None
    trace_at = _traces(settings, shape, card, traced)

    def needed(size: int) -> tuple[bool, int]:
        prediction = TracedStep(trace_at(size)).on(card)
        return prediction.fits, prediction.device_bytes

    given = settings.micro_batch_size
    more = step_memory(with_micro_batch(settings, 2 * given), shape).allocated_bytes
    sequence_bytes = max(1, (more - step_memory(settings, shape).allocated_bytes) // given)
    return largest_that_fits(needed, card.capacity_bytes, start=given, sequence_bytes=sequence_bytes)


def largest_that_fits(
    needed: Callable[[int], tuple[bool, int]], capacity_bytes: int, *, start: int, sequence_bytes: int
) -> int:
    """The largest size up to `MOST_SEQUENCES` of which `needed` says that it fits, 0 for none.

    `needed(size)` gives whether it fits and its bytes, which grow about evenly with the size, by `sequence_bytes` until
    two sizes are known; it is asked of `start` first. One more than the answer does not fit.
    """
    fitting, unfit = 0, MOST_SEQUENCES + 1
    known: list[tuple[int, int]] = []
    size = min(start, MOST_SEQUENCES)
    while unfit - fitting > 1:
        fits, size_bytes = needed(size)
        fitting, unfit = (size, unfit) if fits else (fitting, size)
        known.append((size, size_bytes))
        if len(known) > GUESSES:
            size = (fitting + unfit) // 2
            continue
        if len(known) > 1 and known[-1][0] != known[-2][0]:
            (first, first_bytes), (last, last_bytes) = known[-2:]
            sequence_bytes = max(1, (last_bytes - first_bytes) // (last - first))
        guess = size + (capacity_bytes - size_bytes) // sequence_bytes
        size = min(max(guess, fitting + 1), unfit - 1)
    return fitting


def other_sizes(settings: TrialSettings) -> tuple[int, ...]:
    """The micro-batches that the search on CUDA traces beside the given one; none where traces do not give others."""
    given = settings.micro_batch_size
    return () if _depends_on_size(settings, UNNAMED_GPU) else tuple(size for size in _pair(given) if size != given)


def _depends_on_size(settings: TrialSettings, card: Card) -> bool:
    return settings.loss == "fused" and (not card.on_cuda or settings.precision == "fp16-amp")


def _traces(
    settings: TrialSettings, shape: ModelShape, card: Card, traced: Callable[[int], MemoryTrace]
) -> Callable[[int], MemoryTrace]:
    def chunk(size: int) -> int:
        return chunk_tokens(size * settings.sequence_length, shape)

    small, large = _pair(settings.micro_batch_size)
    if _depends_on_size(settings, card) or traced(small).events != traced(large).events:
        return traced
    return lambda size: traced(1) if size == 1 else interpolate(traced(small), traced(large), small, large, size, chunk)


def _pair(given: int) -> tuple[int, int]:
    """Two sizes whose traces give all others from 2 on; a single sequence is spared copies that two need."""
    return (2, 3) if given < 4 else (given // 2, given)
