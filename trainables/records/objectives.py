"""What a sweep strives for. An objective is declared here, once: sampler, terminal, report, board, export and wandb
read everything they say or show about it from its declaration.

To add one, add it to `_DECLARED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from trainables.records.plan import SweepPlan
from trainables.records.record import Outcome, QualityReport, TrialRecord, WorkerReport, style

Direction = Literal["maximize", "minimize"]
Kind = Literal["text", "integer", "number", "count", "decimal", "rate", "bytes", "speed", "seconds"]
"""How a value is written for a person; `analysis.sweep_table.table.cell_text` does it."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A figure of a trial that a sweep may strive for.

    `measured` reads it from the worker's report, but neither from its samples nor from its curve, which who searches
    and who shows do not load; None where it was not measured. `worst` is what the sampler learns of
    a trial that did not reach one. Figures of different `counter`s are never compared. `heading` stands above the
    terminal's column, `title` and `meaning` above those of report and board; `kind` is the number's format, unit
    included; `phrase` is it in a sentence, and `better` what another trial would have more of.
    """

    name: str
    direction: Direction
    measured: Callable[[WorkerReport], float | None]
    worst: Callable[[TrialRecord], float]
    heading: str
    title: str
    meaning: str
    kind: Kind
    phrase: str
    better: str
    is_from_samples: bool = False
    follows_micro_batch: bool = False
    counter: Callable[[WorkerReport], str] | None = None

    def gain(self, value: float) -> float:
        """`value` such that more is better."""
        return value if self.direction == "maximize" else -value


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A bound on what tuning may cost the model; a trial whose quality was not measured keeps it.

    `option` is the field of `SweepPlan` that holds the limit, `constraint` its name for the sampler,
    `excess` by how much a trial breaks the limit (0 or less where it keeps it), `phrase` the bound in a sentence.
    """

    option: Literal["min_retention", "max_copied_share"]
    constraint: str
    excess: Callable[[QualityReport, float], float]
    phrase: str


def needed_bytes(record: TrialRecord) -> int:
    """The memory that a trial took or was predicted to need, whichever is more."""
    measured = record.report.memory.peak_bytes if record.report and record.report.memory else 0
    predicted = record.prediction.allocated_bytes if record.prediction else 0
    return max(measured, predicted)


_DECLARED = (
    Objective(
        name="sample_quality",
        direction="maximize",
        measured=lambda report: report.quality.sample_quality if report.quality else None,
        worst=lambda record: 0.0,
        heading="quality",
        title="Quality",
        meaning="Sample quality; higher is better",
        kind="decimal",
        phrase="sample quality {}",
        better="better quality",
        is_from_samples=True,
    ),
    Objective(
        name="peak_bytes",
        direction="minimize",
        measured=lambda report: report.memory.peak_bytes if report.memory else None,
        worst=needed_bytes,
        heading="peak",
        title="Peak",
        meaning="Peak memory, measured",
        kind="bytes",
        phrase="a measured peak of {}",
        better="less memory",
        follows_micro_batch=True,
        counter=lambda report: report.memory.counter if report.memory else "",
    ),
    Objective(
        name="tokens_per_second",
        direction="maximize",
        measured=lambda report: report.tokens_per_second,
        worst=lambda record: 0.0,
        heading="tokens/s",
        title="Tokens/s",
        meaning="Training speed, real tokens per second",
        kind="speed",
        phrase="{} tokens/s",
        better="more tokens per second",
        follows_micro_batch=True,
    ),
    Objective(
        name="style",
        direction="maximize",
        measured=lambda report: style(report.quality) if report.quality else None,
        worst=lambda record: 0.0,
        heading="style",
        title="Style",
        meaning="Style on keywords, seen and unseen; 1 as in human lines",
        kind="decimal",
        phrase="style {}",
        better="more style",
        is_from_samples=True,
    ),
    Objective(
        name="spill_over",
        direction="minimize",
        measured=lambda report: report.quality.spill_over if report.quality else None,
        worst=lambda record: 1.0,
        heading="spill-over",
        title="Spill-over",
        meaning="Style taken on where it is not wanted; lower is better",
        kind="decimal",
        phrase="a spill-over of {}",
        better="less spill-over",
        is_from_samples=True,
    ),
)
OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in _DECLARED}
FROM_SAMPLES = tuple(objective.name for objective in _DECLARED if objective.is_from_samples)

BUDGETS = (
    Budget(
        option="min_retention",
        constraint="retention",
        excess=lambda quality, least: least - quality.retention,
        phrase="a retention of at least {:g}",
    ),
    Budget(
        option="max_copied_share",
        constraint="memorisation",
        excess=lambda quality, most: quality.copied_share - most,
        phrase="at most {:g} of the words copied",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Aims:
    """What one sweep strives for, in the order of its plan, and the budgets that were set, each with its limit."""

    objectives: tuple[Objective, ...]
    budgets: tuple[tuple[Budget, float], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives' names."""
        return tuple(objective.name for objective in self.objectives)

    def values(self, record: TrialRecord) -> dict[str, float] | None:
        """The record's values by name of objective; without those read from samples where none were scored.

        Returns: None for a record that did not finish, that lacks one of the other figures, or has none at all.
        """
        report = record.report
        if record.outcome != Outcome.FINISHED or report is None:
            return None
        found = {objective.name: objective.measured(report) for objective in self.objectives}
        values = {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}
        owed = [objective.name for objective in self.objectives if not objective.is_from_samples]
        return values if values and all(name in values for name in owed) else None

    def excesses(self, record: TrialRecord) -> dict[str, float]:
        """By how much the record breaks each budget, by name of constraint; 0 where its quality was not measured."""
        quality = record.report.quality if record.report else None
        return {budget.constraint: budget.excess(quality, limit) if quality else 0.0 for budget, limit in self.budgets}

    def keeps_budgets(self, record: TrialRecord) -> bool:
        """Whether the record breaks none."""
        return all(excess <= 0 for excess in self.excesses(record).values())

    @property
    def better_phrase(self) -> str:
        """What no other trial has beside one on the front: "better quality and less memory at once"."""
        words = [objective.better for objective in self.objectives]
        return words[0] if len(words) == 1 else f"{listed(words)} at once"

    @property
    def budget_phrase(self) -> str:
        """The budgets in a sentence; "" where none is set."""
        return " and ".join(budget.phrase.format(limit) for budget, limit in self.budgets)


def listed(words: Sequence[str]) -> str:
    """The words as a list in a sentence: "one", "one and two", "one, two and three"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def aims_of(plan: SweepPlan) -> Aims:
    """What a sweep of this plan strives for."""
    limits = [(budget, getattr(plan, budget.option)) for budget in BUDGETS]
    return Aims(
        objectives=tuple(OBJECTIVES[name] for name in plan.objectives),
        budgets=tuple((budget, limit) for budget, limit in limits if limit is not None),
    )
