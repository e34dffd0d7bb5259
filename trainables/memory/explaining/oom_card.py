"""In a few lines, why a run ran out of memory: what it needed, for what, and what would bring it down."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.memory.cards import Card
from trainables.memory.explaining.remedies import Remedy, remedies
from trainables.memory.formula.sharding import ShardedStep
from trainables.model.models import ModelShape
from trainables.records.byte_sizes import memory_text
from trainables.records.record import MemoryPrediction, MemoryReport, OutOfMemory, WorkerReport
from trainables.records.settings import TrialSettings


def explain_no_room(
    settings: TrialSettings, shape: ModelShape, prediction: MemoryPrediction, card: Card, report: WorkerReport | None
) -> str:
    """Why a trial had no room on `card`, and what would make some; `report` is None where it was never started."""
    gpus = settings.workers if settings.parallel == "fsdp" else 1
    is_step = prediction.peak_phase != "evaluation"  # no change of the step avoids gathering a shard's weights whole
    found = remedies(ShardedStep(settings, shape), prediction, card, gpus) if is_step else []
    return oom_card(prediction, report and report.out_of_memory, found, report and report.memory)


def oom_card(
    prediction: MemoryPrediction,
    moment: OutOfMemory | None,
    changes: Sequence[Remedy],
    measured: MemoryReport | None = None,
) -> str:
    """The explanation of an out-of-memory error, or of a trial that was predicted not to fit (`moment` None).

    A peak that was measured above the prediction, as a CPU's whole step is, stands in its place; so does, as the least,
    what CUDA's allocator held when it was refused and what it asked for.
    """
    capacity, needed, components = prediction.capacity_bytes, prediction.device_bytes, prediction.components
    if measured is not None and measured.peak_bytes > needed:
        needed, components = measured.peak_bytes, measured.components or components
    needs = "Needs"
    if moment is not None and moment.reserved_bytes is not None:
        held = moment.reserved_bytes + (moment.requested_bytes or 0)
        needs, needed = ("Needs at least", held) if held > needed else (needs, needed)
    if capacity is not None:
        is_close = memory_text(needed) == memory_text(capacity)
        sizes = (f"{needed:,} bytes", f"{capacity:,}") if is_close else (memory_text(needed), memory_text(capacity))
        needs += f" {sizes[0]}, {prediction.gpu or 'the device'} has {sizes[1]}"
    else:
        needs += f" {memory_text(needed)}"
    largest = sorted(components.items(), key=lambda part: -part[1])[:2]
    parts = " and ".join(f"{memory_text(size)} of it is {name.replace('_', ' ')}" for name, size in largest)
    sentences = [f"{needs}; {parts}."]
    if moment is not None:
        sentences.insert(0, _moment_text(moment))
    if changes:
        sentences.append(_remedy_text(changes))
    return " ".join(sentences)


def _moment_text(moment: OutOfMemory) -> str:
    where = f"Out of memory in {moment.phase}" + (f" at {moment.operation}" if moment.operation else "")
    figures = [
        f"{memory_text(size)} {what}"
        for size, what in (
            (moment.requested_bytes, "asked for"),
            (moment.allocated_bytes, "allocated"),
            (moment.reserved_bytes, "reserved"),
        )
        if size is not None
    ]
    return where + (f" ({', '.join(figures)})." if figures else ".")


def _remedy_text(changes: Sequence[Remedy]) -> str:
    """The single change that saves most, and the first that fits where that one does not."""
    fitting = [change for change in changes if change.fits]
    chosen = min(fitting or changes, key=lambda remedy: (remedy.change.count("+"), remedy.reserved_bytes))
    end = "" if chosen.fits else ", which still does not fit"
    return f"{chosen.change[0].upper()}{chosen.change[1:]} would bring it to {memory_text(chosen.reserved_bytes)}{end}."
