"""Made-up trials as a tracker mirrors them to wandb, offline, and where their runs lie."""

from __future__ import annotations

from pathlib import Path

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.watch.tracking import WandbTracker
from sweeps.watch.wandb_session import WandbSession
from tests.support.record_factory import make_facts, make_record, make_samples, provenance
from tests.support.wandb_files import StoredRun, read_run
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import open_storage

HOSTILE = "<script>alert(1)</script>\x1b[31m\x07\x00 \u202e'\"&amp;"
FACTS = make_facts(
    make_plan(SweepOptions(), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY),
    provenance=provenance(git_sha="0123456", data_fingerprint="5c1e"),
)
FINISHED, HUB, UNFIT, FAILED, RANDOM = (FACTS.trial_id(number) for number in range(5))


def tracker_into(folder: Path) -> WandbTracker:
    return WandbTracker(open_storage(str(folder)), FACTS, WandbSession(FACTS.name, folder, "offline"))


def made_records() -> list[TrialRecord]:
    return [
        make_record(0, trial_id=FINISHED, quality=0.625, peak_mib=64, speed=1234.5, rate=3e-4, batch_size=16),
        make_record(1, trial_id=HUB, model="owner/model", samples=make_samples(HOSTILE, prompt=HOSTILE)),
        make_record(2, trial_id=UNFIT, outcome=Outcome.PREDICTED_NOT_TO_FIT, predicted_mib=150, capacity_mib=100),
        make_record(3, trial_id=FAILED, outcome=Outcome.FAILED, error="worker died"),
        make_record(4, trial_id=RANDOM, quality=None, samples=()),
    ]


def folders_of(folder: Path, trial_id: str) -> list[Path]:
    return sorted((folder / "wandb").glob(f"offline-run-*-{trial_id}"))


def stored(folder: Path, trial_id: str) -> StoredRun:
    (run_folder,) = folders_of(folder, trial_id)
    return read_run(run_folder)
