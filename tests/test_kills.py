"""A short run of tests/benchmarks/kills.py: what a sweep is made of is killed, and no record is lost or doubled."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from analysis.load import load_sweep
from tests.conftest import ROOT, SWEEP_SECONDS


def test_sweeps_under_fire_leave_every_record_once(sweep_environment: dict[str, str], tmp_path: Path) -> None:
    script = ROOT / "tests" / "benchmarks" / "kills.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "3", "--trials", "4", "--seed", "3"],
        env=sweep_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * SWEEP_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert sum(told["kills"].values()) == 3
    assert told["records"] == 4 * told["sweeps"]


def test_ctrl_c_ends_in_good_order_and_says_how_to_go_on(
    sweep_environment: dict[str, str], sweep_command: list[str], tmp_path: Path
) -> None:
    flags = ("--name", "stopped", "--smoke", "--learning-rates", "1e-3", "2e-3", "--trials", "2")
    sweep = subprocess.Popen(
        [*sweep_command, "--storage", str(tmp_path), "--weights", "random", "--max-concurrent", "1", *flags],
        env=sweep_environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + SWEEP_SECONDS
    while not list((tmp_path / "stopped" / "trials").glob("*/proposal.json")):
        assert time.monotonic() < until
        time.sleep(0.1)
    sweep.send_signal(signal.SIGINT)
    _, complaint = sweep.communicate(timeout=SWEEP_SECONDS)
    assert sweep.returncode == 130
    assert "go on with: python sweeps/batch_memory.py --resume --name stopped" in complaint
    assert "Traceback" not in complaint
    assert len(load_sweep(str(tmp_path / "stopped")).records) < 2
