"""Whether a proposal is expected to fit, and at which micro-batch: predictions, corrected by what was measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from sweeps.planning.finite_space import Point
from sweeps.planning.space import to_settings
from trainables.memory.correction import corrected, correction_of
from trainables.records.plan import CHOSEN, SweepPlan
from trainables.records.record import MemoryPrediction, Outcome, TrialRecord
from trainables.records.settings import TrialSettings

CORRECTING_TRIALS = 64  # the latest: more would only cost reading
JUST_OVER = 1.01  # by how much a trial that ran out of memory needed more than there was, at least


class MemoryGuard:
    """Learns by which factor predictions of need fall short, at worst; `factor` is 1 until one does."""

    def __init__(self, capacity_bytes: int | None) -> None:
        self.capacity_bytes = capacity_bytes
        self.factor = 1.0
        self._latest: deque[TrialRecord] = deque(maxlen=CORRECTING_TRIALS)
        self._correction = correction_of(())

    def has_room(self, predicted_bytes: float) -> bool:
        """Whether a trial of this predicted need fits."""
        return self.capacity_bytes is None or predicted_bytes * self.factor <= self.capacity_bytes

    def is_sure_of(self, prediction: MemoryPrediction) -> bool:
        """Whether a trial fits though it may need as much as the upper end of what is expected of it.

        A CPU's tensors are counted to the byte: there is no interval around them.
        """
        expected = corrected(prediction, self._correction)
        capacity_bytes, is_counted = expected.capacity_bytes, expected.method == "trace"
        if not expected.fits or is_refused(prediction, self.factor):
            return False
        return capacity_bytes is None or is_counted or (expected.high_bytes or expected.device_bytes) <= capacity_bytes

    def measured(self, predicted_bytes: float, measured_bytes: float) -> None:
        """A trial of this predicted need took as much."""
        if predicted_bytes > 0:
            self.factor = max(self.factor, measured_bytes / predicted_bytes)

    def ran_out(self, predicted_bytes: float) -> None:
        """A trial of this predicted need ran out of memory: so it needs more than there is."""
        if self.capacity_bytes is not None and predicted_bytes > 0:
            self.factor = max(self.factor, JUST_OVER * self.capacity_bytes / predicted_bytes)

    def learn(self, record: TrialRecord) -> None:
        """Take over what a record says."""
        prediction, memory = record.prediction, record.report.memory if record.report else None
        if prediction is None:
            return
        self._latest.append(record)
        self._correction = correction_of(self._latest)
        if record.outcome is Outcome.OUT_OF_MEMORY:
            self.ran_out(uncorrected_bytes(prediction))
        elif memory is not None and memory.counter == "cuda_reserved":
            self.measured(prediction.reserved_bytes, memory.peak_bytes)
        elif memory is not None:
            self.measured(prediction.allocated_bytes, memory.peak_bytes)


def uncorrected_bytes(prediction: MemoryPrediction) -> int:
    """What was predicted of the device before the correction that trainables/memory/correction.py makes."""
    is_replayed = prediction.method == "trace_and_replay"
    own_bytes = prediction.reserved_bytes if is_replayed else prediction.allocated_bytes
    return prediction.device_bytes - round(own_bytes * (prediction.correction - 1))


def is_refused(prediction: MemoryPrediction, factor: float) -> bool:
    """Whether a trial needs more than there is where predictions fall short by `factor`."""
    capacity_bytes = prediction.capacity_bytes
    return capacity_bytes is not None and uncorrected_bytes(prediction) * factor > capacity_bytes


class PointsThatFit:
    """Says of a sweep's points whether they fit, and at which micro-batch; each kind of step is predicted once."""

    def __init__(
        self, plan: SweepPlan, guard: MemoryGuard, predict: Callable[[TrialSettings], MemoryPrediction]
    ) -> None:
        self.plan, self.guard, self._predict = plan, guard, predict
        self._known: dict[Hashable, MemoryPrediction] = {}

    def __call__(self, point: Point) -> bool:
        """Whether the point is expected to fit by all that is known."""
        prediction = self._prediction(self._whole(point, self.guard))
        return prediction.fits and self.guard.has_room(prediction.device_bytes)

    def as_predicted(self, point: Point) -> bool:
        """Whether the point is predicted to fit, whatever was measured since: the same before and after a crash."""
        return self._prediction(self._whole(point, MemoryGuard(self.guard.capacity_bytes))).fits

    def proposal(self, point: Point) -> dict[str, Any]:
        """The point with its micro-batch, where that is automatic: the largest that surely fits, else the smallest.

        It divides each worker's share of the batch. Without a bound it is all of it.
        """
        return self._whole(point, self.guard)

    def _whole(self, point: Point, guard: MemoryGuard) -> dict[str, Any]:
        if not self.plan.has_automatic_micro_batch:
            return dict(point)
        share = point["batch_size"] // self.plan.workers
        for size in range(share, 1, -1):
            whole = dict(point) | {CHOSEN: size}
            if share % size == 0 and (guard.capacity_bytes is None or guard.is_sure_of(self._prediction(whole))):
                return whole
        return dict(point) | {CHOSEN: 1}

    def _prediction(self, proposal: dict[str, Any]) -> MemoryPrediction:
        settings = to_settings(self.plan, proposal)
        same_step = {"batch_size": min(settings.accumulation_steps, 2), "learning_rate": None, "epochs": None}
        same_step["replay_ratio"] = self.plan.as_laid_out(settings).sequence_length
        kind = tuple(sorted((proposal | same_step).items(), key=lambda item: item[0]))
        if kind not in self._known:
            self._known[kind] = self._predict(settings)
        return self._known[kind]
