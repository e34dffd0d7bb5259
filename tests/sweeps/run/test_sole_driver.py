"""A sweep that runs already is not driven twice, and a driver that was killed leaves it free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.options import OptionsError
from sweeps.run import sole_driver as module
from sweeps.run.launch import main
from sweeps.run.sole_driver import sole_driver
from tests.support.object_store import ObjectStore
from tests.support.record_factory import make_record, write_sweep
from tests.support.waiting import PATIENCE_SECONDS
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


def test_going_on_with_a_running_sweep_is_one_line_and_changes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = [make_record(number, rate=rate, model="nano-0.3m") for number, rate in enumerate((1e-3, 3e-3))]
    place = write_sweep(tmp_path / "mine", made, name="mine")
    before = (tmp_path / "mine" / "sweep.json").read_bytes()
    flags = ["--storage", str(tmp_path), "--name", "mine", "--wandb", "disabled"]
    with sole_driver(open_storage(place), "mine"):
        assert main(BATCH_MEMORY, [*flags, "--resume", "--trials", "9"]) == 2
        assert f"'mine' is already running, by process {os.getpid()}" in capfd.readouterr().err
        assert main(BATCH_MEMORY, flags) == 2
        assert "'mine' is already in" in capfd.readouterr().err
    assert (tmp_path / "mine" / "sweep.json").read_bytes() == before


def test_a_sweep_in_a_bucket_is_driven_once_and_is_free_after_its_end_and_after_a_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.2)
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        storage = open_storage("s3://bucket/mine")
        monkeypatch.setattr(module, "SILENCE_SECONDS", PATIENCE_SECONDS)  # a sign that comes ends the wait
        with sole_driver(storage, "mine"):
            with pytest.raises(OptionsError) as caught, sole_driver(storage, "mine"):
                pass
            assert f"'mine' is already running, by process {os.getpid()} on " in str(caught.value)
        assert storage.read_text("driver.txt") == ""
        capsys.readouterr()
        with sole_driver(storage, "mine"):
            assert "was driven by" not in capsys.readouterr().out
        storage.write_text("driver.txt", "process 1 on gone at 17")
        monkeypatch.setattr(module, "SILENCE_SECONDS", 1.0)
        with sole_driver(storage, "mine"):
            assert "Sweep 'mine' was driven by process 1 on gone: looking for 1 s" in capsys.readouterr().out
