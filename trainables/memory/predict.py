"""What a trial will need, asked before it is launched: trace for what is allocated, replay for what is reserved."""

from __future__ import annotations

import dataclasses

from trainables.memory.cards import ASSUMED, constants_for
from trainables.memory.formula.full_training import step_memory
from trainables.memory.formula.sharding import sharded_memory
from trainables.memory.formula.sizes import SLACK_FRACTION
from trainables.memory.tracing.allocator import Replay, replay
from trainables.memory.tracing.cache import version
from trainables.memory.tracing.timeline import MemoryTrace, Peak
from trainables.memory.tracing.trial_trace import trial_trace, with_workspace
from trainables.model.models import ModelError, ModelShape
from trainables.records.record import MemoryPrediction
from trainables.records.settings import TrialSettings

CONTEXT_BYTES = ASSUMED.context_bytes  # CUDA context and libraries, where a card has no fit
RESERVED_ERROR = 0.02  # assumed: wider than the error on nine in ten published peaks, tests/benchmarks/


def predict(
    settings: TrialSettings,
    shape: ModelShape | None = None,
    *,
    gpu: str | None,
    capacity_bytes: int | None,
    on_cuda: bool,
) -> MemoryPrediction:
    """Peak memory of one worker on a card of `capacity_bytes` (None: no bound).

    On CUDA the whole device must hold it: allocator slack and the context count. A CPU under a memory cap is held to
    the tensors alone, which is what its probe counts. A traced step is cached on disk. Where the model's config cannot
    be had, the closed form answers from `shape`.
    Raises: trainables.model.models.ModelError when neither is at hand.
    """
    try:
        trace = trial_trace(settings, device="cuda" if on_cuda else "cpu", gpu=gpu)
    except ModelError:
        if shape is None:
            raise
        return predict_by_formula(settings, shape, gpu=gpu, capacity_bytes=capacity_bytes, on_cuda=on_cuda)
    return prediction_of(trace, gpu=gpu, capacity_bytes=capacity_bytes, on_cuda=on_cuda)


def prediction_of(
    trace: MemoryTrace, *, gpu: str | None, capacity_bytes: int | None, on_cuda: bool
) -> MemoryPrediction:
    """What a trace says of a card; without CUDA, of a CPU whose live tensors may take `capacity_bytes`."""
    if not on_cuda:
        peak = trace.peak()
        fits = capacity_bytes is None or peak.allocated_bytes <= capacity_bytes
        return _prediction(peak, peak.allocated_bytes, peak.allocated_bytes, 0, gpu, capacity_bytes, fits)
    constants = constants_for(gpu)
    if constants.workspace_bytes is not None:
        trace = with_workspace(trace, constants.workspace_bytes)
    unbounded = replay(trace)
    peak = peak_with_blocks(trace, unbounded)
    outside_bytes = constants.context_bytes + constants.temporaries_bytes
    bounded = unbounded
    if capacity_bytes is not None and unbounded.reserved_bytes > capacity_bytes - outside_bytes:
        bounded = replay(trace, capacity_bytes - outside_bytes)  # below the bound it would do the same
    replayed_bytes = bounded.reserved_bytes if bounded.fits else unbounded.reserved_bytes
    reserved_bytes = replayed_bytes + constants.temporaries_bytes
    low_bytes = round(reserved_bytes * (1 - RESERVED_ERROR)) + constants.context_low_bytes
    high_bytes = round(reserved_bytes * (1 + RESERVED_ERROR)) + constants.context_high_bytes
    made = _prediction(peak, reserved_bytes, low_bytes, high_bytes, gpu, capacity_bytes, bounded.fits)
    return dataclasses.replace(
        made,
        device_bytes=reserved_bytes + constants.context_bytes,
        method="trace_and_replay",
        version=f"{version()}, {constants.label}",
    )


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
    gpu: str | None,
    capacity_bytes: int | None,
    fits: bool,
) -> MemoryPrediction:
    return MemoryPrediction(
        allocated_bytes=peak.allocated_bytes,
        reserved_bytes=reserved_bytes,
        device_bytes=reserved_bytes,
        capacity_bytes=capacity_bytes,
        fits=fits,
        peak_phase=peak.phase,
        peak_operation=peak.operation,
        components=peak.components,
        low_bytes=low_bytes,
        high_bytes=max(low_bytes, high_bytes),
        method="trace",
        gpu=gpu,
        version=version(),
    )


def predict_by_formula(
    settings: TrialSettings, shape: ModelShape, *, gpu: str | None, capacity_bytes: int | None, on_cuda: bool
) -> MemoryPrediction:
    """Peak memory by the closed form alone, with a typical allocator slack: instant, and coarser than `predict`."""
    step = step_memory(settings, shape)
    allocated_bytes = step.allocated_bytes
    reserved_bytes = round(allocated_bytes * (1 + SLACK_FRACTION))
    constants = constants_for(gpu) if on_cuda else ASSUMED
    device_bytes = reserved_bytes + constants.context_bytes
    needed_bytes = device_bytes if on_cuda else allocated_bytes
    return MemoryPrediction(
        allocated_bytes=allocated_bytes,
        reserved_bytes=reserved_bytes,
        device_bytes=device_bytes,
        capacity_bytes=capacity_bytes,
        fits=capacity_bytes is None or needed_bytes <= capacity_bytes,
        peak_phase=step.phase,
        components=step.components,
        method="closed_form",
        gpu=gpu,
        version=f"{version()}, {constants.label}" if on_cuda else version(),
    )


def predict_shard(
    settings: TrialSettings, shape: ModelShape, gpus: int, *, gpu: str | None, capacity_bytes: int | None, on_cuda: bool
) -> MemoryPrediction:
    """The same as a prediction for each of `gpus` devices of `capacity_bytes` (None: no bound).

    On a CPU the tensors alone count, and there are no workspaces.
    """
    shard = sharded_memory(settings, shape, gpus, gpu)
    components = {name: size for name, size in shard.components.items() if on_cuda or name != "workspaces"}
    allocated_bytes = sum(components.values())
    needed_bytes = shard.device_bytes if on_cuda else allocated_bytes
    return dataclasses.replace(
        predict_by_formula(settings, shape, gpu=gpu, capacity_bytes=capacity_bytes, on_cuda=on_cuda),
        allocated_bytes=allocated_bytes,
        reserved_bytes=shard.reserved_bytes if on_cuda else allocated_bytes,
        device_bytes=needed_bytes,
        fits=capacity_bytes is None or needed_bytes <= capacity_bytes,
        peak_phase=shard.phase,
        components=components,
        method="sharded_form",
    )


def predict_worker(
    settings: TrialSettings, shape: ModelShape, *, gpu: str | None, capacity_bytes: int | None, on_cuda: bool
) -> MemoryPrediction:
    """Peak memory of each of the trial's workers, on a card of `capacity_bytes` (None: no bound).

    Raises: trainables.model.models.ModelError, as `predict`.
    """
    target = {"gpu": gpu, "capacity_bytes": capacity_bytes, "on_cuda": on_cuda}
    if settings.parallel == "ddp":
        return _with_buckets(predict(settings, shape, **target), settings, shape, on_cuda=on_cuda)
    made = predict_shard(settings, shape, settings.workers, **target)
    gathered_bytes = gathered_weights_bytes(settings, shape)
    if not made.fits or not on_cuda or capacity_bytes is None or gathered_bytes + CONTEXT_BYTES <= capacity_bytes:
        return made
    return dataclasses.replace(
        made,
        allocated_bytes=gathered_bytes,
        reserved_bytes=gathered_bytes,
        device_bytes=gathered_bytes + CONTEXT_BYTES,
        fits=False,
        peak_phase="evaluation",
        components={"weights": gathered_bytes},
    )


def _with_buckets(
    alone: MemoryPrediction, settings: TrialSettings, shape: ModelShape, *, on_cuda: bool
) -> MemoryPrediction:
    """With the copy of the gradients in which several workers with whole models exchange them; it stays for good."""
    if settings.workers == 1 or settings.lora_rank:  # an adapter's gradients are next to nothing
        return alone
    more = shape.parameters * (2 if settings.precision == "bf16" else 4)
    needed_bytes = more + (alone.device_bytes if on_cuda else alone.allocated_bytes)
    return dataclasses.replace(
        alone,
        allocated_bytes=alone.allocated_bytes + more,
        reserved_bytes=alone.reserved_bytes + more,
        device_bytes=alone.device_bytes + more,
        low_bytes=None if alone.low_bytes is None else alone.low_bytes + more,
        high_bytes=None if alone.high_bytes is None else alone.high_bytes + more,
        fits=alone.fits and (alone.capacity_bytes is None or needed_bytes <= alone.capacity_bytes),
        components=alone.components | {"gradients": alone.components.get("gradients", 0) + more},
    )


def gathered_weights_bytes(settings: TrialSettings, shape: ModelShape) -> int:
    """What a sharded model takes whole, as one card must hold it to be evaluated; random weights never are."""
    return 0 if settings.weights == "random" else shape.parameters * (2 if settings.precision == "bf16" else 4)
