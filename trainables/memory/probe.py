"""What one step did to memory, from the allocations and frees that were seen: peaks by phase, and what the peak held.

Plain figures in and out: they come from torch's profiler on a CPU and from CUDA's memory history (`profiled.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trainables.records import OutOfMemory


class Change(NamedTuple):
    """A block of memory made (`size_bytes` above 0) or freed (below) at the address `place`.

    `operation` is None where it is not known. `is_forward` says that autograd recorded the operation: work of the
    forward pass, even where checkpointing does it again in the backward pass. `source` is the address that it read
    first, `shapes` are those of all tensors that it read.
    """

    time_ns: int
    place: int
    size_bytes: int
    operation: str | None = None
    is_forward: bool = False
    source: int | None = None
    shapes: tuple[tuple[int, ...], ...] = ()


class Span(NamedTuple):
    """A phase, from its first to its last moment."""

    start_ns: int
    end_ns: int
    phase: str


class Block(NamedTuple):
    """A block that is alive: its size, and when and by what it was made; `phase` "" before the step began."""

    size_bytes: int
    phase: str
    operation: str | None = None
    is_forward: bool = False
    source: int | None = None
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProbedStep:
    """Peaks by phase in bytes, the blocks alive at the highest moment, and the moment that a cap was first exceeded."""

    phase_peaks: dict[str, int]
    peak_bytes: int
    peak_phase: str
    peak_operation: str | None
    peak_blocks: dict[int, Block]
    optimizer_blocks: dict[int, Block]
    exceeded: OutOfMemory | None

    def components(self, name_of: Callable[[int, Block, bool], str]) -> dict[str, int]:
        """Bytes of each component at the peak; `name_of(place, block, lives_until_the_optimizer)` names one's."""
        sizes: dict[str, int] = {}
        for place, block in self.peak_blocks.items():
            name = name_of(place, block, self.optimizer_blocks.get(place) is block)
            sizes[name] = sizes.get(name, 0) + block.size_bytes
        return sizes


def probed_step(
    changes: Sequence[Change], spans: Sequence[Span], live: Mapping[int, int], cap_bytes: int | None = None
) -> ProbedStep:
    """Replay the changes of a step that began with `live` (address: bytes).

    A phase's peak counts what lives when it begins. Blocks that were made before and are not in `live` are nobody's.
    """
    blocks = {place: Block(size_bytes, "") for place, size_bytes in live.items()}
    level = sum(live.values())
    ordered = sorted(changes, key=lambda change: change.time_ns)
    peaks: dict[str, int] = {}
    top, top_phase, top_operation, top_blocks = level, "load", None, dict(blocks)
    optimizer_blocks: dict[int, Block] = {}
    exceeded, position = None, 0
    for span in sorted(spans):
        operation = None
        while True:
            if position < len(ordered) and ordered[position].time_ns < span.start_ns:
                level += _apply(ordered[position], blocks, span.phase)
                position += 1
                continue
            if span.phase == "optimizer" and not optimizer_blocks:
                optimizer_blocks = dict(blocks)
            peaks[span.phase] = max(level, peaks.get(span.phase, 0))
            if level > top:
                top, top_phase, top_operation, top_blocks = level, span.phase, operation, dict(blocks)
            if position == len(ordered) or ordered[position].time_ns > span.end_ns:
                break
            change = ordered[position]
            operation = change.operation
            if exceeded is None and cap_bytes is not None and level + change.size_bytes > cap_bytes:
                exceeded = OutOfMemory(
                    phase=span.phase,
                    operation=operation,
                    requested_bytes=change.size_bytes,
                    allocated_bytes=level,
                )
            level += _apply(change, blocks, span.phase)
            position += 1
    return ProbedStep(
        phase_peaks=peaks,
        peak_bytes=top,
        peak_phase=top_phase,
        peak_operation=top_operation,
        peak_blocks=top_blocks,
        optimizer_blocks=optimizer_blocks,
        exceeded=exceeded,
    )


def _apply(change: Change, blocks: dict[int, Block], phase: str) -> int:
    """Make or free a block. Returns: by how many bytes the level changes."""
    if change.size_bytes > 0:
        blocks[change.place] = Block(change.size_bytes, phase, *change[3:])
        return change.size_bytes
    block = blocks.pop(change.place, None)
    return 0 if block is None else -block.size_bytes
