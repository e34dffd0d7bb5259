"""Ends trials that fall behind, by Ray Tune's ASHA on tokens seen, among trials of one size and one token budget.

Tune's own way of stopping kills the trial's driver, and the workers with it. Here the scheduler's decision is written
into the sweep's storage; the worker ends its training loop, the trial writes its record, and the processes stay up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sweeps.planning.layout import SweepFacts
from sweeps.planning.space import to_settings
from trainables.job import stop_path
from trainables.storage import open_storage

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial

    from trainables.settings import TrialSettings

TOKENS, LOSS = "tokens", "recent_loss"  # what a running trial reports
REDUCTION = 3  # of three trials that reach a rung, one goes on
RUNGS = 3  # at 1/27, 1/9 and 1/3 of the token budget


class Named(NamedTuple):
    """All that ASHA looks at of a trial. The id is ours: Tune gives a trial another one when a sweep is resumed."""

    trial_id: str


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
        ours = trial.config["trial_id"]
        if (
            TOKENS in result
            and ours not in self.stopped
            and self.falls_behind(ours, to_settings(self._facts.plan, trial.config["proposal"]), result)
        ):
            self.stopped.add(ours)
            open_storage(self._storage_uri).write_text(stop_path(ours), "asha")
        return TrialScheduler.CONTINUE

    def falls_behind(self, trial_id: str, settings: TrialSettings, result: dict[str, Any]) -> bool:
        """Enter what a trial reports in its rung; whether it is behind those that came there before."""
        if result[TOKENS] >= settings.token_budget:
            return False
        controller, trial = cast("TuneController", None), cast("Trial", Named(trial_id))  # ASHA asks for no more
        bracket = self._bracket(settings)
        if trial_id not in self._bracket_of:
            self._bracket_of[trial_id] = bracket
            bracket.on_trial_add(controller, trial)
        return bracket.on_trial_result(controller, trial, result) == TrialScheduler.STOP

    def _bracket(self, settings: TrialSettings) -> ASHAScheduler:
        kind = (settings.model, settings.token_budget)
        if kind not in self._brackets:
            self._brackets[kind] = ASHAScheduler(
                time_attr=TOKENS,
                metric=LOSS,
                mode="min",
                max_t=settings.token_budget,
                grace_period=rungs(settings.token_budget)[0],
                reduction_factor=REDUCTION,
            )
        return self._brackets[kind]


def rungs(token_budget: int) -> list[int]:
    """Tokens at which trials are compared, rising."""
    first = max(1, token_budget // REDUCTION**RUNGS)
    return [first * REDUCTION**rung for rung in range(RUNGS)]
