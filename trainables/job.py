"""What a worker is told, and where a running trial leaves its files. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainables.settings import TrialSettings


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """One trial for a worker: the settings, where the sweep stores, the trial's name there, and its CPU threads.

    `stops_early` says that it may be told to end before its budget is spent.
    """

    settings: TrialSettings
    sweep_uri: str
    trial_id: str
    cpu_threads: int
    stops_early: bool = False

    @staticmethod
    def from_config(config: dict[str, Any]) -> TrialJob:
        """The job that `dataclasses.asdict` made a plain dict of, as Ray Train carries it."""
        fields: dict[str, Any] = config | {"settings": TrialSettings(**config["settings"])}
        return TrialJob(**fields)


def report_path(trial_id: str) -> str:
    """Where a trial's `WorkerReport` lies in the sweep's storage."""
    return f"trials/{trial_id}/report.json"


def progress_path(trial_id: str) -> str:
    """Where a running trial tells how far it has come."""
    return f"trials/{trial_id}/progress.json"


def stop_path(trial_id: str) -> str:
    """What is written to end a running trial early."""
    return f"trials/{trial_id}/stop"


def attempts_path(trial_id: str) -> str:
    """Where a trial's driver writes down each attempt at it."""
    return f"trials/{trial_id}/attempts.json"
