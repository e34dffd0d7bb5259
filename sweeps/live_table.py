"""The table on the terminal: live while a sweep runs, and with the Pareto front at its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from analysis.table import MISSING, cell_text, memory_text, pareto_front, rate_text, trial_row
from trainables.records import CurvePoint, TrialRecord, TrialSettings

COLUMNS = ("trial", "size", "batch", "micro", "lr", "loss", "quality", "peak", "tokens/s", "outcome")


@dataclass
class _Line:
    settings: TrialSettings
    loss: float | None = None
    progress: str = "starting"
    record: TrialRecord | None = None


class LiveTable:
    """A table that redraws itself on a terminal; elsewhere, such as in a log file, one line for each ended trial."""

    def __init__(self, console: Console | None = None) -> None:
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

    def ended(self, record: TrialRecord) -> None:
        """The row with everything measured."""
        self._lines[record.trial_id].record = record
        if self._live is None:
            cells = _cells(record.trial_id, self._lines[record.trial_id])
            print("  ".join(f"{name} {cell}" for name, cell in zip(COLUMNS, cells, strict=True)), flush=True)
        self._draw()

    def _draw(self) -> None:
        if self._live:
            self._live.update(_table([_cells(trial_id, line) for trial_id, line in sorted(self._lines.items())]))


def print_end(records: Sequence[TrialRecord], console: Console | None = None) -> None:
    """Print all trials, those on the Pareto front marked with a star."""
    front = {record.trial_id for record in pareto_front(records)}
    lines = [_cells(r.trial_id, _Line(settings=r.settings, record=r), star=r.trial_id in front) for r in records]
    console = console or Console(width=None if sys.stdout.isatty() else 120)
    console.print(_table(lines))
    console.print(
        f"* {len(front)} of {len(records)} trials are on the Pareto front: none other has better quality, less memory"
        " and more tokens per second at once."
    )


def _cells(trial_id: str, line: _Line, *, star: bool = False) -> list[str]:
    settings, record = line.settings, line.record
    cells = [
        f"{trial_id.split('-')[0]}{' *' if star else ''}",
        settings.model,
        str(settings.batch_size),
        str(settings.micro_batch_size),
        rate_text(settings.learning_rate),
    ]
    if record is None:
        loss = MISSING if line.loss is None else cell_text(line.loss, "decimal")
        return [*cells, loss, MISSING, MISSING, MISSING, line.progress]
    row = trial_row(record)
    return [
        *cells,
        cell_text(row.loss, "decimal"),
        cell_text(row.sample_quality, "decimal"),
        MISSING if row.peak_bytes is None else memory_text(row.peak_bytes),
        cell_text(row.tokens_per_second, "speed"),
        row.outcome.replace("_", " "),
    ]


def _table(lines: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    for name in COLUMNS:
        is_text = name in ("trial", "size", "outcome")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name not in ("size", "outcome"))
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    return table
