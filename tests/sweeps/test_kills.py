"""A short run of tests/benchmarks/kills.py: what a sweep is made of is killed, and no record is lost or doubled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from analysis.sweep_table.load import load_sweep
from tests.support.told import DOING, complaint
from tests.support.waiting import PATIENCE_SECONDS, wait_until


def test_sweeps_under_fire_leave_every_record_once(sweep_environment: dict[str, str], tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.benchmarks.kills"]
    done = subprocess.run(
        [*program, "--kills", "3", "--trials", "4", "--token-budget", "60000", "--seed", "3"],
        env=sweep_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert sum(told["kills"].values()) == 3
    assert told["records"] == 4 * told["sweeps"]


def test_ctrl_c_ends_in_good_order_and_says_how_to_go_on_and_a_second_one_ends_at_once(
    sweep_environment: dict[str, str], sweep_command: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"

    def press_ctrl_c(times: int, *flags: str) -> list[str]:
        """Start the sweep and stop it in its first trial, as a terminal does. Returns: its lines on stderr."""
        begun = attempts()
        sweep = subprocess.Popen(
            [*sweep_command, "--storage", str(tmp_path), "--name", "stopped", "--max-concurrent", "1", *flags],
            env=sweep_environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert sweep.stderr is not None
        wait_until(lambda: attempts() != begun, "the first trial")
        family, told = psutil.Process(sweep.pid).children(recursive=True), []
        for _ in range(times):
            os.killpg(sweep.pid, signal.SIGINT)
            while DOING.match(line := sweep.stderr.readline()):
                pass
            told.append(line)
        told += complaint(sweep.communicate(timeout=PATIENCE_SECONDS)[1]).splitlines()
        assert sweep.returncode == 130
        assert "Traceback" not in "".join(told)
        assert psutil.wait_procs(family, timeout=PATIENCE_SECONDS)[1] == []
        return told

    def attempts() -> list[int]:
        return [len(json.loads(path.read_text())) for path in folder.glob("trials/*/attempts.json")]

    flags = ("--smoke", "--learning-rates", "1e-3", "2e-3", "--trials", "2", "--weights", "random")
    first, *_, last = press_ctrl_c(1, *flags)
    assert first.startswith("Ctrl-C: ending ")
    assert "sweeps/batch_memory.py --resume --name stopped" in last
    assert len(load_sweep(str(folder)).records) < 2

    assert press_ctrl_c(2, "--resume")[0] == first
    sweep = load_sweep(str(folder))
    assert len(sweep.records) < 2
    assert all("not written" in line for line in sweep.unreadable)
