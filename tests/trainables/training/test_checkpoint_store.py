"""Checkpoints in a sweep's storage: whole, kept, and passed over when they are not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.records.layout import LAYOUT
from trainables.records.storage import open_storage
from trainables.training.checkpoint_store import CheckpointStore

TRIAL = "0000-abcdef"


def store_of(folder: Path, rank: int = 0, workers: int = 1) -> CheckpointStore:
    return CheckpointStore(open_storage(str(folder)), TRIAL, rank=rank, workers=workers)


def write(store: CheckpointStore, step: int, text: str) -> None:
    with store.writing(step) as folder:
        (folder / "weights").write_text(text)


def place(folder: Path, step: int) -> Path:
    return folder / LAYOUT.trial(TRIAL).checkpoints / f"{step:08d}"


def test_newest_is_read_back_and_only_two_are_kept(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    assert store.newest_whole() is None
    for step in (3, 6, 9):
        write(store, step, f"after {step}")
    assert store.steps() == [9, 6]
    with store.reading(9) as folder:
        assert (folder / "weights").read_text() == "after 9"


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "no manifest", "half a manifest"])
def test_harmed_checkpoint_falls_back_to_the_one_before(tmp_path: Path, harm: str) -> None:
    store = store_of(tmp_path)
    write(store, 4, "good")
    write(store, 8, "newer")
    weights, manifest = place(tmp_path, 8) / "weights", place(tmp_path, 8) / "manifest-0.json"
    if harm == "cut":
        weights.write_text("new")
    elif harm == "changed":
        weights.write_text("never")
    elif harm == "gone":
        weights.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:9])
    assert store.newest_whole() == 4


def test_checkpoint_of_two_workers_needs_both(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, 0, 2), store_of(tmp_path, 1, 2)
    with first.writing(5) as folder:
        (folder / "weights").write_text("w")
    assert first.newest_whole() is None
    with second.writing(5) as folder:
        (folder / "random-1").write_text("r")
    assert first.newest_whole() == second.newest_whole() == 5


def test_a_save_that_fails_leaves_no_checkpoint(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    write(store, 2, "good")

    def save_half() -> None:
        with store.writing(4) as folder:
            (folder / "weights").write_text("half")
            raise RuntimeError("no room")

    with pytest.raises(RuntimeError, match="no room"):
        save_half()
    assert store.newest_whole() == 2
