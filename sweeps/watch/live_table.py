"""The table on the terminal: live while a sweep runs, and with the Pareto front at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from analysis.sweep_table.front import pareto_front
from analysis.sweep_table.table import MISSING, TrialRow, cell_text, rate_text, trial_row
from sweeps.planning.questions import BATCH_MEMORY, Question
from sweeps.watch.follow import Listener
from trainables.records.byte_sizes import memory_text
from trainables.records.objectives import keeps_budgets
from trainables.records.plan import SweepPlan
from trainables.records.record import CurvePoint, TrialRecord
from trainables.records.settings import TrialSettings

SETTING_CELLS: dict[str, Callable[[TrialSettings], str]] = {
    "size": lambda settings: settings.model,
    "batch": lambda settings: str(settings.batch_size),
    "micro": lambda settings: str(settings.micro_batch_size),
    "lr": lambda settings: rate_text(settings.learning_rate),
    "epochs": lambda settings: MISSING if settings.epochs is None else f"{settings.epochs:g}",
    "replay": lambda settings: f"{settings.replay_ratio:g}",
}
ROW_CELLS: dict[str, Callable[[TrialRow], str]] = {
    "loss": lambda row: cell_text(row.loss, "decimal"),
    "style": lambda row: cell_text(row.style, "decimal"),
    "spill-over": lambda row: cell_text(row.spill_over, "decimal"),
    "quality": lambda row: cell_text(row.sample_quality, "decimal"),
    "peak": lambda row: MISSING if row.peak_bytes is None else memory_text(row.peak_bytes),
    "tokens/s": lambda row: cell_text(row.tokens_per_second, "speed"),
    "outcome": lambda row: row.outcome.replace("_", " "),
}


BETTER = {
    "sample_quality": "better quality",
    "peak_bytes": "less memory",
    "tokens_per_second": "more tokens per second",
    "style": "more style",
    "spill_over": "less spill-over",
}


@dataclass
class _Line:
    settings: TrialSettings
    loss: float | None = None
    progress: str = "starting"
    record: TrialRecord | None = None


class LiveTable(Listener):
    """A table that redraws itself on a terminal; elsewhere, such as in a log file, one line for each ended trial.

    `columns` are those of the question: keys of `SETTING_CELLS` and `ROW_CELLS`, after "trial".
    """

    def __init__(self, console: Console | None = None, columns: Sequence[str] = BATCH_MEMORY.columns) -> None:
        self._columns = columns
        self._console = console or Console(file=sys.stdout)
        self._lines: dict[str, _Line] = {}
        self._live = Live(console=self._console, refresh_per_second=2) if self._console.is_terminal else None

    def __enter__(self) -> LiveTable:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        """A row for a new trial."""
        self._lines[trial_id] = _Line(settings=settings)
        self._draw()

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        """The row's loss, and how much of its steps are done."""
        if curve:
            line = self._lines[trial_id]
            line.loss = curve[-1].loss
            line.progress = f"{100 * curve[-1].step // total_steps}%"
        self._draw()

    def doing(self, trial_id: str, part: str) -> None:
        """What the row's worker does, until it has steps to tell of."""
        self._lines[trial_id].progress = part.replace("_", " ")
        self._draw()

    def ended(self, record: TrialRecord) -> None:
        """The row with everything measured."""
        self._lines[record.trial_id].record = record
        if self._live is None:
            cells = _cells(record.trial_id, self._lines[record.trial_id], self._columns)
            print("  ".join(f"{name} {cell}" for name, cell in zip(self._columns, cells, strict=True)), flush=True)
        self._draw()

    def _draw(self) -> None:
        if self._live:
            lines = [_cells(trial_id, line, self._columns) for trial_id, line in sorted(self._lines.items())]
            self._live.update(_table(lines, self._columns))


def print_end(
    records: Sequence[TrialRecord],
    console: Console | None = None,
    question: Question = BATCH_MEMORY,
    plan: SweepPlan | None = None,
) -> None:
    """Print all trials, those on the Pareto front marked with a star: of the plan's objectives, or the question's."""
    objectives = plan.objectives if plan else question.objectives
    budgets = (plan.min_retention, plan.max_copied_share) if plan else (None, None)
    allowed = [record for record in records if keeps_budgets(record, *budgets)]
    front = {record.trial_id for record in pareto_front(allowed, objectives)}
    lines = [
        _cells(r.trial_id, _Line(settings=r.settings, record=r), question.columns, star=r.trial_id in front)
        for r in records
    ]
    console = console or Console(width=None if sys.stdout.isatty() else 120)
    console.print(_table(lines, question.columns))
    console.print(
        f"* {len(front)} of {len(records)} trials are on the Pareto front: none other has {_better(objectives)}."
    )


def _better(objectives: Sequence[str]) -> str:
    words = [BETTER[name] for name in objectives]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]} at once"


def _cells(trial_id: str, line: _Line, columns: Sequence[str], *, star: bool = False) -> list[str]:
    cells = [f"{trial_id.split('-')[0]}{' *' if star else ''}"]
    row = None if line.record is None else trial_row(line.record)
    running = {"loss": MISSING if line.loss is None else cell_text(line.loss, "decimal"), "outcome": line.progress}
    for name in columns[1:]:
        if name in SETTING_CELLS:
            cells.append(SETTING_CELLS[name](line.settings))
        else:
            cells.append(running.get(name, MISSING) if row is None else ROW_CELLS[name](row))
    return cells


def _table(lines: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    for name in columns:
        is_text = name in ("trial", "size", "outcome")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name not in ("size", "outcome"))
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    return table
