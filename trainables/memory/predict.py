"""What a trial will need, asked before it is launched: trace for what is allocated, replay for what is reserved."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from trainables.memory.cards import Card
from trainables.memory.constants import ASSUMED
from trainables.memory.formula.full_training import step_memory
from trainables.memory.formula.sharding import ShardedStep
from trainables.memory.formula.sizes import SLACK_FRACTION
from trainables.memory.tracing.allocator import Replay, replay
from trainables.memory.tracing.cache import version
from trainables.memory.tracing.timeline import MemoryTrace, Peak
from trainables.memory.tracing.trial_trace import trial_trace, with_workspace
from trainables.model.models import ModelError, ModelShape
from trainables.records.record import MemoryPrediction
from trainables.records.settings import TrialSettings

RESERVED_ERROR = 0.02  # assumed: wider than the error on nine in ten published peaks, tests/benchmarks/


def predict(settings: TrialSettings, card: Card, shape: ModelShape | None = None) -> MemoryPrediction:
    """Peak memory of one worker on a card.

    On CUDA the whole device must hold it: allocator slack and the context count. A CPU under a memory cap is held to
    the tensors alone, which is what its probe counts. A traced step is cached on disk. Where the model's config cannot
    be had, the closed form answers from `shape`.
    Raises: trainables.model.models.ModelError when neither is at hand.
    """
    try:
        trace = trial_trace(settings, card)
    except ModelError:
        if shape is None:
            raise
        return predict_by_formula(settings, shape, card)
    return TracedStep(trace).on(card)


class Need(NamedTuple):
    """What a step takes of a card: reserved by the allocator, of the whole device, and whether that fits."""

    reserved_bytes: int
    device_bytes: int
    fits: bool


class TracedStep:
    """A traced step, replayed for as many cards as are asked for: those with workspaces of one size share a replay."""

    def __init__(self, trace: MemoryTrace) -> None:
        self._trace = trace
        self._unbounded: dict[int | None, tuple[MemoryTrace, Replay]] = {}
        self._peaks: dict[int | None, Peak] = {}

    def on(self, card: Card) -> MemoryPrediction:
        """What the step needs of a card; of a CPU, of which it must be a trace, its live tensors alone."""
        if not card.on_cuda:
            peak = self._trace.peak()
            fits = card.holds(peak.allocated_bytes)
            return _prediction(peak, peak.allocated_bytes, peak.allocated_bytes, 0, card, fits)
        constants, need = card.constants, self.need(card)
        low_bytes = round(need.reserved_bytes * (1 - RESERVED_ERROR)) + constants.context_low_bytes
        high_bytes = round(need.reserved_bytes * (1 + RESERVED_ERROR)) + constants.context_high_bytes
        return dataclasses.replace(
            _prediction(self._peak(card.workspace_bytes), need.reserved_bytes, low_bytes, high_bytes, card, need.fits),
            device_bytes=need.device_bytes,
            method="trace_and_replay",
            version=f"{version()}, {constants.label}",
        )

    def need(self, card: Card) -> Need:
        """The same of a GPU without the peak's parts, in half the time."""
        constants, room_bytes = card.constants, _room_bytes(card)
        trace, unbounded = self._replayed(card.workspace_bytes)
        bounded = unbounded
        if room_bytes is not None and unbounded.reserved_bytes > room_bytes:
            bounded = replay(trace, room_bytes)  # below the bound it would do the same
        replayed_bytes = bounded.reserved_bytes if bounded.fits else unbounded.reserved_bytes
        reserved_bytes = replayed_bytes + constants.temporaries_bytes
        return Need(reserved_bytes, reserved_bytes + constants.context_bytes, bounded.fits)

    def reserved_levels(self, card: Card) -> list[int]:
        """Bytes reserved after each event, of which `need` tells the most: bounded by the card where it fits."""
        trace, _ = self._replayed(card.workspace_bytes)
        levels: list[int] = []
        if not replay(trace, _room_bytes(card), levels=levels).fits:
            levels = []
            replay(trace, levels=levels)
        return [level + card.constants.temporaries_bytes for level in levels]

    def _replayed(self, workspace_bytes: int | None) -> tuple[MemoryTrace, Replay]:
        """The trace with such workspaces, and its replay without a bound."""
        if workspace_bytes not in self._unbounded:
            trace = self._trace if workspace_bytes is None else with_workspace(self._trace, workspace_bytes)
            self._unbounded[workspace_bytes] = trace, replay(trace)
        return self._unbounded[workspace_bytes]

    def _peak(self, workspace_bytes: int | None) -> Peak:
        """The peak in blocks."""
        if workspace_bytes not in self._peaks:
            self._peaks[workspace_bytes] = peak_with_blocks(*self._replayed(workspace_bytes))
        return self._peaks[workspace_bytes]


def _room_bytes(card: Card) -> int | None:
    """What the allocator may reserve on a card: all but what others take there."""
    outside_bytes = card.constants.context_bytes + card.constants.temporaries_bytes
    return None if card.capacity_bytes is None else card.capacity_bytes - outside_bytes


def peak_with_blocks(trace: MemoryTrace, result: Replay) -> Peak:
    """The allocated peak counted as CUDA counts it: in blocks, some larger than what was asked for."""
    sized = tuple(
        a._replace(size_bytes=size) if size else a
        for a, size in zip(trace.allocations, result.block_sizes, strict=True)
    )
    return dataclasses.replace(trace, allocations=sized).peak()


def _prediction(
    peak: Peak,
    reserved_bytes: int,
    low_bytes: int,
    high_bytes: int,
    card: Card,
    fits: bool,
) -> MemoryPrediction:
    return MemoryPrediction(
        allocated_bytes=peak.allocated_bytes,
        reserved_bytes=reserved_bytes,
        device_bytes=reserved_bytes,
        capacity_bytes=card.capacity_bytes,
        fits=fits,
        peak_phase=peak.phase,
        peak_operation=peak.operation,
        components=peak.components,
        low_bytes=low_bytes,
        high_bytes=max(low_bytes, high_bytes),
        method="trace",
        gpu=card.name,
        version=version(),
    )


def predict_by_formula(settings: TrialSettings, shape: ModelShape, card: Card) -> MemoryPrediction:
    """Peak memory by the closed form alone, with a typical allocator slack: instant, and coarser than `predict`."""
    step = step_memory(settings, shape)
    allocated_bytes = step.allocated_bytes
    reserved_bytes = round(allocated_bytes * (1 + SLACK_FRACTION))
    device_bytes = reserved_bytes + card.constants.context_bytes
    return MemoryPrediction(
        allocated_bytes=allocated_bytes,
        reserved_bytes=reserved_bytes,
        device_bytes=device_bytes,
        capacity_bytes=card.capacity_bytes,
        fits=card.holds(device_bytes if card.on_cuda else allocated_bytes),
        peak_phase=step.phase,
        components=step.components,
        method="closed_form",
        gpu=card.name,
        version=f"{version()}, {card.constants.label}" if card.on_cuda else version(),
    )


def predict_shard(step: ShardedStep, card: Card, gpus: int) -> MemoryPrediction:
    """The same as a prediction for each of `gpus` such cards.

    On a CPU the tensors alone count, and there are no workspaces.
    """
    shard, on_cuda = step.on(card, gpus), card.on_cuda
    components = {name: size for name, size in shard.components.items() if on_cuda or name != "workspaces"}
    allocated_bytes = sum(components.values())
    needed_bytes = shard.device_bytes if on_cuda else allocated_bytes
    return dataclasses.replace(
        predict_by_formula(step.settings, step.shape, card),
        allocated_bytes=allocated_bytes,
        reserved_bytes=shard.reserved_bytes if on_cuda else allocated_bytes,
        device_bytes=needed_bytes,
        fits=card.holds(needed_bytes),
        peak_phase=shard.phase,
        components=components,
        method="sharded_form",
    )


def predict_worker(
    settings: TrialSettings, shape: ModelShape, card: Card, *, sure: float | None = None
) -> MemoryPrediction:
    """Peak memory of each of the trial's workers, on a card of its own.

    Where the formula needs more than `sure` times the card, its answer stands and nothing is traced.

    Raises: trainables.model.models.ModelError, as `predict`.
    """
    if settings.parallel == "ddp":
        if sure is not None and card.capacity_bytes is not None:
            coarse = predict_by_formula(settings, shape, card)
            if coarse.allocated_bytes > sure * card.capacity_bytes:
                return coarse
        return _with_buckets(predict(settings, card, shape), settings, shape, card)
    prediction = predict_shard(ShardedStep(settings, shape), card, settings.workers)
    evaluated_bytes = evaluation_bytes(settings, shape)
    if not prediction.fits or not card.on_cuda or card.holds(evaluated_bytes):
        return prediction
    gathered_bytes = _gathered_bytes(settings, shape)
    return dataclasses.replace(
        prediction,
        allocated_bytes=gathered_bytes,
        reserved_bytes=gathered_bytes,
        device_bytes=evaluated_bytes,
        fits=False,
        peak_phase="evaluation",
        components={"weights": gathered_bytes},
    )


def _with_buckets(alone: MemoryPrediction, settings: TrialSettings, shape: ModelShape, card: Card) -> MemoryPrediction:
    """With the copy of the gradients in which several workers with whole models exchange them; it stays for good."""
    if settings.workers == 1 or settings.lora_rank:  # an adapter's gradients are next to nothing
        return alone
    more = shape.parameters * (2 if settings.precision == "bf16" else 4)
    needed_bytes = more + (alone.device_bytes if card.on_cuda else alone.allocated_bytes)
    return dataclasses.replace(
        alone,
        allocated_bytes=alone.allocated_bytes + more,
        reserved_bytes=alone.reserved_bytes + more,
        device_bytes=alone.device_bytes + more,
        low_bytes=None if alone.low_bytes is None else alone.low_bytes + more,
        high_bytes=None if alone.high_bytes is None else alone.high_bytes + more,
        fits=alone.fits and card.holds(needed_bytes),
        components=alone.components | {"gradients": alone.components.get("gradients", 0) + more},
    )


def evaluation_bytes(settings: TrialSettings, shape: ModelShape) -> int:
    """What one card must hold for a sharded model to be evaluated: its weights whole, beside CUDA's context."""
    return _gathered_bytes(settings, shape) + ASSUMED.context_bytes


def _gathered_bytes(settings: TrialSettings, shape: ModelShape) -> int:
    """A sharded model's weights, gathered; random weights are never evaluated."""
    return 0 if settings.weights == "random" else shape.parameters * (2 if settings.precision == "bf16" else 4)
