"""What a sweep strives for, and what a record tells the sampler: finite values, and how far from feasible it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.front import DIRECTIONS, FROM_SAMPLES, objective_values
from sweeps.plan import SweepPlan
from sweeps.questions import BATCH_MEMORY, QUESTIONS, Question
from trainables.records import Outcome, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A figure of a record, and which way is better."""

    name: str
    direction: Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the sampler is told of a trial: one finite value for each objective, and its violation (0: feasible)."""

    values: tuple[float, ...]
    violation: float


def objectives_of(plan: SweepPlan) -> tuple[Objective, ...]:
    """What a sweep's question strives for."""
    return objectives_for(plan.weights, QUESTIONS[plan.question])


def objectives_for(weights: str, question: Question = BATCH_MEMORY) -> tuple[Objective, ...]:
    """The question's objectives; without those read from samples where weights are random."""
    return tuple(
        Objective(name=name, direction=DIRECTIONS[name])
        for name in question.objectives
        if weights == "pretrained" or name not in FROM_SAMPLES
    )


def verdict(record: TrialRecord, objectives: tuple[Objective, ...]) -> Verdict:
    """What a record tells the sampler.

    A trial that did not finish is infeasible: it gets the worst quality, style and speed, and the memory that it needed
    or was predicted to need, so that the sampler can learn in which direction the room ends.
    """
    values = objective_values(record, [objective.name for objective in objectives])
    if values is not None and all(objective.name in values for objective in objectives):
        return Verdict(values=tuple(values[objective.name] for objective in objectives), violation=0.0)
    needed_bytes = _needed_bytes(record)
    worst = {"peak_bytes": float(needed_bytes), "spill_over": 1.0}
    return Verdict(
        values=tuple(worst.get(objective.name, 0.0) for objective in objectives), violation=_violation(record)
    )


def _needed_bytes(record: TrialRecord) -> int:
    measured = record.report.memory.peak_bytes if record.report and record.report.memory else 0
    predicted = record.prediction.allocated_bytes if record.prediction else 0
    return max(measured, predicted)


def _violation(record: TrialRecord) -> float:
    """Above 0: by how large a part of the capacity memory is exceeded, or 1 for a trial that failed otherwise."""
    if record.outcome not in (Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT):
        return 1.0
    capacity = record.prediction.capacity_bytes if record.prediction else None
    return max(0.01, _needed_bytes(record) / capacity - 1) if capacity else 1.0
