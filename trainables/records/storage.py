"""One way to read and write a sweep's files, on a folder or on object storage."""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from pyarrow import ArrowException
from pyarrow import fs as arrow_fs

from data.errors import one_line
from data.whole_file import write_whole
from trainables.records.places import StorageError, address_of, child_address, is_folder

CHUNK_BYTES = 1 << 20


PATIENCE_SECONDS = 180.0  # assumed: an outage of minutes passes by; pyarrow's own tries end after 7 s, measured on 503
MOST_READS = 20  # of an object that is being replaced; assumed: a read takes far less than the seconds between writes
GOOGLE_SECONDS = 30  # for one request to Google's store, its own tries included; assumed
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
# As pyarrow 26 spells what AWS's client calls worth another try; a refusal (no access, no such bucket) is not.
PASSING = (
    "HTTP status 5",
    "SLOW_DOWN",
    "THROTTLING",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
)

P = ParamSpec("P")
T = TypeVar("T")


def patient(call: Callable[P, T]) -> Callable[P, T]:
    """`call`, made again while it ends in an error of an object store that may pass, for `PATIENCE_SECONDS`.

    It must be one that may be made twice. Raises: what `call` raises, the last time.
    """

    @functools.wraps(call)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        until, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                return call(*args, **kwargs)
            except OSError as error:
                if not may_pass(error) or time.monotonic() > until:
                    raise
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    return asked


def may_pass(error: OSError) -> bool:
    """Whether an object store gave this error because it was busy or could not be reached."""
    return any(sign in str(error) for sign in PASSING)


@dataclass(frozen=True)
class Storage:
    """A folder or bucket prefix; all paths are relative to it, with '/'. Waits out an object store's short outages.

    `uri` is absolute, and is what Ray gets as `storage_path`.
    """

    uri: str
    filesystem: arrow_fs.FileSystem
    root: str

    @property
    def is_local(self) -> bool:
        """Whether the files lie in a folder of this machine."""
        return isinstance(self.filesystem, arrow_fs.LocalFileSystem)

    @patient
    def read_text(self, path: str) -> str:
        """The UTF-8 text at `path`. Raises: FileNotFoundError."""
        with self.filesystem.open_input_file(self._at(path)) as file:
            return file.read().decode()

    @patient
    def read_replaced(self, path: str) -> str:
        """The UTF-8 text at `path`, which another process may replace at this moment: whole, as it was or as it is.

        pyarrow asks an object store how long an object is, and then for so many bytes: of one replaced in between they
        are cut, or end in bytes of no object. So it is read again until it has the same tag before and after.
        Raises: FileNotFoundError; OSError where it was replaced during each of `MOST_READS` reads.
        """
        if self.is_local:
            return self.read_text(path)
        for _ in range(MOST_READS):
            with self.filesystem.open_input_stream(self._at(path)) as file:
                before, content = file.metadata(), file.read()
            with self.filesystem.open_input_stream(self._at(path)) as file:
                if file.metadata() == before:
                    return content.decode()
        raise OSError(f"{path} was replaced during each of {MOST_READS} reads.")

    def write_text(self, path: str, text: str) -> None:
        """Write `text` in UTF-8, as `write_bytes` does."""
        self.write_bytes(path, text.encode())

    @patient
    def write_bytes(self, path: str, content: bytes) -> None:
        """Write `content` so that a reader sees the old file or the new one, whole, whatever dies in between.

        A folder gets a file beside, flushed and renamed; an object store's upload is atomic already.
        """
        target = self._at(path)
        if not self.is_local:
            with self.filesystem.open_output_stream(target) as file:
                file.write(content)
            return
        os.makedirs(posixpath.dirname(target), exist_ok=True)
        write_whole(target, content)

    @patient
    def exists(self, path: str) -> bool:
        """Whether there is a file or folder at `path`."""
        return self.filesystem.get_file_info(self._at(path)).type != arrow_fs.FileType.NotFound

    @patient
    def list_folders(self, path: str) -> list[str]:
        """Names of the folders directly in `path`, sorted; none when it does not exist."""
        selector = arrow_fs.FileSelector(self._at(path), allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in found if info.type == arrow_fs.FileType.Directory)

    @patient
    def list_files(self, path: str) -> list[str]:
        """Names of the files directly in `path`, sorted; none when it does not exist."""
        selector = arrow_fs.FileSelector(self._at(path), allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in found if info.type == arrow_fs.FileType.File)

    @patient
    def delete_folder(self, path: str) -> None:
        """Remove the folder at `path` and all that is in it. Raises: FileNotFoundError."""
        self.filesystem.delete_dir(self._at(path))

    @patient
    def put_file(self, file: Path, path: str) -> None:
        """Copy a file of this machine to `path`, whose folder must be there. A reader may see it half written."""
        here = arrow_fs.LocalFileSystem()
        arrow_fs.copy_files(str(file), self._at(path), source_filesystem=here, destination_filesystem=self.filesystem)

    @patient
    def fetch_folder(self, path: str, folder: Path) -> None:
        """Copy the files at `path` into a folder of this machine."""
        here = arrow_fs.LocalFileSystem()
        arrow_fs.copy_files(self._at(path), str(folder), source_filesystem=self.filesystem, destination_filesystem=here)

    @patient
    def sums(self, path: str) -> tuple[int, str]:
        """Size in bytes and SHA-256 sum of the file at `path`. Raises: FileNotFoundError."""
        with self.filesystem.open_input_stream(self._at(path)) as file:
            return sums_of(iter(lambda: file.read(CHUNK_BYTES), b""))

    @patient
    def make_folder(self, path: str) -> None:
        """Make the folder at `path`, and those above it; an object store needs none but for others to see it."""
        self.filesystem.create_dir(self._at(path), recursive=True)

    def child(self, path: str) -> Storage:
        """The storage rooted at a folder of this one."""
        return Storage(child_address(self.uri, path), self.filesystem, self._at(path))

    def _at(self, path: str) -> str:
        return posixpath.join(self.root, path) if path else self.root


def sums_of(chunks: Iterator[bytes]) -> tuple[int, str]:
    """Size in bytes and SHA-256 sum of all `chunks`."""
    size_bytes, digest = 0, hashlib.sha256()
    for chunk in chunks:
        size_bytes += len(chunk)
        digest.update(chunk)
    return size_bytes, digest.hexdigest()


def open_storage(uri: str) -> Storage:
    """The storage at a folder (relative or absolute) or at a URI such as `s3://bucket/prefix`.

    Nothing is created. Raises: StorageError for what is no place, and for a scheme that pyarrow does not know.
    """
    address = address_of(uri)
    if is_folder(address):
        return Storage(address, arrow_fs.LocalFileSystem(), address)
    try:
        filesystem, root = arrow_fs.FileSystem.from_uri(_in_bounds(address))
    except (ArrowException, OSError, ValueError) as error:
        raise StorageError(
            f"storage {uri!r} cannot be opened ({one_line(error)}); give a folder or s3://bucket/prefix."
        ) from None
    return Storage(address, filesystem, root.rstrip("/"))


def _in_bounds(address: str) -> str:
    """An address of Google's with a limit to how long it is asked: without one, its client goes on for 15 minutes."""
    if not address.startswith(("gs://", "gcs://")) or "retry_limit_seconds" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}retry_limit_seconds={GOOGLE_SECONDS}"


def check_reachable(storage: Storage) -> None:
    """Look once whether anything is there.

    Raises: StorageError when the storage does not answer, or lies below a file of this machine.
    """
    if storage.is_local:
        place = Path(storage.root)
        nearest = next(folder for folder in (place, *place.parents) if os.path.lexists(folder))
        if not nearest.is_dir():
            raise StorageError(
                f"storage {storage.uri} is not writable, as {nearest} is no folder; choose another with --storage."
            )
    try:
        storage.filesystem.get_file_info(storage.root)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"storage {storage.uri} does not answer ({reason}); check address and credentials, or choose another with"
            " --storage."
        ) from None


def check_writable(storage: Storage) -> None:
    """Write and remove a small file. Raises: StorageError when the storage refuses it."""
    probe = f".writable-{uuid.uuid4().hex[:8]}"
    try:
        storage.write_text(probe, "")
        storage.filesystem.delete_file(storage._at(probe))
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"storage {storage.uri} is not writable ({reason}); choose another with --storage."
        ) from None
