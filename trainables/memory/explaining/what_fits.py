"""What fits a card: a step's need at every micro-batch and length of a grid, and the limit at each length.

Every figure is that of the single answer, from the same trace, replay and bound; only the traces come from a few
(tracing/trace_family.py). A document is cached whole, as an explanation is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from data.progress import progress
from trainables.memory.cards import UNNAMED_GPU, Card
from trainables.memory.explaining.explanation import can_fork, quick_imports
from trainables.memory.explaining.remedies import changes
from trainables.memory.explaining.steps import Steps, at
from trainables.memory.tracing.cache import KIND, cache_key
from trainables.memory.tracing.trial_trace import trial_facts, trial_trace
from trainables.records.disk_cache import load_document, store_document
from trainables.records.settings import TrialSettings

LENGTHS = SIZES = 24  # points each way
LENGTH_STEP = 64  # lengths are multiples of it where there are as many
PROCESSES = 8  # at most; each takes about 0.6 GB
AS_GIVEN = "as given"
COMPARED = ("loss", "gradient_checkpointing", "precision", "lora_rank")  # levers with a limit of their own

Mapped = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked:
    """A step at every size and length, on each of `gpus` of these cards."""

    settings: TrialSettings
    cards: tuple[Card, ...]
    gpus: int


def what_fits(
    settings: TrialSettings, cards: Sequence[Card], gpus: int = 1, *, by_lever: bool = False
) -> dict[str, Any]:
    """The need and whether it fits, by card, micro-batch and length up to that of `settings`; limits by length.

    A limit is the largest micro-batch that fits; with `by_lever` there is one for each lever that brings memory down,
    and for all of them together. Sizes in bytes.
    Raises: UserError as `explain`; ModelError.
    """
    started = time.perf_counter()
    asked = _Asked(settings=at(settings, 1, settings.sequence_length), cards=tuple(cards), gpus=gpus)
    key = cache_key(trial_facts(asked.settings, cards[0]) | {"map of": repr(cards), "gpus": gpus, "levers": by_lever})
    document = load_document(KIND, key)
    if document is None:
        with _processes() as mapped:
            document = _answer(asked, mapped, by_lever=by_lever)
        store_document(KIND, key, json.dumps(document))
    return document | {"seconds": round(time.perf_counter() - started, 3)}


def _answer(asked: _Asked, mapped: Mapped, *, by_lever: bool) -> dict[str, Any]:
    variants = {AS_GIVEN: asked}
    if by_lever:
        variants |= {
            change: dataclasses.replace(asked, settings=dataclasses.replace(asked.settings, **fields))
            for change, fields in compared_levers(asked.settings, asked.gpus)
        }
    lengths = grid_of_lengths(asked.settings.sequence_length)
    kinds = list(variants.values())
    if asked.gpus == 1:
        points = [node for nodes in mapped(_nodes, kinds) for node in nodes]
        with progress("tracing the step", f"of {len(points)} sizes", look_every=1) as told:
            for done, _ in enumerate(mapped(_trace, points), 1):
                told(done)
    limits: dict[str, list[list[int]]] = {name: [] for name in variants}
    jobs = [(kind, length) for kind in kinds for length in lengths]
    with progress("what fits", f"of {len(jobs)} lengths", look_every=1) as told:
        for done, found in enumerate(mapped(_limits, jobs), 1):
            limits[list(variants)[(done - 1) // len(lengths)]].append(found)
            told(done)
    sizes = grid_of_sizes(max(limits[AS_GIVEN][0]))
    columns: list[list[list[tuple[int, bool]]]] = []
    with progress("what is needed", f"of {len(lengths)} lengths", look_every=1) as told:
        for column in mapped(_column, [(asked, length, tuple(sizes)) for length in lengths]):
            columns.append(column)
            told(len(columns))
    return {
        "settings": dataclasses.asdict(asked.settings),
        "gpus": asked.gpus,
        "sequence_lengths": lengths,
        "micro_batch_sizes": sizes,
        "cards": [
            {
                "gpu": card.name,
                "capacity_bytes": card.capacity_bytes,
                "device_bytes": [[column[row][place][0] for column in columns] for row in range(len(sizes))],
                "fits": [[column[row][place][1] for column in columns] for row in range(len(sizes))],
                "limits": {name: [found[place] for found in by_length] for name, by_length in limits.items()},
            }
            for place, card in enumerate(asked.cards)
        ],
    }


def grid_of_lengths(longest: int) -> list[int]:
    """Up to `LENGTHS` lengths to the longest, evenly apart; multiples of 64 but for the last, where there are as many.

    Returns: lengths in rising order, the last of them `longest`.
    """
    step = next((step for step in (LENGTH_STEP, 32, 16, 8, 1) if longest >= LENGTHS * step), 1)
    even = (round(longest * place / LENGTHS / step) * step for place in range(1, LENGTHS))
    return sorted({max(1, length) for length in even if length < longest} | {longest})


def grid_of_sizes(largest: int) -> list[int]:
    """`SIZES` micro-batches from 1 to a little above the largest that fits anywhere, as far apart as they are large."""
    top = max(SIZES, largest + 1)
    steps = (round(top ** (place / (SIZES - 1))) for place in range(SIZES))
    sizes = {size if size <= 8 else round(size / (unit := 2 ** (size.bit_length() - 3))) * unit for size in steps}
    sizes = {size for size in sizes if size < top} | {1, top}
    smallest_first = (size for size in range(1, top) if size not in sizes)
    while len(sizes) < SIZES:
        sizes.add(next(smallest_first))
    return sorted(sizes)


def compared_levers(settings: TrialSettings, gpus: int) -> list[tuple[str, dict[str, Any]]]:
    """The levers that are not pulled yet, each alone, then all together."""
    found = [(change, fields) for change, fields in changes(settings, gpus) if set(fields) <= set(COMPARED)]
    alone = [one for one in found if len(one[1]) == 1 and one[1].get("precision") != "bf16"]
    together = max(found, key=lambda one: len(one[1]), default=None)
    return alone if together is None or together in alone else [*alone, together]


@contextlib.contextmanager
def _processes() -> Iterator[Mapped]:
    """What maps a function over jobs, in order: on every core at once where this process may fork."""
    cores = min(PROCESSES, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    if cores == 1 or not can_fork():
        yield map
        return
    with ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), initializer=_begin) as pool:
        try:
            yield pool.map
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C or an error nothing more is begun


def _begin() -> None:
    """Leave Ctrl-C to the parent, and have everything imported while the others do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with quick_imports():
        import trainables.memory.tracing.own_step  # noqa: F401


def _nodes(asked: _Asked) -> list[tuple[TrialSettings, tuple[int, int]]]:
    """What to trace; nothing where that would not give the rest, or where nothing fits that is on the map."""
    steps = Steps(asked.settings, asked.gpus)
    steps.check()
    if all(steps.is_hopeless(card, 1, 1) for card in asked.cards):
        return []
    return [(asked.settings, node) for node in steps.nodes()]


def _trace(job: tuple[TrialSettings, tuple[int, int]]) -> None:
    """Leave a trace in the cache."""
    settings, (size, length) = job
    trial_trace(at(settings, size, length), UNNAMED_GPU)


def _limits(job: tuple[_Asked, int]) -> list[int]:
    """The largest micro-batch of this length that fits each card."""
    asked, length = job
    steps = _steps(asked.settings, asked.gpus)
    return [steps.limit(card, length) for card in asked.cards]


def _column(job: tuple[_Asked, int, tuple[int, ...]]) -> list[list[tuple[int, bool]]]:
    """Bytes of the device and whether they fit, by micro-batch and card."""
    asked, length, sizes = job
    steps = _steps(asked.settings, asked.gpus)
    return [[(n.device_bytes, n.fits) for n in steps.needs(asked.cards, size, length)] for size in sizes]


@functools.lru_cache(maxsize=16)
def _steps(settings: TrialSettings, gpus: int) -> Steps:
    return Steps(settings, gpus)
