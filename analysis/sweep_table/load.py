"""Reads a finished or running sweep from its folder or bucket: the one way into everything that `analysis` shows."""

from __future__ import annotations

import dataclasses
import functools
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import overload

from analysis.ladder.ladder_files import LadderFiles, load_ladder
from analysis.sweep_table.front import Standing, standing_of
from data.errors import UserError, one_line
from trainables.records.documents import from_json, samples_from_json
from trainables.records.layout import LAYOUT
from trainables.records.record import Sample, TrialRecord
from trainables.records.storage import Storage, StorageError, open_storage
from trainables.records.sweep_folder import SweepFacts, facts_from_json

READERS = 16  # assumed: enough to hide an object store's latency, few enough not to be throttled
KEPT_BYTES = 256 * 2**20  # assumed: the text of some 1,800 records with 480 samples; those beyond it are read again
NAMES_SHOWN = 8


class RecordsError(UserError):
    """A place from which no sweep can be read; the message is one line for a person."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep as it lies in storage.

    `unreadable` has one line for each trial folder without a readable record. The records' samples are made when they
    are looked at.
    """

    facts: SweepFacts
    records: tuple[TrialRecord, ...]
    unreadable: tuple[str, ...] = ()
    ladder: LadderFiles | None = None

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.facts.name

    @functools.cached_property
    def standing(self) -> Standing:
        """Which trials are on the front, and which is best, by id: the same in all that shows this sweep."""
        return standing_of(self.records, self.facts.aims)

    @property
    def front(self) -> list[TrialRecord]:
        """The trials on the front, in order of number."""
        front = set(self.standing.front)
        return [record for record in self.records if record.trial_id in front]

    @property
    def best(self) -> TrialRecord | None:
        """The trial to use; None where none finished within the budgets."""
        return next((record for record in self.records if record.trial_id == self.standing.best), None)


def load_sweep(uri: str) -> Sweep:
    """The sweep in the folder or at the URI `uri`, its records sorted by trial number.

    Raises: RecordsError when the place does not exist, cannot be read or holds no sweep.
    """
    try:
        storage = open_storage(uri)
        facts = read_facts(storage)
        read = _read_records(storage)
        ladder = load_ladder(storage, facts.plan)
    except StorageError as error:
        raise RecordsError(str(error)) from None
    except OSError as error:
        raise RecordsError(f"{uri}: cannot be read ({one_line(error)}); check the path and your access.") from None
    found = [item for item in read if isinstance(item, TrialRecord)]
    return Sweep(
        facts=facts,
        records=tuple(sorted(found, key=lambda record: (record.number, record.trial_id))),
        unreadable=tuple(item for item in read if isinstance(item, str)),
        ladder=ladder,
    )


def read_facts(storage: Storage) -> SweepFacts:
    """The sweep's own document. Raises: RecordsError where there is none, or one of another program; OSError."""
    try:
        return facts_from_json(storage.read_text(LAYOUT.facts))
    except (FileNotFoundError, NotADirectoryError):
        raise RecordsError(_no_sweep(storage)) from None
    except ValueError as error:
        raise RecordsError(f"{storage.uri}: {LAYOUT.facts} is not of this program ({one_line(error)}).") from None


def _read_records(storage: Storage) -> list[TrialRecord | str]:
    """Each trial folder's record, or the line that says why there is none."""
    folders = storage.list_folders(LAYOUT.trials)
    if storage.is_local or len(folders) < 2:
        return _with_samples(storage, folders, (_read_record(storage, folder) for folder in folders))
    with ThreadPoolExecutor(max_workers=min(READERS, len(folders))) as pool:
        return _with_samples(storage, folders, pool.map(lambda folder: _read_record(storage, folder), folders))


def _read_record(storage: Storage, folder: str) -> tuple[TrialRecord, str] | str:
    path = LAYOUT.trial(folder).record
    try:
        text = storage.read_text(path)
        return from_json(text), text
    except FileNotFoundError:
        return f"{path}: not written; the trial is still running or was cut off."
    except (OSError, ValueError) as error:
        return f"{path}: {one_line(error)}"


def _with_samples(
    storage: Storage, folders: Sequence[str], found: Iterable[tuple[TrialRecord, str] | str]
) -> list[TrialRecord | str]:
    """The records with samples that are made when they are looked at: of the text that was read, where it is kept."""
    left_bytes, records = KEPT_BYTES, []
    for folder, item in zip(folders, found, strict=True):
        if isinstance(item, str):
            records.append(item)
            continue
        record, text = item
        if record.report is None or not record.report.samples:
            records.append(record)
            continue
        kept = text.encode()
        is_kept = len(kept) <= left_bytes
        left_bytes -= len(kept) if is_kept else 0
        read = functools.partial(samples_from_json, kept) if is_kept else functools.partial(_samples, storage, folder)
        stored = StoredSamples(len(record.report.samples), read)
        records.append(dataclasses.replace(record, report=dataclasses.replace(record.report, samples=stored)))
    return records


def _samples(storage: Storage, folder: str) -> Sequence[Sample]:
    path = LAYOUT.trial(folder).record
    try:
        return samples_from_json(storage.read_text(path))
    except (OSError, ValueError) as error:
        raise RecordsError(f"{path}: its samples cannot be read ({one_line(error)}).") from None


def _no_sweep(storage: Storage) -> str:
    """Why there is no sweep here, with the sweeps that lie in it or next to it."""
    beside = Storage(storage.uri, storage.filesystem, posixpath.dirname(storage.root))
    missing = not storage.exists("")
    what = "does not exist" if missing else f"holds no sweep (there is no {LAYOUT.facts} in it)"
    for place, where in ((storage, "sweeps in it"), (beside, "sweeps next to it")):
        if place is storage and missing:
            continue
        names = _sweep_names(place)
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            return f"{storage.uri} {what}; {where}: {', '.join(names[:NAMES_SHOWN])}{more}."
    return f"{storage.uri} {what}; give the folder of a sweep, such as results/<name>."


def _sweep_names(place: Storage) -> list[str]:
    try:
        return [name for name in place.list_folders("") if place.exists(f"{name}/{LAYOUT.facts}")]
    except OSError:
        return []


class StoredSamples(Sequence[Sample]):
    """`count` samples, which `read` makes, all of them, when one is first looked at."""

    def __init__(self, count: int, read: Callable[[], Sequence[Sample]]) -> None:
        self._count, self._read = count, read

    @functools.cached_property
    def _all(self) -> Sequence[Sample]:
        return self._read()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._all)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return self._all[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and tuple(self) == tuple(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # as of a list: equal to a tuple, whose hash it has not
