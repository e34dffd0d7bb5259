"""What the trials of a sweep that were measured say of the predictions to come. Standard library only.

A residual is the ratio of measured to predicted bytes: what the allocator reserved on CUDA, live tensors on a CPU. One
imagined trial that was predicted exactly counts among them, so that a single odd trial does not rule.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

from trainables.records.record import MemoryPrediction, Outcome, TrialRecord

FIRST_ERROR = 0.02  # the prediction's own relative error before anything was measured: predict.RESERVED_ERROR
MEASURED_WHOLE = (Outcome.FINISHED, Outcome.STOPPED_EARLY, Outcome.DIVERGED)


@dataclass(frozen=True, kw_only=True)
class Correction:
    """`ratio` brings a prediction to what `count` trials had measured; the next is within `error` of it, relatively."""

    count: int
    ratio: float
    error: float


def correction_of(records: Iterable[TrialRecord]) -> Correction:
    """The correction that finished trials make. Without any: a ratio of 1 and the prediction's own error."""
    residuals = [found for record in records if (found := _residual(record)) is not None]
    weight = len(residuals) + 1
    mean = sum(residuals) / weight
    squares = FIRST_ERROR**2 + mean**2 + sum((residual - mean) ** 2 for residual in residuals)
    return Correction(
        count=len(residuals),
        ratio=math.exp(mean),
        error=math.sqrt(squares / weight * (1 + 1 / weight) / 2),
    )


def corrected(prediction: MemoryPrediction, correction: Correction) -> MemoryPrediction:
    """The prediction for the device after what was measured; its components and its own sums stay as they were.

    A trial that was predicted not to fit is never made to fit: what was measured were trials that did.
    """
    if correction.count == 0:
        return prediction
    own_bytes = prediction.reserved_bytes if prediction.method == "trace_and_replay" else prediction.allocated_bytes
    context_bytes = prediction.device_bytes - own_bytes
    device_bytes = round(own_bytes * correction.ratio) + context_bytes
    margin = round(own_bytes * correction.ratio * correction.error)
    capacity = prediction.capacity_bytes
    return dataclasses.replace(
        prediction,
        device_bytes=device_bytes,
        low_bytes=device_bytes - margin - _spread(prediction.device_bytes, prediction.low_bytes, own_bytes),
        high_bytes=device_bytes + margin + _spread(prediction.high_bytes, prediction.device_bytes, own_bytes),
        fits=prediction.fits and (capacity is None or correction.ratio <= 1 or device_bytes <= capacity),
        corrected_by_trials=correction.count,
        correction=correction.ratio,
    )


def _spread(upper: int | None, lower: int | None, own_bytes: int) -> int:
    """What the context may differ by: the interval's side beyond the prediction's own error."""
    return 0 if upper is None or lower is None else max(0, upper - lower - round(own_bytes * FIRST_ERROR))


def _residual(record: TrialRecord) -> float | None:
    """The logarithm of measured over predicted bytes; None where either is not whole.

    A CPU's probe measures a step to its end even where the cap was exceeded; CUDA stops at the cap.
    """
    prediction, memory = record.prediction, record.report.memory if record.report else None
    if prediction is None or memory is None:
        return None
    on_cpu = memory.counter == "cpu_probe_tensor_bytes"
    if record.outcome not in MEASURED_WHOLE and not (on_cpu and record.outcome is Outcome.OUT_OF_MEMORY):
        return None
    predicted = prediction.allocated_bytes if on_cpu else prediction.reserved_bytes
    return math.log(memory.peak_bytes / predicted) if memory.peak_bytes and predicted else None
