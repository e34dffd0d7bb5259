"""What Ray Train runs on each worker of a trial.

Light to import: the trial's driver and Ray Train's controller load this module too, and need neither torch nor models.
"""

from __future__ import annotations

from typing import Any

from trainables.job import TrialJob


def train_worker(config: dict[str, Any]) -> None:
    """Run one trial's share on this worker. `config` is a `TrialJob` as a dict."""
    from trainables.worker import run_worker

    run_worker(TrialJob.from_config(config))
