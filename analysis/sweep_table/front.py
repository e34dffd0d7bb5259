"""What makes one trial better than another: objectives, the Pareto front of them, and the trial to use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from analysis.sweep_table.table import TrialRow
from trainables.records.objectives import DIRECTIONS, OBJECTIVES, objective_values
from trainables.records.record import TrialRecord


def pareto_front(records: Iterable[TrialRecord], objectives: Sequence[str] = tuple(OBJECTIVES)) -> list[TrialRecord]:
    """The finished records that no comparable one dominates, in order of number.

    One dominates another when it is nowhere worse and somewhere better; equals stand side by side. Comparable are
    records that have the same objectives measured and, where the peak is one, by the same counter.
    """
    groups: dict[tuple[str, ...], list[tuple[TrialRecord, list[float]]]] = defaultdict(list)
    for record in records:
        values = objective_values(record, objectives)
        if values is not None and record.report:
            gains = [value if DIRECTIONS[name] == "maximize" else -value for name, value in values.items()]
            memory = record.report.memory if "peak_bytes" in values else None
            groups[(memory.counter if memory else "", *values)].append((record, gains))
    front = [
        members[index][0]
        for members in groups.values()
        for index in nondominated(np.array([gains for _, gains in members]))
    ]
    return sorted(front, key=lambda record: (record.number, record.trial_id))


def nondominated_rows(rows: Sequence[TrialRow], names: Sequence[str]) -> list[TrialRow]:
    """The rows that none dominates in the fields `names`, which every row has measured."""
    signs = [1 if DIRECTIONS[name] == "maximize" else -1 for name in names]
    gains = [[sign * getattr(row, name) for sign, name in zip(signs, names, strict=True)] for row in rows]
    return [rows[index] for index in nondominated(np.array(gains, dtype=float))]


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


def best_record(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The finished trial to use: highest sample quality, then smallest peak, then fastest.

    Where no quality was measured: the fastest, then the smallest. None when no trial finished.
    """
    found = [(record, values) for record in records if (values := objective_values(record)) is not None]
    judged = [pair for pair in found if "sample_quality" in pair[1]]

    def rank(pair: tuple[TrialRecord, dict[str, float]]) -> tuple[float, ...]:
        record, values = pair
        peak, speed = -values["peak_bytes"], values["tokens_per_second"]
        return (values["sample_quality"], peak, speed, -record.number) if judged else (speed, peak, -record.number)

    return max(judged or found, key=rank)[0] if found else None
