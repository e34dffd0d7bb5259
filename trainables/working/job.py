"""What a worker is given to do: one trial. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainables.records.settings import TrialSettings


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """One trial for a worker: the settings, where the sweep stores, the trial's name there, and its CPU threads.

    `stops_early` says that it may be asked to end before its budget is spent; `language_model` which one reads its
    samples too, None for none.
    """

    settings: TrialSettings
    sweep_uri: str
    trial_id: str
    cpu_threads: int
    stops_early: bool = False
    language_model: str | None = None

    @staticmethod
    def from_config(config: dict[str, Any]) -> TrialJob:
        """The job that `dataclasses.asdict` made a plain dict of, as Ray Train carries it."""
        fields: dict[str, Any] = config | {"settings": TrialSettings(**config["settings"])}
        return TrialJob(**fields)
