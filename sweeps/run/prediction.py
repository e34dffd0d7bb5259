"""What one worker of a trial is predicted to need: the traced step where it holds the model, a formula for a shard."""

from __future__ import annotations

import dataclasses

from trainables.memory.closed_form import ModelShape
from trainables.memory.predict import CONTEXT_BYTES, predict
from trainables.memory.sharding import predict_shard
from trainables.records import MemoryPrediction
from trainables.settings import TrialSettings


def predict_worker(
    settings: TrialSettings, shape: ModelShape, *, gpu: str | None, capacity_bytes: int | None, on_cuda: bool
) -> MemoryPrediction:
    """Peak memory of each of the trial's workers, on a card of `capacity_bytes` (None: no bound).

    Raises: trainables.models.ModelError, as `predict`.
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
