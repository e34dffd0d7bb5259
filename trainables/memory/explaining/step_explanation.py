"""The explanation of one training step: prediction, largest micro-batch, remedies, sharding, cards that hold it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import multiprocessing
from collections.abc import Iterator
from typing import Any

from data.errors import UserError
from trainables.memory.cards import UNNAMED_GPU, Card, listed_cards
from trainables.memory.explaining.micro_batch import largest_micro_batch_size, largest_that_fits, other_sizes
from trainables.memory.explaining.remedies import Remedy, more_gpus, remedies
from trainables.memory.formula.full_training import step_memory
from trainables.memory.formula.sharding import ShardedMemory, ShardedStep
from trainables.memory.predict import TracedStep, predict_by_formula, predict_shard
from trainables.memory.tracing.timeline import MemoryTrace
from trainables.memory.tracing.trial_trace import trial_trace, with_micro_batch
from trainables.model.models import ModelShape
from trainables.records.record import MemoryPrediction
from trainables.records.settings import TrialSettings

HOPELESS = 2  # a step whose formula needs this many times the card is not traced: the answer is clear
PATIENCE_SECONDS = 20  # for the other processes, which begin at the same time, each with as much to do


def explain_step(settings: TrialSettings, card: Card, gpus: int, *, may_fork: bool) -> dict[str, Any]:
    """The document of `explain`, made anew; on two cores at once where it may fork."""
    from trainables.model.models import find_model, load_config, model_shape

    config = load_config(find_model(settings.model), settings.weights)
    check_step(settings, config)
    shape = model_shape(config)
    assert card.capacity_bytes is not None, "whether it fits depends on a bound"
    step = ShardedStep(settings, shape)
    run = settings if gpus == 1 else shared_by(settings, gpus)

    @functools.cache
    def traced(size: int) -> MemoryTrace:
        assert run is not None, "what cannot be shared is left to the formula"
        return trial_trace(with_micro_batch(run, size), card)

    traced_step: TracedStep | None = None
    largest: int | None = None
    if run is None or (gpus > 1 and step.peak(gpus).allocated_bytes > HOPELESS * card.capacity_bytes):
        prediction = predict_shard(step, card, gpus)
        largest = _largest_of_a_shard(step, card, gpus) if card.on_cuda else None
    elif gpus == 1 and step.peak(1).allocated_bytes > HOPELESS * card.capacity_bytes:
        prediction = predict_by_formula(settings, shape, card)
        largest = 0 if _one_sequence_is_hopeless(settings, shape, card) else None
    else:
        with _other_sizes_traced(run) if may_fork and card.on_cuda else contextlib.nullcontext():
            traced_step = TracedStep(traced(settings.micro_batch_size))
        prediction = traced_step.on(card)
    if largest is None and card.on_cuda and run is not None:
        largest = largest_micro_batch_size(run, shape, card, traced)
    if gpus > 1:
        traced_step = None  # that of a shard says nothing of other numbers of cards
    elif traced_step is not None and not card.on_cuda:
        traced_step = TracedStep(trial_trace(settings, UNNAMED_GPU))
    sharded = step.on(card, gpus)
    if gpus > 1:
        sharded = _as_predicted(sharded, prediction)
    return {
        "settings": dataclasses.asdict(settings),
        "gpu": card.name,
        "device": card.device,
        "allocated_bytes": prediction.allocated_bytes,
        "reserved_bytes": prediction.reserved_bytes,
        "device_bytes": prediction.device_bytes,
        "capacity_bytes": card.capacity_bytes,
        "fits": prediction.fits,
        "largest_micro_batch_size": largest,
        "peak_phase": prediction.peak_phase,
        "peak_operation": prediction.peak_operation,
        "components": prediction.components,
        "allocator_slack_bytes": prediction.reserved_bytes - prediction.allocated_bytes,
        "context_bytes": card.constants.context_bytes if card.on_cuda else 0,
        "interval": {"low_bytes": prediction.low_bytes, "high_bytes": prediction.high_bytes},
        "remedies": [dataclasses.asdict(remedy) for remedy in _remedies(step, prediction, card, gpus)],
        "sharded": dataclasses.asdict(sharded) | {"fits": card.holds(sharded.device_bytes)},
        "cards_needed": _cards_needed(step, traced_step),
        "method": prediction.method,
        "version": prediction.version,
    }


def shared_by(settings: TrialSettings, gpus: int) -> TrialSettings | None:
    """The same step of one of `gpus` workers that share the model; None where it cannot be shared (8-bit AdamW)."""
    if settings.optimizer == "adamw-8bit":
        return None
    batch_size = settings.micro_batch_size * settings.accumulation_steps * gpus
    return dataclasses.replace(settings, parallel="fsdp", workers=gpus, batch_size=batch_size)


def _as_predicted(sharded: ShardedMemory, prediction: MemoryPrediction) -> ShardedMemory:
    return dataclasses.replace(
        sharded,
        phase=prediction.peak_phase,
        allocated_bytes=prediction.allocated_bytes,
        reserved_bytes=prediction.reserved_bytes,
        device_bytes=prediction.device_bytes,
        components=prediction.components,
    )


def _largest_of_a_shard(step: ShardedStep, card: Card, gpus: int) -> int:
    """Sequences that each of the GPUs holds at once, by the formula: 0 where not even one fits."""
    assert card.capacity_bytes is not None

    def needed(size: int) -> tuple[bool, int]:
        shard = ShardedStep(with_micro_batch(step.settings, size), step.shape).on(card, gpus)
        return card.holds(shard.device_bytes), shard.device_bytes

    return largest_that_fits(needed, card.capacity_bytes, start=step.settings.micro_batch_size, sequence_bytes=2**20)


def _remedies(step: ShardedStep, prediction: MemoryPrediction, card: Card, gpus: int) -> list[Remedy]:
    found = remedies(step, prediction, card, gpus)
    shared = more_gpus(step, prediction, card, gpus)
    if shared.allocated_bytes < prediction.allocated_bytes:
        found.append(shared)
    return sorted(found, key=lambda remedy: remedy.allocated_bytes)


@contextlib.contextmanager
def _other_sizes_traced(settings: TrialSettings) -> Iterator[None]:
    """Have forked processes trace, meanwhile, the sizes that the search for the largest will ask for.

    They leave the traces in the cache; where one fails or there is no cache, whoever asks traces for themselves.
    """

    def work(size: int) -> None:
        with contextlib.suppress(Exception):
            trial_trace(with_micro_batch(settings, size), UNNAMED_GPU)

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work, args=(size,), daemon=True) for size in other_sizes(settings)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.join(PATIENCE_SECONDS)


def _cards_needed(step: ShardedStep, traced: TracedStep | None) -> dict[str, int | None]:
    """How many cards of each kind hold the step: one where its own prediction fits, else by the sharded formula."""
    needed: dict[str, int | None] = {}
    for card in listed_cards():
        count = step.fewest(card)
        if traced is not None and count is not None:
            count = 1 if traced.on(card).fits else max(2, count)
        needed[str(card.name)] = count
    return needed


def _one_sequence_is_hopeless(settings: TrialSettings, shape: ModelShape, card: Card) -> bool:
    alone = dataclasses.replace(settings, micro_batch_size=1, batch_size=settings.workers)
    assert card.capacity_bytes is not None
    return step_memory(alone, shape).allocated_bytes > HOPELESS * card.capacity_bytes


def check_step(settings: TrialSettings, config: Any) -> None:
    """Raises: UserError for a sequence longer than the model's positions or a LoRA rank above its width."""
    positions = getattr(config, "max_position_embeddings", None)
    is_rotary = any(getattr(config, name, None) for name in ("rope_parameters", "rope_theta"))  # no table to run out of
    if positions is not None and settings.sequence_length > positions and not is_rotary:
        raise UserError(
            f"sequence_length={settings.sequence_length} is longer than the {positions} positions of"
            f" {settings.model}; choose 1 to {positions}."
        )
    if settings.lora_rank > config.hidden_size:
        raise UserError(
            f"lora_rank={settings.lora_rank} is above the width {config.hidden_size} of {settings.model};"
            f" choose 1 to {config.hidden_size}."
        )
