"""A sweep that runs already is not driven twice, and a driver that was killed leaves it free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.planning.options import OptionsError
from sweeps.run.sole_driver import sole_driver
from trainables.records.storage import open_storage

HOLD = """
import sys, time
from sweeps.run.sole_driver import sole_driver
from trainables.records.storage import open_storage
with sole_driver(open_storage(sys.argv[1]), "mine"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_driver_is_refused_until_the_first_is_gone_even_by_a_kill(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with pytest.raises(OptionsError) as caught, sole_driver(storage, "mine"):
        pass
    assert f"'mine' is already running, by process {first.pid}" in str(caught.value)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    with sole_driver(storage, "mine"):
        assert (tmp_path / "driver.lock").read_text() == f"{os.getpid()}\n"


def test_sweeps_in_other_folders_do_not_hinder_one_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        sole_driver(open_storage(str(tmp_path / "one")), "one"),
        sole_driver(open_storage(str(tmp_path / "two")), "two"),
    ):
        assert (tmp_path / "one" / "driver.lock").exists()
