"""In a few lines, why a run went out of memory: what it needed, of what, and what would bring it down."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.memory.explaining.remedies import Remedy
from trainables.records.byte_sizes import memory_text
from trainables.records.record import MemoryPrediction, MemoryReport, OutOfMemory


def oom_card(
    prediction: MemoryPrediction,
    moment: OutOfMemory | None,
    remedies: Sequence[Remedy],
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
    if remedies:
        sentences.append(_remedy_text(remedies))
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


def _remedy_text(remedies: Sequence[Remedy]) -> str:
    """The single change that saves most, and the first that fits where that one does not."""
    fitting = [remedy for remedy in remedies if remedy.fits]
    chosen = min(fitting or remedies, key=lambda remedy: (remedy.change.count("+"), remedy.reserved_bytes))
    end = "" if chosen.fits else ", which still does not fit"
    return f"{chosen.change[0].upper()}{chosen.change[1:]} would bring it to {memory_text(chosen.reserved_bytes)}{end}."
