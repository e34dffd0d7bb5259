"""Mirrors trials to Weights & Biases: one run a trial, in the sweep's group. The records stay the truth.

Nothing here can end a sweep: without an API key runs are written offline, and when the service goes away they are too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from analysis.sweep_table.table import rate_text
from sweeps.watch.follow import Listener
from sweeps.watch.run_content import anatomy_rows, config_of, measured_anatomy_rows, phase_rows, sample_rows, summary_of
from sweeps.watch.wandb_session import WandbSession, troubles
from trainables.records.layout import LAYOUT
from trainables.records.record import CurvePoint, Outcome, TrialRecord
from trainables.records.settings import TrialSettings
from trainables.records.storage import Storage
from trainables.records.sweep_folder import SweepFacts

TAG_CHARACTERS = 64  # the most that wandb takes


class WandbTracker(Listener):
    """Listens to a sweep and writes a wandb run for each trial."""

    def __init__(self, storage: Storage, facts: SweepFacts, session: WandbSession) -> None:
        self._storage = storage
        self._facts = facts
        self._session = session
        self._runs: dict[str, Any] = {}
        self._logged_steps: dict[str, int] = {}
        self._lost: set[str] = set()  # trials whose run was cut off, and that have not ended yet
        self._owed: list[TrialRecord] = []  # those that have

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        """Open the trial's run, unless an earlier session has mirrored it to its end."""
        if not self._storage.exists(LAYOUT.trial(trial_id).mirrored):
            self._open(trial_id, settings)

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        """Log the points of the loss curve that are new."""
        if (run := self._runs.get(trial_id)) is None:
            return
        try:
            self._log_curve(run, trial_id, curve)
        except troubles() as error:
            self._lose(trial_id, run, error)

    def ended(self, record: TrialRecord) -> None:
        """Write summary, memory, quality and samples, and close the run; one that was cut off is written anew."""
        run = self._runs.get(record.trial_id)
        if run is not None:
            try:
                self._session.check()
                self._write(run, record)
            except troubles() as error:
                self._lose(record.trial_id, run, error)
            else:
                self._mark(record)
        self._runs.pop(record.trial_id, None)
        if record.trial_id in self._lost:
            self._owed.append(record)
        if self._owed and self._session.start_anew():
            self._write_owed()

    def _open(self, trial_id: str, settings: TrialSettings) -> None:
        rate = rate_text(settings.learning_rate)
        run = self._session.open(
            trial_id,
            name=f"{settings.model.replace('/', '-')}-bs{settings.batch_size}-lr{rate}-{trial_id}",
            job_type="trial",
            tags=[settings.model[:TAG_CHARACTERS], self._facts.question, f"bs{settings.batch_size}"],
            config=config_of(settings, self._facts),
        )
        if run is None:
            return
        run.define_metric("train/tokens")
        run.define_metric("train/loss", step_metric="train/tokens", summary="last")
        run.define_metric("train/learning_rate", step_metric="train/tokens", summary="max")
        self._runs[trial_id] = run
        self._logged_steps[trial_id] = max(0, run.step - 1)  # what the service has, of a run gone on with; else 0

    def _write(self, run: Any, record: TrialRecord) -> None:
        if record.report is not None:
            self._log_curve(run, record.trial_id, record.report.curve)
        run.summary.update(summary_of(record))
        run.tags = (*(run.tags or ()), record.outcome.value)
        if shown := _tables(record):
            run.log(shown)
        self._session.close(run, failed=record.outcome is Outcome.FAILED)

    def _mark(self, record: TrialRecord) -> None:
        self._storage.write_text(LAYOUT.trial(record.trial_id).mirrored, self._session.mode)

    def _log_curve(self, run: Any, trial_id: str, curve: Sequence[CurvePoint]) -> None:
        for point in curve:
            if point.step > self._logged_steps[trial_id]:
                run.log(
                    {
                        "train/loss": point.loss,
                        "train/learning_rate": point.learning_rate,
                        "train/tokens": point.tokens,
                    },
                    step=point.step,
                )
                self._logged_steps[trial_id] = point.step

    def _lose(self, trial_id: str, run: Any, error: Exception) -> None:
        """Give up a run that was cut off; it is written anew, offline and whole, when no other is open."""
        self._session.give_up(run, error)
        self._lost.add(trial_id)
        self._runs.pop(trial_id)

    def _write_owed(self) -> None:
        while self._owed:
            record = self._owed.pop()
            self._lost.discard(record.trial_id)
            try:
                self._open(record.trial_id, record.settings)
                self._write(self._runs.pop(record.trial_id), record)
            except troubles() as error:
                print(f"wandb: trial {record.trial_id} is not mirrored ({error}).", file=sys.stderr)
            else:
                self._mark(record)


def _tables(record: TrialRecord) -> dict[str, Any]:
    """The record's tables; memory as bars too, predicted and measured never in one."""
    import wandb

    def bars(rows: list[Any], columns: list[Any], title: str) -> Any:
        return wandb.plot.bar(wandb.Table(columns=columns, data=rows), columns[0], columns[1], title=title)

    shown: dict[str, Any] = {}
    if rows := anatomy_rows(record):
        columns = ["component", "predicted_bytes", "predicted_for"]
        shown["memory/anatomy_predicted"] = bars(rows, columns, "Anatomy of the peak, predicted, bytes")
    if rows := measured_anatomy_rows(record):
        title = "Anatomy of the peak, measured, bytes"
        shown["memory/anatomy_measured"] = bars(rows, ["component", "measured_bytes"], title)
    if rows := phase_rows(record):
        columns = ["phase", "measured_peak_bytes", "counter"]
        shown["memory/timeline_measured"] = bars(rows, columns, "Peak of each phase, measured, bytes")
    if rows := sample_rows(record):
        shown["samples"] = wandb.Table(columns=["prompt", "kind", "seed", "base", "tuned"], data=rows)
    return shown
