"""Reads a finished or running sweep from its folder or bucket: the one way into everything that `analysis` shows."""

from __future__ import annotations

import dataclasses
import functools
import json
import posixpath
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, overload

from analysis.sweep_table.front import pareto_front
from data.errors import one_line
from trainables.records.objectives import DIRECTIONS, OBJECTIVES, keeps_budgets
from trainables.records.record import Sample, TrialRecord, from_document, samples_from_json
from trainables.records.storage import Storage, StorageError, open_storage

READERS = 16  # assumed: enough to hide an object store's latency, few enough not to be throttled
NAMES_SHOWN = 8


class RecordsError(ValueError):
    """A place from which no sweep can be read; the message is one line for a person."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep as it lies in storage.

    `facts` is the whole of sweep.json; `unreadable` has one line for each trial folder without a readable record. The
    records' samples stay in storage until they are looked at.
    """

    name: str
    question: str
    facts: dict[str, Any]
    records: tuple[TrialRecord, ...]
    unreadable: tuple[str, ...]


def load_sweep(uri: str) -> Sweep:
    """The sweep in the folder or at the URI `uri`, its records sorted by trial number.

    Raises: RecordsError when the place does not exist, cannot be read or holds no sweep.
    """
    try:
        storage = open_storage(uri)
        facts = _read_facts(storage)
        read = _read_records(storage)
    except (OSError, StorageError) as error:
        raise RecordsError(f"{uri}: cannot be read ({one_line(error)}); check the path and your access.") from None
    found = [item for item in read if isinstance(item, TrialRecord)]
    return Sweep(
        name=str(facts.get("name") or posixpath.basename(storage.root)),
        question=str(facts.get("question") or ""),
        facts=facts,
        records=tuple(sorted(found, key=lambda record: (record.number, record.trial_id))),
        unreadable=tuple(item for item in read if isinstance(item, str)),
    )


def objectives_of(sweep: Sweep) -> tuple[str, ...]:
    """What the sweep strives for, by name; the usual three where it does not say."""
    told = sweep.facts.get("objectives")
    names = [item.get("name") for item in told if isinstance(item, dict)] if isinstance(told, list) else []
    known = tuple(name for name in names if name in DIRECTIONS)
    return known or tuple(OBJECTIVES)


def front_of(sweep: Sweep) -> list[TrialRecord]:
    """The sweep's Pareto front, among the trials that keep its budgets for forgetting and copying."""
    asked = sweep.facts.get("options")
    options = asked if isinstance(asked, dict) else {}
    budgets = (options.get("min_retention"), options.get("max_copied_share"))
    return pareto_front([r for r in sweep.records if keeps_budgets(r, *budgets)], objectives_of(sweep))


def _read_facts(storage: Storage) -> dict[str, Any]:
    try:
        facts = json.loads(storage.read_text("sweep.json"))
    except (FileNotFoundError, NotADirectoryError):
        raise RecordsError(_no_sweep(storage)) from None
    except ValueError as error:
        raise RecordsError(f"{storage.uri}: sweep.json is not JSON text ({one_line(error)}).") from None
    if not isinstance(facts, dict):
        raise RecordsError(f"{storage.uri}: sweep.json holds {type(facts).__name__}; an object was expected.")
    return facts


def _read_records(storage: Storage) -> list[TrialRecord | str]:
    """Each trial folder's record, or the line that says why there is none."""
    folders = storage.list_folders("trials")
    if storage.is_local or len(folders) < 2:
        return [_read_record(storage, folder) for folder in folders]
    with ThreadPoolExecutor(max_workers=min(READERS, len(folders))) as pool:
        return list(pool.map(lambda folder: _read_record(storage, folder), folders))


def _read_record(storage: Storage, folder: str) -> TrialRecord | str:
    path = f"trials/{folder}/record.json"
    try:
        return _without_samples(storage, path)
    except FileNotFoundError:
        return f"{path}: not written; the trial is still running or was cut off."
    except (OSError, ValueError, TypeError) as error:
        return f"{path}: {one_line(error)}"


def _without_samples(storage: Storage, path: str) -> TrialRecord:
    """The record at `path`, with samples that are read when they are looked at."""
    document = json.loads(storage.read_text(path))
    report = document.get("report") if isinstance(document, dict) else None
    samples = report.get("samples") if isinstance(report, dict) else None
    if isinstance(report, dict) and isinstance(samples, list):
        report["samples"] = []
    record = from_document(document)
    if record.report is None or not samples:
        return record
    stored = StoredSamples(len(samples), functools.partial(_read_samples, storage, path))
    return dataclasses.replace(record, report=dataclasses.replace(record.report, samples=stored))


def _read_samples(storage: Storage, path: str) -> Sequence[Sample]:
    try:
        return samples_from_json(storage.read_text(path))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordsError(f"{path}: its samples cannot be read ({one_line(error)}).") from None


def _no_sweep(storage: Storage) -> str:
    """Why there is no sweep here, with the sweeps that lie in it or next to it."""
    beside = Storage(storage.uri, storage.filesystem, posixpath.dirname(storage.root))
    missing = not storage.exists("")
    what = "does not exist" if missing else "holds no sweep (there is no sweep.json in it)"
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
        return [name for name in place.list_folders("") if place.exists(f"{name}/sweep.json")]
    except OSError:
        return []


class StoredSamples(Sequence[Sample]):
    """`count` samples, all of which `read` reads anew each time that one of them is looked at."""

    def __init__(self, count: int, read: Callable[[], Sequence[Sample]]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._read())

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return self._read()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and tuple(self) == tuple(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # as of a list: equal to a tuple, whose hash it has not
