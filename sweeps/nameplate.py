"""A running trial's name in the Ray dashboard: size, batch and learning rate among the actors and tasks.

Drivers and workers stay up from trial to trial, and Ray lets an actor say its name once, so a small actor carries it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from analysis.table import rate_text
from trainables.job import TrialJob


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


@contextmanager
def standing(job: TrialJob) -> Iterator[None]:
    """While in it, the job's trial has its name among the actors; nothing waits for it to stand."""
    import ray

    title = trial_title(job)
    options = {"name": f"{title} ({job.trial_id})", "get_if_exists": True, "num_cpus": 0}
    actor: Any = ray.remote(Trial).options(**options).remote(title)
    try:
        yield
    finally:
        ray.kill(actor)
