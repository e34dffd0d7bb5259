"""What a trial will need, asked before it is launched."""

from __future__ import annotations

from trainables.memory.closed_form import ModelShape, step_memory
from trainables.records import MemoryPrediction, TrialSettings

CONTEXT_BYTES = 450 * 2**20  # CUDA context and libraries; assumed (300-600 MiB seen in reports), not yet measured
SLACK_FRACTION = 0.08  # reserved over allocated; median of allocator replays, not yet measured on a card


def predict(
    settings: TrialSettings, shape: ModelShape, *, gpu: str | None, capacity_bytes: int | None, on_cuda: bool
) -> MemoryPrediction:
    """Peak memory of one worker on a card of `capacity_bytes` (None: no bound).

    On CUDA the whole device must hold it: allocator slack and the context count. A CPU under a memory cap is held to
    the tensors alone, which is what its probe counts.
    """
    step = step_memory(settings, shape)
    allocated_bytes = step.allocated_bytes
    reserved_bytes = round(allocated_bytes * (1 + SLACK_FRACTION))
    device_bytes = reserved_bytes + CONTEXT_BYTES
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
    )
