"""When a sweep proposes no more trials: what it may cost, how long it may take, and when nothing better comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.sweep_table.front import standing_of
from trainables.records.objectives import Aims
from trainables.records.record import FailureKind, TrialRecord

SECONDS_PER_HOUR = 3600

STORAGE_ERROR = "storage_error"  # in a trial's result to Tune: why it could write no record


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one run of a sweep; None for none. Trials that run when one is reached are finished, none is begun.

    `max_gpu_hours` counts all records of the sweep, earlier runs too; `max_hours` this run's time. `flat_trials` is how
    many trials in a row may bring nothing to the Pareto front. `fail_fast` ends it after a fault of the program.
    """

    max_gpu_hours: float | None = None
    max_hours: float | None = None
    flat_trials: int | None = None
    fail_fast: bool = False

    def reached(self, records: Sequence[TrialRecord], seconds: float, aims: Aims) -> str | None:
        """Which limit is reached, in one line for a person; None when there is room. `seconds` is this run's time."""
        gpu_hours = sum(record.gpu_seconds for record in records) / SECONDS_PER_HOUR
        if self.max_gpu_hours is not None and gpu_hours >= self.max_gpu_hours:
            return f"{gpu_hours:.2f} GPU-hours are used, --max-gpu-hours is {self.max_gpu_hours:g}"
        if self.max_hours is not None and seconds >= self.max_hours * SECONDS_PER_HOUR:
            return f"{seconds / SECONDS_PER_HOUR:.2f} hours have passed, --max-hours is {self.max_hours:g}"
        if self.flat_trials is not None and _trials_since_better(records, aims) >= self.flat_trials:
            return f"the last {self.flat_trials} trials brought nothing to the Pareto front (--stop-when-flat)"
        failed = next((record.trial_id for record in records if record.failure is FailureKind.BUG), None)
        if self.fail_fast and failed:
            return f"trial {failed} failed through a fault of the program (--fail-fast)"
        return None


NO_LIMITS = Limits()


def price_of(gpu_seconds: float, price_per_gpu_hour: float | None) -> float | None:
    """What the GPUs cost; None without a price."""
    return None if price_per_gpu_hour is None else gpu_seconds / SECONDS_PER_HOUR * price_per_gpu_hour


def cost_text(records: Sequence[TrialRecord]) -> str:
    """What all trials used, in one line; the price is of those that were run with one."""
    gpu_hours = sum(record.gpu_seconds for record in records) / SECONDS_PER_HOUR
    return f"{gpu_hours:.2f} GPU-hours, cost {sum(record.price or 0.0 for record in records):.2f}."


def _trials_since_better(records: Sequence[TrialRecord], aims: Aims) -> int:
    """Trials after the youngest on the front of all: none of them brought anything."""
    ordered = sorted(records, key=lambda record: record.number)
    front = set(standing_of(ordered, aims).front)
    last = max((index for index, record in enumerate(ordered) if record.trial_id in front), default=-1)
    return len(ordered) - 1 - last
