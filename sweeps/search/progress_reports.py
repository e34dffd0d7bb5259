"""What a running trial tells Ray Tune of its training, for early stopping to go by."""

from __future__ import annotations

import json

from sweeps.search.early_stopping import LOSS, TOKENS
from trainables.job import progress_path
from trainables.records import CurvePoint
from trainables.storage import Storage

RECENT = 2 / 3  # the loss told is the mean over the last third of the tokens seen: single steps are noisy


class ProgressReports:
    """Reports a trial's tokens and recent loss to Tune each time that its worker has written down more."""

    def __init__(self, storage: Storage, trial_id: str) -> None:
        self._storage, self._path, self._step = storage, progress_path(trial_id), -1

    def __call__(self) -> None:
        """Look, and report what is new; Tune's session is that of the thread that calls."""
        from ray import tune

        try:
            progress = json.loads(self._storage.read_text(self._path))
        except FileNotFoundError:
            return
        curve = [CurvePoint(**point) for point in progress["curve"]]
        if progress["step"] > self._step and curve:
            self._step = progress["step"]
            tune.report({TOKENS: curve[-1].tokens, LOSS: recent_loss(curve)})


def recent_loss(curve: list[CurvePoint]) -> float:
    """Mean loss of the points of the last third of the tokens seen."""
    losses = [point.loss for point in curve if point.tokens > RECENT * curve[-1].tokens]
    return sum(losses) / len(losses)
