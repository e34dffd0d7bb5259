"""A trial's checkpoints in the sweep's storage: written whole or not at all, verified before use, the newest two kept.

A checkpoint is the folder `trials/<id>/checkpoints/<step>`. Each worker writes its files and, last, a manifest with
their sizes and SHA-256 sums: a checkpoint whose manifests are missing or do not agree with the files is passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs as arrow_fs

from trainables.storage import Storage

KEPT = 2  # the newest, and the one before in case that is cut short
CHUNK_BYTES = 1 << 20


class CheckpointStore:
    """The checkpoints of one trial, of `workers` workers, as the worker `rank` sees them."""

    def __init__(self, storage: Storage, trial_id: str, *, rank: int = 0, workers: int = 1) -> None:
        self._storage = storage
        self._folder = checkpoints_path(trial_id)
        self._rank, self._workers = rank, workers

    @contextlib.contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """A folder for this worker's files of the checkpoint at `step`; on leaving they are stored, then older go."""
        path = self._path(step)
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as scratch:
            folder = Path(scratch)
            yield folder
            names = sorted(file.name for file in folder.iterdir())
            manifest = {name: _facts(folder / name) for name in names}
            target = self._storage.child(path)
            target.filesystem.create_dir(target.root, recursive=True)
            for name in names:
                arrow_fs.copy_files(
                    scratch + "/" + name,
                    f"{target.root}/{name}",
                    source_filesystem=arrow_fs.LocalFileSystem(),
                    destination_filesystem=target.filesystem,
                )
        self._storage.write_text(f"{path}/{_manifest(self._rank)}", json.dumps(manifest))
        if self._rank == 0:
            self._delete_older()

    def steps(self) -> list[int]:
        """Steps of all checkpoints whose manifests are there, the newest first."""
        written = sorted((int(name) for name in self._storage.list_folders(self._folder)), reverse=True)
        manifests = [_manifest(rank) for rank in range(self._workers)]
        return [step for step in written if set(manifests) <= set(self._storage.list_files(self._path(step)))]

    def is_whole(self, step: int) -> bool:
        """Whether every file of the checkpoint is there as its worker wrote it."""
        for rank in range(self._workers):
            try:
                manifest = json.loads(self._storage.read_text(f"{self._path(step)}/{_manifest(rank)}"))
                if any(self._facts(step, name) != facts for name, facts in manifest.items()):
                    return False
            except (FileNotFoundError, json.JSONDecodeError):
                return False
        return True

    def newest_whole(self) -> int | None:
        """The step of the newest checkpoint that can be used; None when there is none."""
        return next((step for step in self.steps() if self.is_whole(step)), None)

    @contextlib.contextmanager
    def reading(self, step: int) -> Iterator[Path]:
        """A folder of this machine that holds the checkpoint's files."""
        source = self._storage.child(self._path(step))
        if self._storage.is_local:
            yield Path(source.root)
            return
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as scratch:
            arrow_fs.copy_files(
                source.root,
                scratch,
                source_filesystem=source.filesystem,
                destination_filesystem=arrow_fs.LocalFileSystem(),
            )
            yield Path(scratch)

    def _delete_older(self) -> None:
        for step in self.steps()[KEPT:]:
            self._storage.delete_folder(self._path(step))

    def _facts(self, step: int, name: str) -> list[int | str]:
        source = self._storage.child(self._path(step))
        with source.filesystem.open_input_stream(f"{source.root}/{name}") as file:
            return _sums(iter(lambda: file.read(CHUNK_BYTES), b""))

    def _path(self, step: int) -> str:
        return f"{self._folder}/{step:08d}"


def checkpoints_path(trial_id: str) -> str:
    """Where a trial's checkpoints lie in the sweep's storage."""
    return f"trials/{trial_id}/checkpoints"


def _manifest(rank: int) -> str:
    return f"manifest-{rank}.json"


def _facts(path: Path) -> list[int | str]:
    with path.open("rb") as file:
        return _sums(iter(lambda: file.read(CHUNK_BYTES), b""))


def _sums(chunks: Iterator[bytes]) -> list[int | str]:
    size_bytes, digest = 0, hashlib.sha256()
    for chunk in chunks:
        size_bytes += len(chunk)
        digest.update(chunk)
    return [size_bytes, digest.hexdigest()]
