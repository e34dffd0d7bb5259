"""Whether a proposal is expected to fit, and at which micro-batch: predictions, corrected by what was measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from sweeps.planning.finite_space import Point
from sweeps.planning.placement import Placement
from sweeps.planning.space import to_settings
from trainables.memory.correction import Correction, corrected, correction_of
from trainables.records.plan import CHOSEN, SweepPlan
from trainables.records.record import MemoryPrediction, TrialRecord
from trainables.records.settings import TrialSettings

CORRECTING_TRIALS = 64  # the latest: older ones only tell by how much predictions fell short at worst


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a trial's memory as it is proposed: its driver takes it over.

    `placement` is None where nothing bounds the sweep, so that nobody asked yet.
    """

    correction: Correction = field(default_factory=Correction)
    placement: Placement | None = field(default=None, repr=False)


class MemoryGuard:
    """Learns from trials that ended by what the predictions to come are to be corrected."""

    def __init__(self, capacity_bytes: int | None) -> None:
        self.capacity_bytes = capacity_bytes
        self.correction = Correction()
        self._latest: deque[TrialRecord] = deque(maxlen=CORRECTING_TRIALS)

    def is_sure_of(self, prediction: MemoryPrediction) -> bool:
        """Whether a trial fits though it may need as much as the upper end of what is expected of it.

        A CPU's tensors are counted to the byte: there is no interval around them.
        """
        expected = corrected(prediction, self.correction)
        capacity_bytes, is_counted = expected.capacity_bytes, expected.method == "trace"
        if not expected.fits:
            return False
        return capacity_bytes is None or is_counted or (expected.high_bytes or expected.device_bytes) <= capacity_bytes

    def learn(self, record: TrialRecord) -> None:
        """Take over what a record says."""
        if record.prediction is not None:
            self._latest.append(record)
            self.correction = correction_of(self._latest, self.correction.worst)


class PointsThatFit:
    """Says of a sweep's points whether they fit, and at which micro-batch; each kind of step is predicted once."""

    def __init__(self, plan: SweepPlan, guard: MemoryGuard, place: Callable[[TrialSettings], Placement]) -> None:
        self.plan, self.guard, self._place = plan, guard, place
        self._known: dict[Hashable, Placement] = {}

    def __call__(self, point: Point) -> bool:
        """Whether the point is expected to fit by all that is known."""
        prediction = self.placement(self._whole(point, self.guard)).prediction
        return corrected(prediction, self.guard.correction).fits

    def as_predicted(self, point: Point) -> bool:
        """Whether the point is predicted to fit, whatever was measured since: the same before and after a crash."""
        return self.placement(self._whole(point, MemoryGuard(self.guard.capacity_bytes))).prediction.fits

    def proposal(self, point: Point) -> dict[str, Any]:
        """The point with its micro-batch, where that is automatic: the largest that surely fits, else the smallest.

        It divides each worker's share of the batch. Without a bound it is all of it.
        """
        return self._whole(point, self.guard)

    def expected(self, proposal: Point) -> Expected:
        """What the trial's driver is to know of its memory: what was asked for here is not asked again."""
        is_bounded = self.guard.capacity_bytes is not None
        placement = self.placement(proposal) if is_bounded else None
        return Expected(correction=self.guard.correction, placement=placement)

    def _whole(self, point: Point, guard: MemoryGuard) -> dict[str, Any]:
        if not self.plan.has_automatic_micro_batch:
            return dict(point)
        share = point["batch_size"] // self.plan.workers
        for size in range(share, 1, -1):
            whole = dict(point) | {CHOSEN: size}
            if share % size == 0 and (
                guard.capacity_bytes is None or guard.is_sure_of(self.placement(whole).prediction)
            ):
                return whole
        return dict(point) | {CHOSEN: 1}

    def placement(self, proposal: Point) -> Placement:
        """Where the trial of a proposal would run, and the uncorrected prediction there."""
        settings = to_settings(self.plan, proposal)
        same_step = {"batch_size": min(settings.accumulation_steps, 2), "learning_rate": None, "epochs": None}
        same_step["replay_ratio"] = self.plan.as_laid_out(settings).sequence_length
        kind = tuple(sorted((dict(proposal) | same_step).items(), key=lambda item: item[0]))
        if kind not in self._known:
            self._known[kind] = self._place(settings)
        return self._known[kind]
