"""What a card takes beside what a trace sees: context, workspaces, temporaries; fitted, or assumed."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from data.whole_file import write_whole

FILE = Path(__file__).with_name("constants.json")
FEWEST_RUNS = 3  # below that a median says nothing about an odd run


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Bytes to add to a trace. `workspace_bytes` is one thread's, None for what the source says of the card.

    `temporaries_bytes` is reserved beyond the replay. `date` is None where the figures are assumed.
    """

    context_bytes: int
    context_low_bytes: int
    context_high_bytes: int
    workspace_bytes: int | None = None
    temporaries_bytes: int = 0
    card: str | None = None
    gpu: str | None = None
    torch: str | None = None
    driver: str | None = None
    date: str | None = None
    runs: int = 0

    @property
    def label(self) -> str:
        """Which figures these are, for a prediction's version."""
        return f"constants fitted {self.date}, driver {self.driver}" if self.date else "assumed constants"


ASSUMED = Constants(  # 300-600 MiB seen in reports, not yet measured
    context_bytes=450 * 2**20, context_low_bytes=300 * 2**20, context_high_bytes=600 * 2**20
)


@dataclass(frozen=True, kw_only=True)
class ConstantsRun:
    """One small run: NVML's figure less the allocator's, the allocator's peak, and the replay of its trace."""

    context_bytes: int
    reserved_bytes: int
    replayed_bytes: int
    workspace_bytes: int


def fit_constants(
    runs: Sequence[ConstantsRun], *, card: str, gpu: str, torch: str, driver: str, date: str
) -> Constants:
    """Constants of a card, each the median over `runs`, so that one odd run does not rule.

    Raises: ValueError for fewer than 3 runs, or where a device holds less than its allocator.
    """
    if len(runs) < FEWEST_RUNS:
        raise ValueError(f"{len(runs)} runs are too few to fit constants; give {FEWEST_RUNS} or more.")
    contexts = [run.context_bytes for run in runs]
    if min(contexts) < 0:
        raise ValueError("a run's device memory is below what its allocator reserved; the two are not of one process.")
    return Constants(
        context_bytes=round(median(contexts)),
        context_low_bytes=min(contexts),
        context_high_bytes=max(contexts),
        workspace_bytes=round(median(run.workspace_bytes for run in runs)),
        temporaries_bytes=max(0, round(median(run.reserved_bytes - run.replayed_bytes for run in runs))),
        card=card,
        gpu=gpu,
        torch=torch,
        driver=driver,
        date=date,
        runs=len(runs),
    )


@functools.cache
def constants_for(gpu: str | None, file: Path = FILE, torch: str | None = None) -> Constants:
    """The latest fit for a card, by its short or its full name, under this torch; else the assumed figures."""
    wanted = _release(torch or importlib.metadata.version("torch"))
    fits = [f for f in load_constants(file) if gpu in (f.card, f.gpu) and _release(f.torch or "") == wanted]
    return max(fits, key=lambda fit: fit.date or "") if gpu and fits else ASSUMED


def load_constants(file: Path = FILE) -> list[Constants]:
    """Every fit in a file; none where there is no file."""
    if not file.exists():
        return []
    return [Constants(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))["fits"]]


def store_constants(fitted: Constants, file: Path = FILE) -> None:
    """Put a fit in a file, in place of one of the same card, torch and driver; written beside, flushed, renamed."""

    def place(fit: Constants) -> tuple[str | None, ...]:
        return fit.gpu, fit.torch, fit.driver

    fits = [*(fit for fit in load_constants(file) if place(fit) != place(fitted)), fitted]
    document = json.dumps({"fits": [dataclasses.asdict(fit) for fit in fits]}, indent=1)
    write_whole(file, f"{document}\n".encode())
    constants_for.cache_clear()


def _release(version: str) -> str:
    """A version without its build, such as +cu130."""
    return version.partition("+")[0]
