"""The wandb service goes away while runs are open, or wandb's own process dies: trials go on, and each is mirrored."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mirrored_records import FINISHED, HUB, folders_of
from tests.support.wandb_files import read_run
from tests.sweeps.watch.test_tracking_processes import in_a_process

pytestmark = pytest.mark.slow

SCENE = """
import os, sys
from pathlib import Path
import sweeps.watch.tracking
import sweeps.watch.wandb_session
from tests.support.mirrored_records import FACTS, made_records
from trainables.records.storage import open_storage
from tests.support.wandb_service import WandbService

sweeps.watch.wandb_session.INIT_TIMEOUT_SECONDS = 10
sweeps.watch.wandb_session.FINISH_TIMEOUT_SECONDS = 1  # 60 outside this test
service = WandbService()
os.environ["WANDB_BASE_URL"] = f"http://127.0.0.1:{service.server_port}"
folder = Path(sys.argv[1])
session = sweeps.watch.wandb_session.WandbSession(FACTS.name, folder, "online")
tracker = sweeps.watch.tracking.WandbTracker(open_storage(str(folder)), FACTS, session)
first, second = made_records()[:2]
tracker.started(first.trial_id, first.settings)
tracker.progressed(first.trial_id, first.report.curve[:5], 12)
HARM
tracker.progressed(first.trial_id, first.report.curve[:9], 12)
tracker.ended(first)
tracker.started(second.trial_id, second.settings)
tracker.ended(second)
"""

SERVICE_GOES = "service.go()"
PROCESS_DIES = """
import psutil
for process in psutil.Process().children(recursive=True):
    process.kill()
    process.wait()
"""


def test_service_that_goes_away_in_mid_run_costs_one_line_and_no_trial(tmp_path: Path) -> None:
    ended = in_a_process(tmp_path, SCENE.replace("HARM", SERVICE_GOES))
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    line = ended.stderr.strip()
    assert "does not answer" in line
    assert line.endswith("; continuing offline.")
    check_both_are_mirrored_whole(tmp_path)


def test_death_of_wandbs_own_process_costs_one_line_and_no_trial(tmp_path: Path) -> None:
    ended = in_a_process(tmp_path, SCENE.replace("HARM", PROCESS_DIES))
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    line = ended.stderr.strip()
    assert f"{FINISHED}'s run was cut off" in line
    check_both_are_mirrored_whole(tmp_path)


def check_both_are_mirrored_whole(folder: Path) -> None:
    """The first run was cut off and is written anew, offline, for `wandb sync` to send; so is the second."""
    for trial_id in (FINISHED, HUB):
        (run_folder,) = folders_of(folder, trial_id)
        run = read_run(run_folder)
        assert [row["_step"] for row in run.history if "train/loss" in row] == list(range(1, 13))
        assert run.summary["outcome"] == "finished"
        assert list((run_folder / "files" / "media" / "table").glob("*.table.json"))
        assert (folder / "trials" / trial_id / "mirrored-to-wandb").read_text() == "offline"
