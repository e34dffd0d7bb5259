"""The searcher: Optuna's sampler behind Ray Tune, fed by records.

Every proposal is written down before it starts, and a study can be built again from proposals and records alone: after
a crash the sampler knows what it knew, and what was under way is proposed again under the same number.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.trial import TrialState, create_trial
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from sweeps.failures import STORAGE_ERROR, one_line
from sweeps.layout import SweepFacts, load_history, load_record, store_proposal
from sweeps.limits import NO_LIMITS, Limits
from sweeps.objectives import objectives_of, verdict
from sweeps.sampler import DistinctSampler
from sweeps.space import STARTING_POINTS, distributions, space_of, starting_points
from trainables.records import Outcome, TrialRecord
from trainables.storage import Storage, open_storage


class RecordSearch(OptunaSearch):
    """Proposes trials from `study`, and tells it what their records say."""

    def __init__(
        self,
        facts: SweepFacts,
        storage_uri: str,
        study: optuna.Study,
        limits: Limits = NO_LIMITS,
        records: Sequence[TrialRecord] = (),
    ) -> None:
        self.objectives = objectives_of(facts.plan)
        # The base class builds a study of its own only when it is given a space; this one comes ready made.
        super().__init__(
            metric=[objective.name for objective in self.objectives],
            mode=["max" if objective.direction == "maximize" else "min" for objective in self.objectives],
        )
        self._space = distributions(facts.plan)
        self._ot_study = study
        self.facts = facts
        self.storage_uri = storage_uri
        self.limits, self._records, self._began = limits, list(records), time.monotonic()
        self.limit_reached: str | None = None
        self.storage_error: str | None = None  # once it is set nothing more is proposed

    def suggest(self, trial_id: str) -> Any:
        """The next proposal, written down, with the trial's number and our id for it; the end once a limit is reached.

        The limits look at `records`, those of earlier runs, and at what has ended since; `limit_reached` keeps which.
        """
        names = [objective.name for objective in self.objectives]
        self.limit_reached = self.limits.reached(self._records, time.monotonic() - self._began, names)
        if self.limit_reached or self.storage_error:
            return Searcher.FINISHED
        try:
            proposal = super().suggest(trial_id)
            assert proposal is not None, "Optuna always proposes"
            number = self._ot_trials[trial_id].number
            ours = self.facts.trial_id(number)
            store_proposal(open_storage(self.storage_uri), ours, proposal)
        except (OSError, StorageInternalError) as error:
            self.storage_error = one_line(error)
            return Searcher.FINISHED
        return {"number": number, "trial_id": ours, "proposal": proposal}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune would write the whole study again and again, and it is made from records."""
        Path(checkpoint_path).write_bytes(b"")

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study what the trial's record says; a trial without a record is told as failed."""
        if trial_id in self._completed_trials:
            return
        self.storage_error = self.storage_error or (result or {}).get(STORAGE_ERROR)
        try:
            self._tell(trial_id)
        except (OSError, StorageInternalError) as tell_error:  # the study is built anew from records by the next run
            self.storage_error = self.storage_error or one_line(tell_error)

    def _tell(self, trial_id: str) -> None:
        trial = self._ot_trials[trial_id]
        record = load_record(open_storage(self.storage_uri), self.facts.trial_id(trial.number))
        self._completed_trials.add(trial_id)
        if record is not None and self.limits != NO_LIMITS:
            self._records.append(record)
        if record is None or record.outcome is Outcome.FAILED:
            self._ot_study.tell(trial, state=TrialState.FAIL)
            return
        told = verdict(record, self.facts.plan)
        for name, value in told.constraints.items():
            trial.set_constraint(name, value)
        trial.set_user_attr("outcome", record.outcome.value)
        self._ot_study.tell(trial, list(told.values))


def build_study(facts: SweepFacts, storage: Storage, study_url: str | None) -> optuna.Study:
    """A study that holds the sweep's history: what has a record is told, what has none is queued under its number.

    `study_url` is an Optuna storage URL; None keeps the study in memory. An older study of that name is replaced, since
    the records are the truth.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    history = load_history(storage)
    if study_url and facts.name in optuna.get_all_study_names(study_url):
        optuna.delete_study(study_name=facts.name, storage=study_url)
    objectives = objectives_of(facts.plan)
    study = optuna.create_study(
        storage=study_url,
        study_name=facts.name,
        directions=[objective.direction for objective in objectives],
        sampler=DistinctSampler(
            space_of(facts.plan),
            seed=facts.plan.seed + len(history),
            startup_trials=STARTING_POINTS,
            kind=facts.plan.sampler,
        ),
    )
    with warnings.catch_warnings():
        # The names that optuna-dashboard shows; experimental since Optuna 3.2, and nothing else depends on them.
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([objective.name for objective in objectives])
    start = starting_points(facts.plan)
    for number in range(max(len(start), *(n + 1 for n in history), 0)):
        proposal, record = history.get(number, (start[number] if number < len(start) else {}, None))
        if record is None:
            study.enqueue_trial(proposal)
        else:
            study.add_trial(_told_trial(facts, proposal, record))
    return study


def _told_trial(facts: SweepFacts, proposal: dict[str, Any], record: TrialRecord) -> optuna.trial.FrozenTrial:
    space = distributions(facts.plan)
    if record.outcome is Outcome.FAILED:
        return create_trial(state=TrialState.FAIL, params=proposal, distributions=space)
    told = verdict(record, facts.plan)
    return create_trial(
        values=list(told.values),
        params=proposal,
        distributions=space,
        constraints=told.constraints,
        user_attrs={"outcome": record.outcome.value},
    )
