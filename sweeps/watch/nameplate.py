"""A running trial's name in the Ray dashboard: size, batch and learning rate among the actors and tasks.

Drivers and workers stay up from trial to trial, and Ray lets an actor say its name once, so a small actor carries it.
That is one more process, 0.5 s of a core's time: a trial that is soon over has its name among the tasks alone.
"""

from __future__ import annotations

import time
from typing import Any

from analysis.sweep_table.table import rate_text
from trainables.working.job import TrialJob

SHORT_SECONDS = 5.0  # assumed: nobody finds a trial in the dashboard within these


class Trial:
    """An actor that does nothing but stand in the Actors tab while a trial runs."""

    def __init__(self, title: str) -> None:
        self._title = title

    def __repr__(self) -> str:
        return self._title


def trial_title(job: TrialJob) -> str:
    """Such as "trial 0003 nano-1m batch 16 lr 3e-4"."""
    settings, number = job.settings, job.trial_id.partition("-")[0]
    return f"trial {number} {settings.model} batch {settings.batch_size} lr {rate_text(settings.learning_rate)}"


class Nameplate:
    """While it is entered, the job's trial has its name among the actors, once it has run for a while."""

    def __init__(self, job: TrialJob) -> None:
        self._job, self._due_at = job, time.monotonic() + SHORT_SECONDS
        self._actor: Any = None

    def __enter__(self) -> Nameplate:
        return self

    def show_when_due(self) -> None:
        """Put it up once the trial is no short one; nothing waits for it to stand."""
        import ray

        if self._actor is None and time.monotonic() > self._due_at:
            title = trial_title(self._job)
            options = {"name": f"{title} ({self._job.trial_id})", "get_if_exists": True, "num_cpus": 0}
            self._actor = ray.remote(Trial).options(**options).remote(title)

    def __exit__(self, *_: object) -> None:
        """Take it down."""
        import ray

        if self._actor is not None:
            ray.kill(self._actor)
