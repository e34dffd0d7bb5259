"""What a sweep strives for, and what a record tells the sampler: finite values, and how far from feasible it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainables.records.objectives import DIRECTIONS, objective_values
from trainables.records.plan import SweepPlan
from trainables.records.record import Outcome, TrialRecord

FITS, COMPLETED, RETENTION, MEMORISATION = "fits_the_card", "completed", "retention", "memorisation"
NO_ROOM = (Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT)
LEAST_EXCESS = 0.01  # a trial that ran out of memory exceeds the card by as much at least, whatever was predicted


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A figure of a record, and which way is better."""

    name: str
    direction: Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the sampler is told of a trial: one finite value for each objective, and constraints by name.

    A constraint above 0 is violated, by so much; one at or below 0 is kept.
    """

    values: tuple[float, ...]
    constraints: dict[str, float]

    @property
    def is_feasible(self) -> bool:
        """Whether no constraint is violated."""
        return all(value <= 0 for value in self.constraints.values())


def objectives_of(plan: SweepPlan) -> tuple[Objective, ...]:
    """What a sweep strives for."""
    return tuple(Objective(name=name, direction=DIRECTIONS[name]) for name in plan.objectives)


def verdict(record: TrialRecord, plan: SweepPlan) -> Verdict:
    """What a record tells the sampler.

    A trial that did not finish is infeasible: it gets the worst quality, style and speed, and the memory that it needed
    or was predicted to need, so that the sampler can learn in which direction the room ends.
    """
    objectives = objectives_of(plan)
    values = objective_values(record, plan.objectives)
    is_whole = values is not None and all(name in values for name in plan.objectives)
    constraints = {FITS: _excess(record), COMPLETED: 0.0 if is_whole or record.outcome in NO_ROOM else 1.0}
    quality = record.report.quality if record.report else None
    if plan.min_retention is not None:
        constraints[RETENTION] = plan.min_retention - quality.retention if quality else 0.0
    if plan.max_copied_share is not None:
        constraints[MEMORISATION] = quality.copied_share - plan.max_copied_share if quality else 0.0
    if values is not None and is_whole:
        return Verdict(values=tuple(values[name] for name in plan.objectives), constraints=constraints)
    worst = {"peak_bytes": float(_needed_bytes(record)), "spill_over": 1.0}
    return Verdict(values=tuple(worst.get(objective.name, 0.0) for objective in objectives), constraints=constraints)


def _needed_bytes(record: TrialRecord) -> int:
    measured = record.report.memory.peak_bytes if record.report and record.report.memory else 0
    predicted = record.prediction.allocated_bytes if record.prediction else 0
    return max(measured, predicted)


def _excess(record: TrialRecord) -> float:
    """By how large a part of the capacity memory is exceeded, or below 0 how much of it was left; 0 where not known."""
    capacity = record.prediction.capacity_bytes if record.prediction else None
    excess = _needed_bytes(record) / capacity - 1 if capacity else None
    if record.outcome in NO_ROOM:
        return 1.0 if excess is None else max(LEAST_EXCESS, excess)
    return 0.0 if excess is None else min(0.0, excess)
