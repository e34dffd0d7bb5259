"""Ends trials that fall behind, by Ray Tune's ASHA on tokens seen, among trials of one size and one token budget.

Tune's own way of stopping kills the trial's driver, and the workers with it. Here the scheduler's decision is written
into the sweep's storage; the worker ends its training loop, the trial writes its record, and the processes stay up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sweeps.layout import SweepFacts
from sweeps.space import to_settings
from trainables.job import stop_path
from trainables.storage import open_storage

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial

    from trainables.settings import TrialSettings

TOKENS, LOSS = "tokens", "recent_loss"  # what a running trial reports
REDUCTION = 3  # of three trials that reach a rung, one goes on
RUNGS = 3  # at 1/27, 1/9 and 1/3 of the token budget


class StopWhatFallsBehind(FIFOScheduler):
    """One ASHA for each model size and token budget; `stopped` holds the ids of trials that were told to end."""

    def __init__(self, facts: SweepFacts, storage_uri: str) -> None:
        super().__init__()
        self._facts, self._storage_uri = facts, storage_uri
        self._brackets: dict[tuple[str, int], ASHAScheduler] = {}
        self._bracket_of: dict[str, ASHAScheduler] = {}
        self.stopped: set[str] = set()

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        """Always goes on: a trial that is to stop is told so in the sweep's storage, and ends by itself."""
        if TOKENS not in result or trial.config["trial_id"] in self.stopped:
            return TrialScheduler.CONTINUE
        settings = to_settings(self._facts.plan, trial.config["proposal"])
        bracket = self._bracket(settings, tune_controller, trial)
        if result[TOKENS] < settings.token_budget and (
            bracket.on_trial_result(tune_controller, trial, result) == TrialScheduler.STOP
        ):
            self.stopped.add(trial.config["trial_id"])
            open_storage(self._storage_uri).write_text(stop_path(trial.config["trial_id"]), "asha")
        return TrialScheduler.CONTINUE

    def _bracket(self, settings: TrialSettings, tune_controller: TuneController, trial: Trial) -> ASHAScheduler:
        kind = (settings.model, settings.token_budget)
        if kind not in self._brackets:
            self._brackets[kind] = ASHAScheduler(
                time_attr=TOKENS,
                metric=LOSS,
                mode="min",
                max_t=settings.token_budget,
                grace_period=max(1, settings.token_budget // REDUCTION**RUNGS),
                reduction_factor=REDUCTION,
            )
        bracket = self._brackets[kind]
        if trial.trial_id not in self._bracket_of:
            self._bracket_of[trial.trial_id] = bracket
            bracket.on_trial_add(tune_controller, trial)
        return bracket
