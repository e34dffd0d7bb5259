"""A sweep wherever a person keeps it: laid out, gone on with, read, shown, exported; moved, and all of it again.

Every spelling goes the way with one trial that trained beforehand; the nastiest with sweeps of its own, as typed.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from analysis import export, report
from analysis.serve.board_data import FollowedSweep
from analysis.sweep_table.load import load_sweep
from sweeps import rebuild_study
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import parse_options
from sweeps.run.launch import main
from sweeps.run.prepare import prepare_new
from tests.support.object_store import ObjectStore
from tests.support.storage_spellings import NASTIEST, ROOT, SMALL, SPELLINGS, Spelling, lay_out, wait_for_board
from tests.support.tuned_trial import train_trial
from tests.support.waiting import PATIENCE_SECONDS
from trainables.records.record import TrialRecord
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import load_history, store_proposal, store_record

pytestmark = pytest.mark.slow
FLAGS = ("--name", "mine", "--wandb", "disabled")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrialRecord]:
    """A trial that trained and sampled: the folder of its checkpoints, and its record."""
    folder = tmp_path_factory.mktemp("trained")
    record = train_trial(folder, 0)
    return folder / "trials" / record.trial_id / "checkpoints", record


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that spellings begin from; the test stands in `here` below it."""
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def run_in(place: str, trained: tuple[Path, TrialRecord]) -> None:
    """Lay a sweep out as its command does, and put the trained trial in for its first."""
    options = parse_options([*FLAGS, "--storage", place, "--trials", "1", *SMALL], "", BATCH_MEMORY.options)
    machine = Device(gpus=0, gpu_bytes=None, cpus=2)
    prepared = prepare_new(make_plan(options, machine, BATCH_MEMORY), options, machine)
    prepared.lay_out()
    storage, plan, (checkpoints, record) = prepared.storage, prepared.facts.plan, trained
    trial_id = prepared.facts.trial_id(0)
    store_proposal(storage, trial_id, {setting: getattr(record.settings, setting) for setting in plan.space})
    for file in checkpoints.rglob("*"):
        if file.is_file():
            path = f"trials/{trial_id}/checkpoints/{file.relative_to(checkpoints)}"
            storage.write_bytes(path, file.read_bytes())
    store_record(storage, dataclasses.replace(record, trial_id=trial_id, sweep="mine"))


def use(place: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Go on with the sweep, read, show and export it, all at the place as written."""
    sweep = f"{place.rstrip('/')}/mine"
    storage = open_storage(sweep)
    before = storage.read_text("sweep.json")
    assert main(BATCH_MEMORY, [*FLAGS, "--storage", place, "--resume", "--trials", "3", "--dry-run"]) == 0
    assert "Would run 3 trials" in capsys.readouterr().out
    assert storage.read_text("sweep.json") == before  # a dry run changes nothing
    assert report.main([sweep]) == 0
    assert storage.exists("report.html")
    board = FollowedSweep(storage)
    board.look()
    assert '"number": 0' in board.since(None)
    assert export.main([sweep, "--out", str(out)]) == 0
    assert (out / "model.safetensors").stat().st_size > 302_848 * 4  # nano-0.3m's parameters of 4 bytes
    assert [number for number, (_, record) in load_history(storage).items() if record] == [0]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: spelling.written)
def test_a_folder_however_written_serves_every_command_and_can_be_moved(
    spelling: Spelling, root: Path, trained: tuple[Path, TrialRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    written, folder, moved = spelling.written.replace("{root}", str(root)), root / spelling.folder, root / "moved? #2 ä"
    run_in(written, trained)
    assert (folder / "mine" / "sweep.json").exists()
    use(written, root / "model", capsys)
    assert rebuild_study.main([f"{written.rstrip('/')}/mine"]) == 0
    assert (folder / "mine" / "study.db").stat().st_size > 0
    files = {path.relative_to(folder / "mine") for path in (folder / "mine").rglob("*")}
    shutil.move(folder, moved)
    use(str(moved), root / "model again", capsys)
    assert rebuild_study.main([str(moved / "mine")]) == 0
    assert {path.relative_to(moved / "mine") for path in (moved / "mine").rglob("*")} == files
    assert not folder.exists()  # nothing wrote to where it was


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with ObjectStore() as store, pytest.MonkeyPatch.context() as environment:
        for name, value in store.environment.items():
            environment.setenv(name, value)
        yield store


@pytest.mark.parametrize(
    "spelling", [spelling for spelling in SPELLINGS if spelling.key], ids=lambda spelling: spelling.in_bucket
)
def test_a_prefix_however_written_serves_every_command_and_can_be_moved(
    spelling: Spelling,
    store: ObjectStore,
    root: Path,
    trained: tuple[Path, TrialRecord],
    capsys: pytest.CaptureFixture[str],
) -> None:
    service: Any = boto3.resource("s3", endpoint_url=store.address)
    bucket, prefix = service.Bucket("bucket"), f"{spelling.key}/mine/"
    run_in(f"s3://bucket/{spelling.in_bucket}", trained)
    use(f"s3://bucket/{spelling.in_bucket}", root / "model", capsys)
    keys = {item.key.removeprefix(prefix) for item in bucket.objects.all() if not item.key.endswith("/")}
    assert {"sweep.json", "report.html"} <= keys  # all below the one prefix that was meant, whole and unescaped
    for item in list(bucket.objects.all()):
        bucket.Object(f"moved? #2 ä/mine/{item.key.removeprefix(prefix)}").copy({"Bucket": "bucket", "Key": item.key})
        item.delete()
    use("s3://bucket/moved%3F #2 ä", root / "model again", capsys)
    assert {item.key.removeprefix("moved? #2 ä/mine/") for item in bucket.objects.all()} >= keys
    bucket.objects.all().delete()


def test_a_sweep_in_a_folder_of_the_nastiest_name_runs_goes_on_and_moves(
    sweep_environment: dict[str, str], sweep_command: list[str], root: Path
) -> None:
    written, folder, moved = NASTIEST.written, root / NASTIEST.folder, root / "elsewhere" / "moved? #2"

    def typed(*command: str) -> str:
        done = subprocess.run(command, env=sweep_environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def used(place: str, out: Path) -> None:
        typed(sys.executable, str(ROOT / "analysis" / "report.py"), f"{place}/mine")
        wait_for_board(f"{place}/mine", 2, root / "here", sweep_environment)
        typed(sys.executable, str(ROOT / "analysis" / "export.py"), f"{place}/mine", "--out", str(out))
        assert (out / "model.safetensors").exists()

    said = typed(*sweep_command, *FLAGS, "--storage", written, "--trials", "1", *SMALL)
    again = next(line for line in said.splitlines() if line.startswith("Again:")).removeprefix("Again:")
    typed(sys.executable, *shlex.split(again)[1:])  # as the sweep itself says it
    typed(*sweep_command, *FLAGS, "--storage", written, "--resume", "--trials", "2")
    used(written, root / "model")
    moved.parent.mkdir()
    shutil.move(folder, moved)
    typed(*sweep_command, *FLAGS, "--storage", str(moved), "--resume")
    used(str(moved), root / "model again")
    assert not folder.exists()
    assert [record.number for record in load_sweep(str(moved / "mine")).records] == [0, 1]
    assert (moved / "mine" / "study.db").exists()
