"""What trials of earlier runs reported at the rungs of early stopping, so that a resumed sweep compares with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sweeps.planning.layout import record_path
from sweeps.planning.plan import SweepPlan
from sweeps.planning.space import to_settings
from sweeps.search.early_stopping import LOSS, TOKENS, StopWhatFallsBehind, rungs
from sweeps.search.progress_reports import recent_loss
from trainables.job import progress_path
from trainables.records import CurvePoint
from trainables.storage import Storage


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
    for path in (record_path(trial_id), progress_path(trial_id)):
        try:
            document = json.loads(storage.read_text(path))
        except FileNotFoundError:
            continue
        told = document["report"] or {} if "report" in document else document
        return [CurvePoint(**point) for point in told.get("curve", ())]
    return []
