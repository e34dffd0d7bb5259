"""Which trials of a sweep are on its Pareto front, and which of them to use: decided here, for every page.

Both follow the sweep's own objectives, among the trials that keep its budgets.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trainables.records.objectives import Aims
from trainables.records.record import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What decides how a trial stands, of a finished one that keeps the sweep's budgets.

    Only trials of one `group` are compared; more of each of `gains` is better. `preference` orders the front.
    """

    trial_id: str
    number: int
    group: tuple[str, ...]
    gains: tuple[float, ...]
    preference: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The trials on a front, by id and in order of number, and the one of them to use; None where there is none."""

    front: tuple[str, ...]
    best: str | None


def standing_of(records: Iterable[TrialRecord], aims: Aims) -> Standing:
    """The front of `records` and its best trial, as `aims` has it."""
    return decide(contender for record in records if (contender := contender_of(record, aims)) is not None)


def contender_of(record: TrialRecord, aims: Aims) -> Contender | None:
    """What decides how a trial stands; None for one that cannot be on the front.

    Comparable are trials that have the same objectives measured, and by the same counters.
    """
    values, report = aims.values(record), record.report
    if values is None or report is None or not aims.keeps_budgets(record):
        return None
    reached = [objective for objective in aims.objectives if objective.name in values]
    counters = [objective.counter(report) for objective in reached if objective.counter]
    speed = _or_least(report.tokens_per_second)
    room = -_or_least(report.memory.peak_bytes if report.memory else None, math.inf)
    quality = report.quality.sample_quality if report.quality else None
    return Contender(
        trial_id=record.trial_id,
        number=record.number,
        group=(*counters, *values),
        gains=tuple(objective.gain(values[objective.name]) for objective in reached),
        preference=(0.0, speed, room) if quality is None else (1.0, quality, room, speed),
    )


def decide(contenders: Iterable[Contender]) -> Standing:
    """The front: whom no comparable other dominates. The best: of these the one of highest sample quality.

    One dominates another when it is nowhere worse and somewhere better; equals stand side by side. Of equal quality
    the smallest peak is best, then the highest speed; where no quality was measured, the fastest, then the smallest.
    """
    groups: dict[tuple[str, ...], list[Contender]] = defaultdict(list)
    for contender in contenders:
        groups[contender.group].append(contender)
    front = [
        members[index]
        for members in groups.values()
        for index in nondominated(np.array([member.gains for member in members]))
    ]
    front.sort(key=lambda member: (member.number, member.trial_id))
    best = max(front, key=lambda member: (member.preference, -member.number), default=None)
    return Standing(front=tuple(member.trial_id for member in front), best=best.trial_id if best else None)


def nondominated(gains: np.ndarray) -> list[int]:
    """Indices of the rows of `gains` (trials by objectives, more is better) that no other row dominates."""
    front: list[int] = []
    kept = np.empty_like(gains)
    # From the best first objective down, ties broken by the next: a later row can then never dominate an earlier one.
    for index in np.lexsort(-gains.T[::-1]):
        row, best = gains[index], kept[: len(front)]
        if not ((best >= row).all(axis=1) & (best > row).any(axis=1)).any():
            kept[len(front)] = row
            front.append(int(index))
    return sorted(front)


def _or_least(value: float | None, least: float = -math.inf) -> float:
    return least if value is None else value
