"""The searcher of a size ladder: stage by stage up the rungs, by records alone, with a gate before each rung.

A trial's number says its rung and its place there, and where it stands follows from the records of the stages before:
a ladder that was killed goes on where it would have gone on, and nothing runs twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from analysis.ladder.climb import Climb
from analysis.ladder.placement import Point
from data.errors import UserError, error_line
from sweeps.search.limits import NO_LIMITS, STORAGE_ERROR, Limits
from sweeps.search.memory_guard import Expected, PointsThatFit
from trainables.records.plan import RUNG_NUMBERS, SweepPlan
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import SweepFacts, load_figures, load_proposal, store_proposal

Gate = Callable[[Climb, int], str | None]  # why the rung at that place may not begin; None where it may


class LadderSearch(Searcher):
    """Proposes the trials of the rungs, lowest first; `gate` is asked before the first trial of each but the lowest.

    `points` adds the micro-batch where it is automatic, and what is expected of a trial's memory.
    """

    def __init__(
        self,
        facts: SweepFacts,
        storage_uri: str,
        climb: Climb,
        gate: Gate,
        limits: Limits = NO_LIMITS,
        points: PointsThatFit | None = None,
    ) -> None:
        super().__init__(metric=facts.plan.objectives[0], mode="max")
        self.facts, self.storage_uri, self.climb = facts, storage_uri, climb
        self.limits, self._began = limits, time.monotonic()
        self.limit_reached: str | None = None
        self.storage_error: str | None = None
        self._points, self._gate = points, gate
        self._running: dict[str, int] = {}  # number by Tune's id
        self._opened = {record.number // RUNG_NUMBERS for record in climb.records}

    def suggest(self, trial_id: str) -> Any:
        """The next trial of the present stage; None while the others of the stage run; the end at gate or limit."""
        self.limit_reached = self.limit_reached or self.limits.reached(
            self.climb.records, time.monotonic() - self._began, self.facts.aims
        )
        if self.limit_reached or self.storage_error:
            return Searcher.FINISHED
        try:
            return self._next(trial_id)
        except OSError as error:
            self.storage_error = error_line(error)
        except UserError as error:  # a rung that taught nothing, a prediction that was changed
            self.limit_reached = str(error).rstrip(".")
        return Searcher.FINISHED

    def _next(self, trial_id: str) -> Any:
        for place in range(self.climb.top + 1):
            if self.climb.is_whole(place):
                continue
            if place > 0 and place not in self._opened:
                self.limit_reached = self._gate(self.climb, place)
                if self.limit_reached:
                    return Searcher.FINISHED
            self._opened.add(place)
            done, running = {record.number for record in self.climb.records}, set(self._running.values())
            for number, point in self.climb.stage(place).items():
                if number not in done | running:
                    return self._begin(trial_id, number, point, self.climb.plan.models[place])
            return None
        return Searcher.FINISHED

    def _begin(self, trial_id: str, number: int, point: Point, model: str) -> dict[str, Any]:
        own_id, storage = self.facts.trial_id(number), open_storage(self.storage_uri)
        proposal = load_proposal(storage, own_id)
        if proposal is None:
            proposal = to_proposal(self.facts.plan, model, point)
            proposal = self._points.proposal(proposal) if self._points else proposal
            store_proposal(storage, own_id, proposal)
        self._running[trial_id] = number
        expected = self._points.expected(proposal) if self._points else Expected()
        return {"number": number, "trial_id": own_id, "proposal": proposal, "expected": expected}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the climb follows from records."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Add the trial's record to the climb; without one nothing more is proposed."""
        number = self._running.pop(trial_id, None)
        if number is None:
            return
        self.storage_error = self.storage_error or (result or {}).get(STORAGE_ERROR)
        try:
            record = load_figures(open_storage(self.storage_uri), self.facts.trial_id(number))
        except OSError as lost:
            self.storage_error = self.storage_error or error_line(lost)
            return
        if record is None:
            self.limit_reached = self.limit_reached or f"trial {number} left no record"
            return
        if self._points:
            self._points.guard.learn(record)
        self.climb = replace(self.climb, records=(*self.climb.records, record))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: records are what is kept."""
        Path(checkpoint_path).write_bytes(b"")

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""


def to_proposal(plan: SweepPlan, model: str, point: Point) -> dict[str, Any]:
    """The proposal for a trial at that point: the rate to three digits, the batch such that micro-batches divide it."""
    batch = workable_batch(point.batch_size, plan.workers)
    proposal = {"model": model, "batch_size": batch, "learning_rate": float(f"{point.learning_rate:.3g}")}
    if plan.has_automatic_micro_batch:
        return proposal
    sizes = [size for size in plan.micro_batch_sizes if isinstance(size, int) and batch % (size * plan.workers) == 0]
    return proposal | {"micro_batch_size": max(sizes, default=1)}


def workable_batch(batch_size: float, workers: int) -> int:
    """The nearest batch of four to seven times a power of two a worker, or less than four: at most a sixth off."""
    share = max(1.0, batch_size / workers)
    unit = 1
    while share / unit >= 8:
        unit *= 2
    return workers * unit * max(1, round(share / unit))
