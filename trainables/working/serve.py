"""What Ray Train runs on each worker: trial after trial, in one process for as long as it stays clean.

Light to import: the trial's driver and Ray Train's controller load this module too, and need neither torch nor models.
"""

from __future__ import annotations

import gc
from typing import Any

from trainables.working.job import TrialJob


def serve_trials(config: dict[str, Any]) -> None:
    """Run this worker's share of each trial that comes through `config["mailbox"]`, a handle of a `Mailbox` actor."""
    import ray

    from trainables.working.worker import run_worker

    gc.collect()
    gc.freeze()  # modules are no litter: the check for what a trial left need not look through them, 0.4 s each time
    mailbox, number = config["mailbox"], -1
    while (taken := ray.get(mailbox.take.remote(number))) is not None:
        number, job = taken
        is_fit, left_over_bytes = run_worker(TrialJob.from_config(job))
        ray.get(mailbox.give_back.remote(is_fit, left_over_bytes))
