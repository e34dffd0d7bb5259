"""A trial's checkpoints in the sweep's storage: written whole or not at all, verified before use, the newest two kept.

A checkpoint is the folder `trials/<id>/checkpoints/<step>`. Each worker writes its files and, last, a manifest with
their sizes and SHA-256 sums: a checkpoint whose manifests are missing or do not agree with the files is passed over.
"""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainables.records.layout import LAYOUT
from trainables.records.storage import CHUNK_BYTES, Storage, sums_of

KEPT = 2  # the newest, and the one before in case that is cut short


class CheckpointStore:
    """The checkpoints of one trial, of `workers` workers, as the worker `rank` sees them."""

    def __init__(self, storage: Storage, trial_id: str, *, rank: int = 0, workers: int = 1) -> None:
        self._storage = storage
        self._files = LAYOUT.trial(trial_id)
        self._rank, self._workers = rank, workers

    @contextlib.contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """A folder for this worker's files of the checkpoint at `step`; on leaving they are stored, then older go."""
        path = self._path(step)
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as scratch:
            folder = Path(scratch)
            yield folder
            try:
                manifest = self._put(folder, path)
                self._storage.write_text(f"{path}/{_manifest(self._rank)}", json.dumps(manifest))
            except OSError:
                self._drop_half(path)
                raise
        if self._rank == 0:
            self._delete_older()

    def steps(self) -> list[int]:
        """Steps of all checkpoints whose manifests are there, the newest first."""
        written = sorted((int(name) for name in self._storage.list_folders(self._files.checkpoints)), reverse=True)
        manifests = [_manifest(rank) for rank in range(self._workers)]
        return [step for step in written if set(manifests) <= set(self._storage.list_files(self._path(step)))]

    def is_whole(self, step: int) -> bool:
        """Whether every file of the checkpoint is there as its worker wrote it."""
        for rank in range(self._workers):
            try:
                manifest = json.loads(self._storage.read_text(f"{self._path(step)}/{_manifest(rank)}"))
                for name, facts in manifest.items():
                    if self._storage.sums(f"{self._path(step)}/{name}") != tuple(facts):
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
            source.fetch_folder("", Path(scratch))
            yield Path(scratch)

    def _put(self, folder: Path, path: str) -> dict[str, tuple[int, str]]:
        """Copy this worker's files to `path`. Returns: what its manifest is to say of them."""
        self._storage.make_folder(path)
        manifest: dict[str, tuple[int, str]] = {}
        for file in sorted(folder.iterdir()):
            with file.open("rb") as opened:
                manifest[file.name] = sums_of(iter(functools.partial(opened.read, CHUNK_BYTES), b""))
            self._storage.put_file(file, f"{path}/{file.name}")
        return manifest

    def _drop_half(self, path: str) -> None:
        """Give the room back that half a checkpoint takes, on a disk that may be full."""
        with contextlib.suppress(OSError):
            self._storage.delete_folder(path)

    def _delete_older(self) -> None:
        for step in self.steps()[KEPT:]:
            self._storage.delete_folder(self._path(step))

    def _path(self, step: int) -> str:
        return self._files.checkpoint(step)


def _manifest(rank: int) -> str:
    return f"manifest-{rank}.json"
