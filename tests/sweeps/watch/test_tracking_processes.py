"""wandb runs over several processes: a sweep that was killed, and a service that is away or refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.mirrored_records import (
    FINISHED,
    HUB,
    folders_of,
    made_records,
    stored,
    tracker_into,
)
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.wandb_files import read_run

pytestmark = [pytest.mark.usefixtures("own_wandb"), pytest.mark.slow]


def in_a_process(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `program` in a process of its own: wandb keeps its environment for as long as a process lives."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=clean | {"HOME": str(folder), "WANDB_API_KEY": "0" * 40} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


KILLED = """
import os, sys
from pathlib import Path
from tests.support.mirrored_records import made_records, tracker_into

record = made_records()[0]
tracker = tracker_into(Path(sys.argv[1]))
tracker.started(record.trial_id, record.settings)
tracker.progressed(record.trial_id, record.report.curve[:7], 12)
os.kill(os.getpid(), 9)
"""


def test_a_trial_that_was_under_way_when_the_sweep_was_killed_goes_on_in_the_same_run(tmp_path: Path) -> None:
    """Two sessions are two folders with one run's id; the later holds the whole curve."""
    assert in_a_process(tmp_path, KILLED).returncode == -signal.SIGKILL
    time.sleep(1.1)  # folders are named by the second
    record = made_records()[0]
    tracker = tracker_into(tmp_path)
    tracker.started(record.trial_id, record.settings)
    tracker.ended(record)
    earlier, later = folders_of(tmp_path, FINISHED)
    wait_until(lambda: read_run(later).exit_code == 0, "the run in its file")  # a busy machine writes it a moment later
    assert read_run(later).run.run_id == FINISHED
    assert earlier.name.endswith(f"-{FINISHED}")
    assert [row["_step"] for row in read_run(later).history if "train/loss" in row] == list(range(1, 13))
    assert read_run(later).exit_code == 0


TWO_TRIALS = """
import sys
from pathlib import Path
from sweeps.watch import wandb_session
from sweeps.watch.run_content import measured_anatomy_rows
from sweeps.watch.tracking import WandbTracker
from tests.support.mirrored_records import FACTS, made_records
from trainables.records.storage import open_storage

wandb_session.INIT_TIMEOUT_SECONDS = 1  # 30 outside this test
folder = Path(sys.argv[1])
session = wandb_session.WandbSession(FACTS.name, folder, "online")
tracker = WandbTracker(open_storage(str(folder)), FACTS, session)
for record in made_records()[:2]:
    tracker.started(record.trial_id, record.settings)
    tracker.ended(record)
"""


def check_went_offline(folder: Path, ended: subprocess.CompletedProcess[str], reason: str) -> None:
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("wandb:")]
    assert reason in line
    assert line.endswith("; continuing offline.")
    assert "Traceback" not in ended.stderr
    for trial_id in (FINISHED, HUB):
        assert stored(folder, trial_id).summary["outcome"] == "finished"
        assert (folder / "trials" / trial_id / "mirrored-to-wandb").read_text() == "offline"


def test_without_an_answer_from_the_service_runs_go_on_offline(tmp_path: Path) -> None:
    ended = in_a_process(tmp_path, TWO_TRIALS, WANDB_BASE_URL="http://127.0.0.1:9")
    check_went_offline(tmp_path, ended, "http://127.0.0.1:9 does not answer")
    assert ended.stderr.count("\n") == 1


REFUSING_SERVICE = """
import threading, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Refuse(BaseHTTPRequestHandler):  # stands in for the service, which cannot be had in a test
    def do_GET(self):
        self.send_error(404)
    do_POST = do_GET
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["WANDB_BASE_URL"] = f"http://127.0.0.1:{server.server_port}"
"""


def test_when_the_service_answers_and_refuses_runs_go_on_offline(tmp_path: Path) -> None:
    ended = in_a_process(tmp_path, REFUSING_SERVICE + TWO_TRIALS)
    check_went_offline(tmp_path, ended, "404")
