"""Follows a sweep through its storage: what started, how far it is, what ended; live table and wandb both listen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from trainables.records.layout import LAYOUT
from trainables.records.record import CurvePoint, TrialRecord
from trainables.records.settings import TrialSettings
from trainables.records.storage import Storage
from trainables.records.sweep_folder import SweepFacts, load_progress, load_proposal, load_record

LOCAL_POLL_SECONDS = 0.5
REMOTE_POLL_SECONDS = 5.0


class Listener:
    """Something that wants to know how trials go; it passes over what it does not define."""

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        """A trial was proposed."""

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        """A trial has come further; `curve` is all of it so far."""

    def doing(self, trial_id: str, part: str, done: int, of: int) -> None:
        """A trial's worker is at a part of its work, such as "sampling"; `done` of `of` pieces, 0 of 0 where none."""

    def ended(self, record: TrialRecord) -> None:
        """A trial has its record."""


class Follower:
    """Polls a sweep's storage in a thread and tells listeners; every event comes once, in order, for each trial."""

    def __init__(self, storage: Storage, facts: SweepFacts, listeners: Sequence[Listener]) -> None:
        self._storage = storage
        self._facts = facts
        self._listeners = listeners
        self._started: set[str] = set()
        self._ended: set[str] = set()
        self._steps: dict[str, int] = {}
        self._parts: dict[str, tuple[str, int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep-follower", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop following, after one last look."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        seconds = LOCAL_POLL_SECONDS if self._storage.is_local else REMOTE_POLL_SECONDS
        while not self._stop.wait(seconds):
            # A storage that does not answer for a moment is asked again at the next look.
            with contextlib.suppress(OSError):
                self._look()
        with contextlib.suppress(OSError):
            self._look()

    def _look(self) -> None:
        for trial_id in self._storage.list_folders(LAYOUT.trials):
            if trial_id in self._ended:
                continue
            if trial_id not in self._started:
                proposal = load_proposal(self._storage, trial_id)
                if proposal is None:
                    continue
                self._started.add(trial_id)
                settings = self._facts.plan.settings(**proposal)
                for listener in self._listeners:
                    listener.started(trial_id, settings)
            self._look_at(trial_id)

    def _look_at(self, trial_id: str) -> None:
        progress = load_progress(self._storage, trial_id)
        if progress is not None and (part := progress.get("part")):
            at_work = (part, progress.get("done", 0), progress.get("of", 0))
            if at_work != self._parts.get(trial_id):
                self._parts[trial_id] = at_work
                for listener in self._listeners:
                    listener.doing(trial_id, *at_work)
        if progress is not None and progress["curve"] and progress["step"] != self._steps.get(trial_id):
            self._steps[trial_id] = progress["step"]
            curve = [CurvePoint(**point) for point in progress["curve"]]
            for listener in self._listeners:
                listener.progressed(trial_id, curve, progress["total_steps"])
        record = load_record(self._storage, trial_id)
        if record is not None:
            self._ended.add(trial_id)
            for listener in self._listeners:
                listener.ended(record)
