"""What a sweep's measured trials say about the predictions to come. Standard library only.

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
JUST_OVER = 1.01  # by how much a trial that ran out of memory needed more than there was, at least
MEASURED_WHOLE = (Outcome.FINISHED, Outcome.STOPPED_EARLY, Outcome.DIVERGED)


@dataclass(frozen=True, kw_only=True)
class Correction:
    """`ratio` scales a prediction to what `count` trials measured; the next is within `error` of it, relatively.

    `worst` is by which factor predictions fell short at worst, 1 until one did: what would not fit by that is refused.
    """

    count: int = 0
    ratio: float = 1.0
    error: float = FIRST_ERROR
    worst: float = 1.0


def correction_of(records: Iterable[TrialRecord], worst: float = 1.0) -> Correction:
    """The correction that follows from ended trials. Without any: a ratio of 1 and the prediction's own error.

    `worst` is that of trials before them.
    """
    records = list(records)
    residuals = [found for record in records if (found := _residual(record)) is not None]
    weight = len(residuals) + 1
    mean = sum(residuals) / weight
    squares = FIRST_ERROR**2 + mean**2 + sum((residual - mean) ** 2 for residual in residuals)
    return Correction(
        count=len(residuals),
        ratio=math.exp(mean),
        error=math.sqrt(squares / weight * (1 + 1 / weight) / 2),
        worst=max([worst, *map(_shortfall, records)]),
    )


def corrected(prediction: MemoryPrediction, correction: Correction) -> MemoryPrediction:
    """The prediction for the device after what was measured; its components and its own sums stay as they were.

    A trial that was predicted not to fit is never made to fit: what was measured were trials that did.
    """
    fits = prediction.fits and _holds(prediction, prediction.device_bytes * correction.worst)
    if correction.count == 0:
        return dataclasses.replace(prediction, fits=fits)
    own_bytes = _own_bytes(prediction)
    context_bytes = prediction.device_bytes - own_bytes
    device_bytes = round(own_bytes * correction.ratio) + context_bytes
    margin = round(own_bytes * correction.ratio * correction.error)
    return dataclasses.replace(
        prediction,
        device_bytes=device_bytes,
        low_bytes=device_bytes - margin - _spread(prediction.device_bytes, prediction.low_bytes, own_bytes),
        high_bytes=device_bytes + margin + _spread(prediction.high_bytes, prediction.device_bytes, own_bytes),
        fits=fits and (correction.ratio <= 1 or _holds(prediction, device_bytes)),
        corrected_by_trials=correction.count,
        correction=correction.ratio,
    )


def _holds(prediction: MemoryPrediction, needed_bytes: float) -> bool:
    return prediction.capacity_bytes is None or needed_bytes <= prediction.capacity_bytes


def _own_bytes(prediction: MemoryPrediction) -> int:
    """The part of the device's figure that the correction multiplies: all but the context."""
    return prediction.reserved_bytes if prediction.method == "trace_and_replay" else prediction.allocated_bytes


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


def _shortfall(record: TrialRecord) -> float:
    """By which factor the prediction of a trial fell short, as far as that is known; 1 where it did not.

    One that ran out of memory needed more than there was, `JUST_OVER` at least.
    """
    prediction, memory = record.prediction, record.report.memory if record.report else None
    if prediction is None:
        return 1.0
    if record.outcome is Outcome.OUT_OF_MEMORY:
        uncorrected = prediction.device_bytes - round(_own_bytes(prediction) * (prediction.correction - 1))
        capacity_bytes = prediction.capacity_bytes
        return 1.0 if capacity_bytes is None or uncorrected < 1 else JUST_OVER * capacity_bytes / uncorrected
    if memory is None:
        return 1.0
    predicted = prediction.reserved_bytes if memory.counter == "cuda_reserved" else prediction.allocated_bytes
    return memory.peak_bytes / predicted if predicted > 0 else 1.0
