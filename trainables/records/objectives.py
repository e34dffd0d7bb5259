"""What a sweep strives for: the figures of a record, which way is better, and what rules a trial out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from trainables.records.record import Outcome, TrialRecord, style

OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "sample_quality": "maximize",
    "peak_bytes": "minimize",
    "tokens_per_second": "maximize",
}


FROM_SAMPLES = ("sample_quality", "style", "spill_over")


DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {**OBJECTIVES, "style": "maximize", "spill_over": "minimize"}
"""Every figure that a sweep may strive for; `OBJECTIVES` are those of a sweep that names none."""


def objective_values(record: TrialRecord, objectives: Iterable[str] = OBJECTIVES) -> dict[str, float] | None:
    """The record's values by name of objective; without those read from samples where none were scored.

    Returns: None for a record that did not finish, that lacks one of the other figures, or has none at all.
    """
    report, names = record.report, list(objectives)
    if record.outcome != Outcome.FINISHED or report is None:
        return None
    quality, memory = report.quality, report.memory
    measured = {
        "sample_quality": quality.sample_quality if quality else None,
        "style": style(quality) if quality else None,
        "spill_over": quality.spill_over if quality else None,
        "peak_bytes": memory.peak_bytes if memory else None,
        "tokens_per_second": report.tokens_per_second,
    }
    found = {name: measured[name] for name in names}
    values = {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}
    return values if values and all(name in values for name in names if name not in FROM_SAMPLES) else None


def keeps_budgets(record: TrialRecord, min_retention: float | None, max_copied_share: float | None) -> bool:
    """Whether a trial keeps enough of the base model's science and copies little enough; true where not measured."""
    quality = record.report.quality if record.report else None
    if quality is None:
        return True
    return (min_retention is None or quality.retention >= min_retention) and (
        max_copied_share is None or quality.copied_share <= max_copied_share
    )
