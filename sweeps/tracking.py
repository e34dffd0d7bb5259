"""Mirrors trials to Weights & Biases: one run a trial, in the sweep's group. The records stay the truth.

Nothing here can end a sweep: without an API key runs are written offline, and when the service goes away they are too.
"""

from __future__ import annotations

import http.client
import netrc
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from analysis.table import rate_text
from sweeps.layout import SweepFacts
from trainables.records import CurvePoint, TrialRecord
from trainables.settings import TrialSettings
from trainables.storage import Storage

Mode = Literal["online", "offline", "disabled"]

PROJECT = "galactica-sweeps"
KEY_HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")  # where `wandb login` keeps a key, in 0.31 and before it
INIT_TIMEOUT_SECONDS = 30
PROBE_TIMEOUT_SECONDS = 5
FINISH_TIMEOUT_SECONDS = 60  # for uploads at the end of a run; what is left then lies in its local file


def choose_mode(asked: Mode | None) -> Mode:
    """The mode that was asked for; else online with an API key at hand, offline without one. Never asks a person."""
    if asked is not None:
        return asked
    if mode := os.environ.get("WANDB_MODE"):
        return "offline" if mode not in ("online", "disabled") else mode
    return "online" if _has_api_key() else "offline"


class WandbTracker:
    """Listens to a sweep and writes a wandb run for each trial. `folder` is where wandb keeps its local files."""

    def __init__(self, storage: Storage, facts: SweepFacts, folder: Path, mode: Literal["online", "offline"]) -> None:
        self._storage = storage
        self._facts = facts
        self._folder = folder
        self._mode: Literal["online", "offline"] = mode
        self._runs: dict[str, Any] = {}
        self._logged_steps: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def started(self, trial_id: str, settings: TrialSettings) -> None:
        """Open the trial's run, unless an earlier session has mirrored it to its end."""
        if not self._storage.exists(_mark(trial_id)):
            self._runs[trial_id] = self._open(trial_id, settings)

    def progressed(self, trial_id: str, curve: Sequence[CurvePoint], total_steps: int) -> None:
        """Log the points of the loss curve that are new."""
        run = self._runs.get(trial_id)
        for point in curve:
            if run is not None and point.step > self._logged_steps.get(trial_id, 0):
                run.log(
                    {
                        "train/loss": point.loss,
                        "train/learning_rate": point.learning_rate,
                        "train/tokens": point.tokens,
                    },
                    step=point.step,
                )
                self._logged_steps[trial_id] = point.step

    def ended(self, record: TrialRecord) -> None:
        """Write summary, quality and samples, and close the run."""
        run = self._runs.pop(record.trial_id, None)
        if run is None:
            return
        report = record.report
        if report is not None:
            self._runs[record.trial_id] = run
            self.progressed(record.trial_id, report.curve, report.steps)
            del self._runs[record.trial_id]
        run.summary.update(_summary(record))
        run.tags = (*(run.tags or ()), record.outcome.value)
        if report is not None and report.samples:
            run.log({"samples": _samples_table(record)})
        run.finish(exit_code=0 if record.outcome.value != "failed" else 1)
        self._storage.write_text(_mark(record.trial_id), self._mode)

    def _open(self, trial_id: str, settings: TrialSettings) -> Any:
        """The trial's run; None where wandb can give none, and a later --resume may mirror the trial."""
        import wandb

        wandb.setup(settings=wandb.Settings(silent=True))
        if self._mode == "online" and (reason := _why_unreachable(wandb.setup().settings.base_url)):
            self._go_offline(reason)
        try:
            return self._init(trial_id, settings)
        except (wandb.Error, TimeoutError, OSError) as error:
            self._go_offline(str(error))
        if any(self._runs.values()):
            print(f"wandb: trial {trial_id} is not mirrored.", file=sys.stderr)
            return None
        # wandb's service process keeps the id of a run that failed to start; only a new process can take it again.
        wandb.teardown()
        return self._init(trial_id, settings)

    def _go_offline(self, reason: str) -> None:
        self._mode = "offline"
        print(f"wandb: {' '.join(reason.split())}; going on offline.", file=sys.stderr)

    def _init(self, trial_id: str, settings: TrialSettings) -> Any:
        import wandb

        rate = rate_text(settings.learning_rate)
        config = asdict(settings)
        return wandb.init(
            id=trial_id,
            name=f"{settings.model.replace('/', '-')}-bs{settings.batch_size}-lr{rate}-{trial_id}",
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=self._facts.name,
            job_type="trial",
            tags=[settings.model[:64], self._facts.question, f"bs{settings.batch_size}"],
            config={"model": config.pop("model"), "train": config, "provenance": self._facts.provenance},
            dir=self._folder,
            mode=self._mode,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=INIT_TIMEOUT_SECONDS,
                finish_timeout=FINISH_TIMEOUT_SECONDS,
                x_disable_stats=True,
            ),
        )


def _summary(record: TrialRecord) -> dict[str, Any]:
    """Figures for the run's summary, nested by what they speak of; predicted and measured under different names."""
    summary: dict[str, Any] = {"outcome": record.outcome.value, "seconds": record.seconds}
    if record.prediction is not None:
        summary["memory_predicted"] = asdict(record.prediction)
    report = record.report
    if report is None:
        return summary
    summary |= {"tokens_per_second": report.tokens_per_second, "train/final_loss": report.final_loss}
    for name in ("memory", "quality", "evaluation"):
        if (part := getattr(report, name)) is not None:
            summary[name] = asdict(part)
    if report.error:
        summary["error"] = report.error
    return summary


def _samples_table(record: TrialRecord) -> Any:
    import wandb

    assert record.report is not None
    columns: list[Any] = ["prompt", "kind", "seed", "base", "tuned"]
    rows: list[Any] = [[s.prompt, s.kind, s.seed, s.base_text, s.text] for s in record.report.samples]
    return wandb.Table(columns=columns, data=rows)


def _mark(trial_id: str) -> str:
    return f"trials/{trial_id}/mirrored-to-wandb"


def _has_api_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    own = os.environ.get("WANDB_BASE_URL")
    try:
        keys = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    entries = (keys.authenticators(host) for host in ([urllib.parse.urlsplit(own).netloc] if own else KEY_HOSTS))
    return any(entry is not None and entry[2] for entry in entries)


def _why_unreachable(url: str) -> str | None:
    """Why nothing answers at `url`; None when something does, be it with an error of its own."""
    try:
        urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"
    return None
