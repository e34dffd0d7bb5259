"""A sweep whose records lie on an object store outlives the loss of its head, and a time without the store."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from analysis.sweep_table.load import load_sweep
from sweeps.search.study import build_study
from tests.support.object_store import ObjectStore
from tests.support.owed_fields import missing_fields
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import load_facts, load_history
from trainables.training.checkpoint_store import CheckpointStore

PLACE = "s3://bucket/sweeps/far"
SMALL = ("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--token-budget", "40000")
OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "15"))  # more than pyarrow's own patience of 7


def test_sweep_on_an_object_store_goes_on_after_head_and_store_were_lost(
    sweep_environment: dict[str, str], sweep_command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        command = [*sweep_command, "--storage", "s3://bucket/sweeps", "--name", "far", "--max-concurrent", "1"]
        command += ["--wandb", "disabled"]
        environment, storage = sweep_environment | store.environment, open_storage(PLACE)
        sweep = subprocess.Popen(
            [*command, "--weights", "random", "--trials", "3", *SMALL],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: any(record for _, record in load_history(storage).values()), "the first record")
        second = load_facts(storage).trial_id(1)
        wait_until(lambda: CheckpointStore(storage, second).newest_whole(), "a checkpoint of the second trial")
        lose_head(sweep, sweep_environment["RAY_TMPDIR"])
        before = {number: proposal for number, (proposal, _) in load_history(storage).items()}
        first = storage.read_text(f"trials/{load_facts(storage).trial_id(0)}/record.json")

        again = subprocess.Popen(
            [*command, "--resume"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: storage.exists(f"trials/{second}/record.json"), "the second record")
        store.refuse_for(OUTAGE_SECONDS)
        _, complaint = again.communicate(timeout=PATIENCE_SECONDS)
        assert again.returncode == 0, complaint
        assert store.refused > 31
        assert "Traceback" not in complaint

        sweep_now = load_sweep(PLACE)
        assert [record.number for record in sweep_now.records] == [0, 1, 2]
        assert [missing_fields(record) for record in sweep_now.records] == [[], [], []]
        assert not sweep_now.unreadable
        assert storage.read_text(f"trials/{sweep_now.records[0].trial_id}/record.json") == first
        assert sweep_now.records[1].report is not None
        assert sweep_now.records[1].report.resumed_from_step
        assert storage.exists("report.html")
        for record in sweep_now.records:  # random weights measure memory and speed, and say why quality is missing
            assert record.report is not None
            assert record.report.quality is None
            assert "random weights" in (record.report.quality_absent_reason or "")
        # What the sampler knows is what was proposed and recorded, those of before the loss first.
        after = {number: proposal for number, (proposal, _) in load_history(storage).items()}
        assert {number: after[number] for number in before} == before
        study = build_study(load_facts(storage), storage, None)
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
        assert [trial.params for trial in study.trials] == [after[number] for number in range(3)]


def lose_head(sweep: subprocess.Popen[bytes], ray_folder: str) -> None:
    """Kill every process of the sweep's cluster, head and driver, as the end of their machine does."""
    family = psutil.Process(sweep.pid).children(recursive=True)
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("RAY_TMPDIR") == ray_folder:
            family.append(process)
    sweep.kill()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    sweep.wait()
