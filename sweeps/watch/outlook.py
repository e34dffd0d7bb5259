"""How far a running sweep has come, and how long it may take yet: one line, and a bar for each trial that runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from data.doing import span_text
from sweeps.watch.follow import Listener
from trainables.records.record import CurvePoint, TrialRecord
from trainables.records.settings import TrialSettings

AFTER_STEPS = ("evaluation", "sampling", "scoring")  # parts of a trial's work after its last step
SHOWN = 4  # running trials in the line; of more, how many
BAR_WIDTH = 24


@dataclass(kw_only=True)
class _Running:
    """A trial that runs, by this process's clock."""

    model: str
    begun: float
    part: str | None = None
    part_begun: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)  # seconds that each earlier part took
    first_step: tuple[int, float] | None = None
    last_step: tuple[int, float] | None = None
    total_steps: int = 0
    done: int = 0  # of what `of` counts: completions drawn
    of: int = 0


class Outlook(Listener):
    """Listens to a sweep of `owed` trials."""

    def __init__(self, owed: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._owed = owed
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._ended = 0
        self._seconds: dict[str, list[float]] = {}  # of each model's trials that ran to their end
        self._after: dict[str, list[float]] = {}  # and of what they did after the last step

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        """A trial was proposed."""
        self._running[trial_id] = _Running(model=settings.model, begun=self._clock())

    def doing(self, trial_id: str, part: str, done: int = 0, of: int = 0) -> None:
        """A trial's worker is at a part of its work."""
        trial, now = self._running[trial_id], self._clock()
        if part != trial.part:
            if trial.part is not None:
                trial.parts[trial.part] = trial.parts.get(trial.part, 0.0) + now - trial.part_begun
            trial.part, trial.part_begun = part, now
        trial.done, trial.of = done, of

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        """A trial has come further."""
        trial = self._running[trial_id]
        if curve:
            trial.last_step = (curve[-1].step, self._clock())
            trial.first_step = trial.first_step or trial.last_step
            trial.total_steps = total_steps

    def ended(self, record: TrialRecord) -> None:
        """A trial has its record; what never ran tells nothing of how long one takes."""
        self._running.pop(record.trial_id, None)
        self._ended += 1
        split = (record.report and record.report.seconds_by_part) or {}
        if split.get("steps"):
            model = record.settings.model
            self._seconds.setdefault(model, []).append(record.seconds)
            self._after.setdefault(model, []).append(sum(split.get(part, 0.0) for part in AFTER_STEPS))

    def text(self) -> str:
        """All in one line: "3 of 12 trials ended; 0003 step 9 of 40, 12 s left; about 96 s left in all"."""
        running = dict(self._running)
        parts = [f"{self._ended} of {self._owed} trials ended"]
        if not running and self._ended < self._owed:
            parts.append("the next is being chosen")
        parts += [f"{_number(name)} {self._trial_text(trial)}" for name, trial in list(running.items())[:SHOWN]]
        if len(running) > SHOWN:
            parts.append(f"{len(running) - SHOWN} more run")
        left = self._left()
        return "; ".join(parts + ([f"about {span_text(left)} left in all"] if left else []))

    def bars(self) -> Table:
        """A bar for the sweep, and one for each running trial."""
        running = dict(self._running)
        grid = Table.grid(padding=(0, 1))
        left = self._left()
        share = (self._ended + sum(self._share(trial) for trial in running.values())) / max(1, self._owed)
        words = f"{self._ended} of {self._owed} trials ended"
        words += f", about {span_text(left)} left" if left else ""
        grid.add_row(Text("sweep", style="bold"), ProgressBar(1.0, min(1.0, share), width=BAR_WIDTH), Text(words))
        for name, trial in list(running.items())[: 2 * SHOWN]:
            bar = ProgressBar(1.0, self._share(trial), width=BAR_WIDTH)
            grid.add_row(Text(_number(name)), bar, Text(self._trial_text(trial)))
        return grid

    def _trial_text(self, trial: _Running) -> str:
        now = self._clock()
        words = "starts its processes" if trial.part is None else trial.part.replace("_", " ")
        if trial.part is None:
            words += f", {span_text(now - trial.begun)}"
        elif trial.part == "steps" and trial.last_step:
            words = f"step {trial.last_step[0]} of {trial.total_steps}"
        elif trial.of:
            words += f" {trial.done} of {trial.of}"
        else:
            words += f" {span_text(now - trial.part_begun)}"
        left = self._trial_left(trial)
        return f"{words}, {span_text(left)} left" if left else words

    def _share(self, trial: _Running) -> float:
        """How much of a trial is done; 0 while nobody can tell."""
        left, passed = self._trial_left(trial), self._clock() - trial.begun
        return 0.0 if left is None or passed + left <= 0 else passed / (passed + left)

    def _trial_left(self, trial: _Running) -> float | None:
        """Seconds that a trial takes yet; None while nothing like it was seen, 0 where it takes longer than that."""
        now, after = self._clock(), self._after_steps(trial)
        if trial.part in AFTER_STEPS:
            known = sum(seconds for part, seconds in trial.parts.items() if part in AFTER_STEPS)
            return None if after is None else max(0.0, after - known - (now - trial.part_begun))
        if trial.last_step is not None and trial.first_step is not None and trial.last_step > trial.first_step:
            steps, seconds = (last - first for last, first in zip(trial.last_step, trial.first_step, strict=True))
            owed = (trial.total_steps - trial.last_step[0]) * seconds / steps - (now - trial.last_step[1])
            return max(0.0, owed) + (after or 0.0)
        alike = self._seconds.get(trial.model)
        return max(0.0, sum(alike) / len(alike) - (now - trial.begun)) if alike else None

    def _after_steps(self, trial: _Running) -> float | None:
        """What comes after the last step: as in the model's other trials, else as the base model's figures took."""
        if seen := self._after.get(trial.model):
            return sum(seen) / len(seen)
        return trial.parts.get("base_figures") or None

    def _left(self) -> float | None:
        """Seconds that the sweep takes yet, all its trials alike and as many at once as now; None or 0: unknown."""
        now, running = self._clock(), list(self._running.values())
        lefts = [left for trial in running if (left := self._trial_left(trial)) is not None]
        lengths = [seconds for of_model in self._seconds.values() for seconds in of_model]
        if not lengths:
            lengths = [now - trial.begun + left for trial in running if (left := self._trial_left(trial)) is not None]
        to_come = max(0, self._owed - self._ended - len(running))
        if not lengths or (running and not lefts):
            return None
        mean, at_once = sum(lengths) / len(lengths), max(1, len(running))
        return max(lefts, default=0.0) + math.ceil(to_come / at_once) * mean


def _number(trial_id: str) -> str:
    return trial_id.partition("-")[0]
