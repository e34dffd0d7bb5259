"""The searcher: Optuna's sampler behind Ray Tune, fed by records.

Every proposal is written down before it starts, and a study can be built again from proposals and records alone: after
a crash the sampler knows what it knew, and what was under way is proposed again under the same number.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from data.errors import error_line
from sweeps.planning.space import distributions
from sweeps.search.limits import NO_LIMITS, STORAGE_ERROR, Limits
from sweeps.search.memory_guard import Expected, PointsThatFit
from sweeps.search.objectives import verdict
from sweeps.search.study import attributes
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import SweepFacts, begun_proposal, load_figures, store_proposal


class RecordSearch(OptunaSearch):
    """Proposes trials from `study`, and tells it what their records say.

    `points` adds the micro-batch to a point where it is automatic, and what is expected of its memory; without it
    nothing is.
    """

    def __init__(
        self,
        facts: SweepFacts,
        storage_uri: str,
        study: optuna.Study,
        limits: Limits = NO_LIMITS,
        records: Sequence[TrialRecord] = (),
        points: PointsThatFit | None = None,
    ) -> None:
        # The base class builds a study of its own only when it is given a space; this one comes ready made.
        super().__init__(
            metric=list(facts.aims.names),
            mode=["max" if objective.direction == "maximize" else "min" for objective in facts.aims.objectives],
        )
        self._space = distributions(facts.plan)
        self._ot_study = study
        self.facts = facts
        self.storage_uri = storage_uri
        self.limits, self._records, self._began = limits, list(records), time.monotonic()
        self.limit_reached: str | None = None
        self.storage_error: str | None = None  # once it is set nothing more is proposed
        self._points = points

    def suggest(self, trial_id: str) -> Any:
        """The next proposal, written down, with the trial's number and our id for it; the end once a limit is reached.

        The limits look at `records`, those of earlier runs, and at what has ended since; `limit_reached` keeps which.
        """
        seconds = time.monotonic() - self._began
        self.limit_reached = self.limits.reached(self._records, seconds, self.facts.aims)
        if self.limit_reached or self.storage_error:
            return Searcher.FINISHED
        try:
            point = super().suggest(trial_id)
            assert point is not None, "Optuna always proposes"
            number = self._ot_trials[trial_id].number
            our_id, storage = self.facts.trial_id(number), open_storage(self.storage_uri)
            proposal = self._whole(point, our_id, storage)
            store_proposal(storage, our_id, proposal)
        except (OSError, StorageInternalError) as error:
            self.storage_error = _reason(error)
            return Searcher.FINISHED
        expected = self._points.expected(proposal) if self._points else Expected()
        return {"number": number, "trial_id": our_id, "proposal": proposal, "expected": expected}

    def _whole(self, point: dict[str, Any], our_id: str, storage: Storage) -> dict[str, Any]:
        """The point with what is chosen beside it: as it was in a trial that has trained already."""
        if not self.facts.plan.has_automatic_micro_batch or self._points is None:
            return point
        return begun_proposal(storage, our_id) or self._points.proposal(point)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: what a running trial reports is for early stopping; the study follows from records."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune would write the whole study again and again, and it is made from records."""
        Path(checkpoint_path).write_bytes(b"")

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study what the trial's record says; a trial without a record counts as failed."""
        if trial_id in self._completed_trials:
            return
        self.storage_error = self.storage_error or (result or {}).get(STORAGE_ERROR)
        try:
            self._tell(trial_id)
        except (OSError, StorageInternalError) as tell_error:  # the study is built anew from records by the next run
            self.storage_error = self.storage_error or _reason(tell_error)

    def _tell(self, trial_id: str) -> None:
        trial = self._ot_trials[trial_id]
        record = load_figures(open_storage(self.storage_uri), self.facts.trial_id(trial.number))
        self._completed_trials.add(trial_id)
        if record is not None and self.limits != NO_LIMITS:
            self._records.append(record)
        for name, value in attributes(record, self.facts.plan).items() if record else ():
            trial.set_user_attr(name, value)
        if record is None or record.outcome is Outcome.FAILED:
            self._ot_study.tell(trial, state=TrialState.FAIL)
            return
        if self._points:
            self._points.guard.learn(record)
        found = verdict(record, self.facts.plan)
        for name, value in found.constraints.items():
            trial.set_constraint(name, value)
        self._ot_study.tell(trial, list(found.values))


def _reason(error: BaseException) -> str:
    """The first error of those that were raised from one another: Optuna's own says little of a full disk."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error_line(error)
