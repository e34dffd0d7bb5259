"""What a record tells the sampler: finite values, one for each objective, and how far from feasible it is."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.records.objectives import aims_of, needed_bytes
from trainables.records.plan import SweepPlan
from trainables.records.record import Outcome, TrialRecord

FITS, COMPLETED = "fits_the_card", "completed"  # constraints, beside those of the budgets
NO_ROOM = (Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT)
LEAST_EXCESS = 0.01  # a trial that ran out of memory exceeds the card by as much at least, whatever was predicted


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the sampler learns of a trial: one finite value for each objective, and constraints by name.

    A constraint above 0 is violated, by so much; one at or below 0 is kept.
    """

    values: tuple[float, ...]
    constraints: dict[str, float]

    @property
    def is_feasible(self) -> bool:
        """Whether no constraint is violated."""
        return all(value <= 0 for value in self.constraints.values())


def verdict(record: TrialRecord, plan: SweepPlan) -> Verdict:
    """What a record tells the sampler.

    A trial that did not finish is infeasible: it gets the worst of each objective; of memory that is what it needed or
    was predicted to need, so that the sampler can learn in which direction the room ends.
    """
    aims = aims_of(plan)
    values = aims.values(record) or {}
    is_whole = all(name in values for name in aims.names)
    constraints = {FITS: _excess(record), COMPLETED: 0.0 if is_whole or record.outcome in NO_ROOM else 1.0}
    constraints |= aims.excesses(record)
    if is_whole:
        return Verdict(values=tuple(values[name] for name in aims.names), constraints=constraints)
    worst = (float(objective.worst(record)) for objective in aims.objectives)
    return Verdict(values=tuple(worst), constraints=constraints)


def _excess(record: TrialRecord) -> float:
    """By how large a part of the capacity memory is exceeded, or below 0 how much of it was left; 0 where not known."""
    capacity = record.prediction.capacity_bytes if record.prediction else None
    excess = needed_bytes(record) / capacity - 1 if capacity else None
    if record.outcome in NO_ROOM:
        return 1.0 if excess is None else max(LEAST_EXCESS, excess)
    return 0.0 if excess is None else min(0.0, excess)
