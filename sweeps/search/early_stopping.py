"""Ends trials that fall behind, by Ray Tune's ASHA on tokens seen, among trials of one size and one token budget.

Tune's own way of stopping kills the trial's driver, and the workers with it. Here the scheduler's decision is written
into the sweep's storage; the worker ends its training loop, the trial writes its record, and the processes stay up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sweeps.planning.space import to_settings
from trainables.records.layout import LAYOUT
from trainables.records.plan import SweepPlan
from trainables.records.record import CurvePoint
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import SweepFacts, load_progress, load_record

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial

    from trainables.records.settings import TrialSettings

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
        our_id = trial.config["trial_id"]
        if (
            TOKENS in result
            and our_id not in self.stopped
            and self.falls_behind(our_id, to_settings(self._facts.plan, trial.config["proposal"]), result)
        ):
            self.stopped.add(our_id)
            open_storage(self._storage_uri).write_text(LAYOUT.trial(our_id).stop, "asha")
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


# Between looks at how far a trial has come: a worker tells a folder of it each second, an object store each 5 s.
LOOK_SECONDS, REMOTE_LOOK_SECONDS = 0.5, 5.0
RECENT = 2 / 3  # the loss told is the mean over the last third of the tokens seen: single steps are noisy


class ProgressReports:
    """Reports a trial's tokens and recent loss to Tune when its worker has written down more, looking now and then."""

    def __init__(self, storage: Storage, trial_id: str) -> None:
        self._storage, self._trial_id, self._step = storage, trial_id, -1
        self._pause_seconds = LOOK_SECONDS if storage.is_local else REMOTE_LOOK_SECONDS
        self._looked_at = -math.inf

    def __call__(self) -> None:
        """Look where that is due, and report what is new; Tune's session is that of the thread that calls."""
        from ray import tune

        if time.monotonic() - self._looked_at < self._pause_seconds:
            return
        self._looked_at = time.monotonic()
        progress = load_progress(self._storage, self._trial_id)
        if progress is None:
            return
        curve = [CurvePoint(**point) for point in progress["curve"]]
        if progress["step"] > self._step and curve:
            self._step = progress["step"]
            tune.report({TOKENS: curve[-1].tokens, LOSS: recent_loss(curve)})


def recent_loss(curve: list[CurvePoint]) -> float:
    """Mean loss of the points of the last third of the tokens seen."""
    losses = [point.loss for point in curve if point.tokens > RECENT * curve[-1].tokens]
    return sum(losses) / len(losses)


def refill_rungs(
    scheduler: StopWhatFallsBehind, storage: Storage, plan: SweepPlan, proposals: Iterable[tuple[str, dict[str, Any]]]
) -> None:
    """Tell `scheduler` again what the trials, given by id and proposal in the order of their numbers, reported.

    A trial that is under way goes on under its id, and is compared once at each rung.
    """
    for trial_id, proposal in proposals:
        settings, curve = to_settings(plan, proposal), _curve(storage, trial_id)
        for rung in rungs(settings.token_budget):
            seen = next((end for end, point in enumerate(curve, 1) if point.tokens >= rung), None)
            if seen is not None:
                reported = {TOKENS: curve[seen - 1].tokens, LOSS: recent_loss(curve[:seen])}
                scheduler.falls_behind(trial_id, settings, reported)


def _curve(storage: Storage, trial_id: str) -> list[CurvePoint]:
    """The curve in a trial's record, else in what it last told of its progress; empty where there is neither."""
    record = load_record(storage, trial_id)
    if record is not None:
        return list(record.report.curve) if record.report else []
    progress = load_progress(storage, trial_id)
    return [CurvePoint(**point) for point in progress["curve"]] if progress else []
