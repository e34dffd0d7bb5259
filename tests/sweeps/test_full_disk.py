"""A sweep on a disk that fills up ends with one line; what was recorded is whole, and it goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from analysis.sweep_table.load import load_sweep
from tests.support.owed_fields import missing_fields
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.sweeps.test_outages import fill, small_disk
from trainables.records.record import Outcome

__all__ = ["small_disk"]
LEFT_BYTES = 2**20  # less than a checkpoint of nano-0.3m: weights and two moments of 0.3M parameters are 3.7 MB


def test_sweep_on_a_disk_that_fills_up_stops_with_one_line_and_goes_on_when_there_is_room(
    sweep_environment: dict[str, str], sweep_command: list[str], small_disk: Path, tmp_path: Path
) -> None:
    command = [*sweep_command, "--storage", str(small_disk), "--name", "full", "--wandb", "disabled"]
    size = ("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--token-budget", "12000")
    rates = ("--trials", "3", "--learning-rates", "1e-3", "2e-3", "1e30")
    sweep = subprocess.Popen(
        [*command, "--max-concurrent", "1", "--weights", "random", *size, *rates],
        env=sweep_environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    trials = small_disk / "full" / "trials"
    wait_until(
        lambda: list(trials.glob("0001-*/attempts.json")) or sweep.poll() is not None,
        "the second trial",
        look_seconds=0.05,
    )
    assert sweep.poll() is None
    ballast = fill(small_disk, LEFT_BYTES)
    _, complaint = sweep.communicate(timeout=PATIENCE_SECONDS)
    assert sweep.returncode == 1
    (line,) = [line for line in complaint.splitlines() if line.startswith("error:")]
    assert "No space left on device" in line
    assert line.endswith(f"--resume --name full --storage {os.path.relpath(small_disk, tmp_path)}")
    assert "Traceback" not in complaint
    early = load_sweep(str(small_disk / "full"))
    assert all("not written" in line for line in early.unreadable)
    assert 1 <= len(early.records) < 3

    ballast.unlink()
    again = subprocess.Popen([*command, "--resume"], env=sweep_environment, cwd=tmp_path)
    assert again.wait(PATIENCE_SECONDS) == 0
    sweep_now = load_sweep(str(small_disk / "full"))
    assert [record.number for record in sweep_now.records] == [0, 1, 2]
    assert [missing_fields(record) for record in sweep_now.records] == [[], [], []]
    outcomes = {record.settings.learning_rate: record.outcome for record in sweep_now.records}
    assert outcomes == {1e-3: Outcome.FINISHED, 2e-3: Outcome.FINISHED, 1e30: Outcome.DIVERGED}
