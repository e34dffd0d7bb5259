"""The table on the terminal: live while a sweep runs, and with the Pareto front at its end."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from analysis.sweep_table.front import standing_of
from analysis.sweep_table.table import MISSING, TrialRow, cell_text, rate_text, trial_row
from data.doing import leaving_the_terminal
from data.errors import UserError
from sweeps.planning.questions import Question
from sweeps.watch.follow import Listener
from sweeps.watch.outlook import Outlook
from trainables.records.objectives import OBJECTIVES, Objective, aims_of
from trainables.records.plan import SweepPlan
from trainables.records.record import CurvePoint, TrialRecord
from trainables.records.settings import SHARED, TrialSettings

MARGIN = 12  # lines of a terminal that are not the table's: its head, bars, and what was printed before
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
    "outcome": lambda row: row.outcome.replace("_", " "),
}


def columns_of(question: Question, plan: SweepPlan) -> tuple[str, ...]:
    """Heads of the question's table, and of what the plan strives for beside it."""
    further = [OBJECTIVES[name].heading for name in plan.objectives]
    return (*question.columns[:-1], *(h for h in further if h not in question.columns), *question.columns[-1:])


def check_columns(columns: Sequence[str]) -> None:
    """See that a question's table can be drawn. Raises: UserError, listing the columns that there are."""
    headings = [objective.heading for objective in OBJECTIVES.values()]
    known = ("trial", *SETTING_CELLS, *ROW_CELLS, *headings, *SHARED)
    unknown = [name for name in columns if name not in known]
    if unknown or columns[:1] != ("trial",):
        raise UserError(f"columns={', '.join(columns)}; the first is 'trial', and all are of {', '.join(known)}.")


@dataclass
class _Line:
    settings: TrialSettings
    loss: float | None = None
    progress: str = "starting"
    record: TrialRecord | None = None


class LiveTable(Listener):
    """A table that redraws itself on a terminal; elsewhere, such as in a log file, one line for each ended trial.

    `columns` are keys of `SETTING_CELLS` and `ROW_CELLS` and headings of objectives, after "trial". On a terminal it
    is gone when the sweep ends: `print_end` then shows all trials. Of more trials than the terminal has lines, it
    shows those that run and those that ended last.
    """

    def __init__(self, columns: Sequence[str], console: Console | None = None, outlook: Outlook | None = None) -> None:
        self._columns = columns
        self._console = console or Console(file=sys.stdout)
        self._outlook = outlook
        self._lines: dict[str, _Line] = {}
        self._stack = contextlib.ExitStack()
        self._is_terminal = self._console.is_terminal and not self._console.is_dumb_terminal

    def __enter__(self) -> LiveTable:
        if self._is_terminal:
            self._stack.enter_context(leaving_the_terminal())
            self._stack.enter_context(
                Live(get_renderable=self._picture, console=self._console, refresh_per_second=2, transient=True)
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        """A row for a new trial."""
        self._lines[trial_id] = _Line(settings=settings)

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        """The row's loss, and how much of its steps are done."""
        if curve:
            line = self._lines[trial_id]
            line.loss = curve[-1].loss
            line.progress = f"{100 * curve[-1].step // total_steps}%"

    def doing(self, trial_id: str, part: str, done: int, of: int) -> None:
        """What the row's worker does, until it has steps to tell of."""
        self._lines[trial_id].progress = part.replace("_", " ")

    def ended(self, record: TrialRecord) -> None:
        """The row with everything measured."""
        self._lines[record.trial_id].record = record
        if not self._is_terminal:
            cells = _cells(record.trial_id, self._lines[record.trial_id], self._columns)
            print("  ".join(f"{name} {cell}" for name, cell in zip(self._columns, cells, strict=True)), flush=True)

    def _picture(self) -> RenderableType:
        """The table as it stands, what runs last, and how far all is."""
        shown = sorted(dict(self._lines).items(), key=lambda line: (line[1].record is None, line[0]))
        shown = shown[-max(MARGIN, self._console.height - MARGIN) :]
        table = _table([_cells(trial_id, line, self._columns) for trial_id, line in shown], self._columns)
        return table if self._outlook is None else Group(table, "", self._outlook.bars())


def print_end(
    records: Sequence[TrialRecord], plan: SweepPlan, question: Question, console: Console | None = None
) -> None:
    """Print all trials, those on the Pareto front marked with a star, and which of them to use."""
    aims, columns = aims_of(plan), columns_of(question, plan)
    standing = standing_of(records, aims)
    lines = [
        _cells(r.trial_id, _Line(settings=r.settings, record=r), columns, star=r.trial_id in standing.front)
        for r in records
    ]
    console = console or Console(width=None if sys.stdout.isatty() else 120)
    console.print(_table(lines, columns))
    kept = f", keeping to {aims.budget_phrase}" if aims.budgets else ""
    console.print(
        f"* {len(standing.front)} of {len(records)} trials are on the Pareto front{kept}: no other trial has"
        f" {aims.better_phrase}."
    )
    if standing.best is not None:
        console.print(f"Best: trial {standing.best.split('-')[0]}.")


def _cells(trial_id: str, line: _Line, columns: Sequence[str], *, star: bool = False) -> list[str]:
    cells = [f"{trial_id.split('-')[0]}{' *' if star else ''}"]
    row = None if line.record is None else trial_row(line.record)
    running = {"loss": MISSING if line.loss is None else cell_text(line.loss, "decimal"), "outcome": line.progress}
    objectives = {objective.heading: objective for objective in OBJECTIVES.values()}
    for name in columns[1:]:
        if name in SETTING_CELLS:
            cells.append(SETTING_CELLS[name](line.settings))
        elif name in SHARED and name not in ROW_CELLS:
            cells.append(str(getattr(line.settings, name)))
        elif row is None:
            cells.append(running.get(name, MISSING))
        else:
            cells.append(ROW_CELLS[name](row) if name in ROW_CELLS else _figure(row, objectives[name]))
    return cells


def _figure(row: TrialRow, objective: Objective) -> str:
    return cell_text(row.value(objective.name), objective.kind)


def _table(lines: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    for name in columns:
        is_text = name in ("trial", "size", "outcome")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name not in ("size", "outcome"))
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    return table
