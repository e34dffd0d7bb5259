"""What a trial will need, asked before it is launched: trace for what is allocated, replay for what is reserved."""

from __future__ import annotations

import dataclasses

from trainables.memory.allocator import Replay, replay
from trainables.memory.closed_form import ModelShape, step_memory
from trainables.memory.constants import ASSUMED, constants_for
from trainables.memory.timeline import MemoryTrace, Peak
from trainables.memory.trace_cache import version
from trainables.memory.trial_trace import trial_trace, with_workspace
from trainables.models import ModelError
from trainables.records import MemoryPrediction
from trainables.settings import TrialSettings

CONTEXT_BYTES = ASSUMED.context_bytes  # CUDA context and libraries, where a card has no fit
RESERVED_ERROR = 0.02  # assumed: wider than the error on nine in ten published peaks, tests/benchmarks/
SLACK_FRACTION = 0.08  # reserved over allocated where only the formula is at hand; median of allocator replays


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
    Raises: trainables.models.ModelError when neither is at hand.
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
