"""What a sweep stands on fails in the middle of it: a full disk, a busy object store. What was recorded is whole."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.tune.search import Searcher

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.space import starting_points
from sweeps.run.failures import classify, is_hopeless
from sweeps.search.limits import STORAGE_ERROR
from sweeps.search.searcher import RecordSearch
from sweeps.search.study import build_study
from tests.support.object_store import ObjectStore
from tests.support.record_factory import make_facts
from trainables.records import storage as patience
from trainables.records.layout import LAYOUT
from trainables.records.record import FailureKind
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import load_history
from trainables.training.checkpoint_store import CheckpointStore

DISK_BYTES = 48 * 2**20
LEFT_BYTES = 2**20  # less than a checkpoint of nano-0.3m: weights and two moments of 0.3M parameters are 3.7 MB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory, that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk of a size that a test can fill")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "sweep-test", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left_bytes: int) -> Path:
    """Take all room on the disk but `left_bytes`."""
    ballast, free = folder / "ballast", os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - left_bytes)
    return ballast


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ObjectStore, Storage]]:
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield store, open_storage("s3://bucket/results")


def test_a_file_on_a_full_disk_is_refused_and_the_old_one_stays_whole(small_disk: Path) -> None:
    storage = open_storage(str(small_disk))
    storage.write_text("record.json", "old")
    ballast = fill(small_disk, left_bytes=64 * 2**10)
    with pytest.raises(OSError, match="No space left") as caught:
        storage.write_bytes("record.json", bytes(2**20))
    assert caught.value.errno == errno.ENOSPC
    assert is_hopeless(caught.value)
    assert classify(caught.value) is FailureKind.STORAGE
    assert storage.read_text("record.json") == "old"
    assert sorted(small_disk.iterdir()) == [ballast, small_disk / "record.json"]


def test_half_a_checkpoint_on_a_full_disk_gives_its_room_back(small_disk: Path) -> None:
    store = CheckpointStore(open_storage(str(small_disk)), "0000-abcdef")

    def write(step: int, size_bytes: int) -> None:
        with store.writing(step) as folder:
            (folder / "weights").write_bytes(bytes(size_bytes))

    write(1, 2**20)
    fill(small_disk, left_bytes=3 * 2**20)
    with pytest.raises(OSError, match="No space left"):
        write(2, 4 * 2**20)
    assert store.newest_whole() == 1
    assert [path.name for path in (small_disk / LAYOUT.trial("0000-abcdef").checkpoints).iterdir()] == ["00000001"]


def test_a_busy_object_store_is_asked_again(far: tuple[ObjectStore, Storage]) -> None:
    store, storage = far
    storage.write_text("record.json", "text")
    store.refuse_for(8.0)  # pyarrow by itself gives up after 31 requests, in 6 to 7 s
    assert storage.read_text("record.json") == "text"
    assert store.refused > 31


def test_patience_with_an_object_store_ends(far: tuple[ObjectStore, Storage], monkeypatch: pytest.MonkeyPatch) -> None:
    store, storage = far
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.0)
    store.refuse_for(60.0)
    with pytest.raises(OSError, match="SLOW_DOWN") as caught:
        storage.write_text("record.json", "new")
    assert classify(caught.value) is FailureKind.STORAGE
    store.refuse_for(0.0)
    assert not storage.exists("record.json")


def test_a_refusal_is_not_asked_again(far: tuple[ObjectStore, Storage]) -> None:
    store, _ = far
    before = store.asked
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        open_storage("s3://nobucket/results").write_text("record.json", "")
    assert store.asked - before == 1
    assert store.refused == 0


def test_searcher_on_a_full_disk_proposes_nothing_more_and_says_why(small_disk: Path) -> None:
    plan = make_plan(SweepOptions(), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY)
    facts = make_facts(plan, name="full")
    storage = open_storage(str(small_disk))
    search = RecordSearch(facts, storage.uri, build_study(facts, storage, f"sqlite:///{small_disk}/study.db"))
    assert search.suggest("first")["number"] == 0
    ballast = fill(small_disk, left_bytes=0)
    assert search.suggest("second") == Searcher.FINISHED
    assert search.storage_error is not None
    assert "full" in search.storage_error or "No space left" in search.storage_error
    search.on_trial_complete("first", {STORAGE_ERROR: "OSError: no room"})  # its record could not be written either
    ballast.unlink()
    assert load_history(storage) == {0: (starting_points(plan)[0], None)}  # owed to a later run, and nothing else is
