"""What one step did to memory, from the allocations and frees that were seen: peaks by phase, and what the peak held.

Plain figures in and out: they come from torch's profiler on a CPU and from CUDA's memory history (`profiled.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from trainables.memory.tracing.timeline import CUDA_BLOCK_BYTES, round_up
from trainables.records.record import OutOfMemory


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


PHASE = "phase:"
HISTORY_ENTRIES = 1_000_000  # assumed: far more than a step of the largest model makes
EXCHANGE = "exchange"  # between workers
# Wrappers that only ask for memory: what counts is the operation that called them.
PLAIN = ("aten::empty", "aten::empty_strided", "aten::empty_like", "aten::zeros", "aten::resize_")


def profiled_changes(profile: torch.profiler.profile) -> tuple[list[Change], list[Span]]:
    """The changes and phases in a CPU profile taken with `profile_memory=True` and `record_shapes=True`.

    What exchanging with other workers takes is left out: Gloo's copies, of which more or fewer are there by chance,
    and on a GPU none. It makes them in `c10d` operations and in threads of its own.
    Source: kineto's event tree, whose allocation events hold address and bytes, below 0 for a free; torch 2.13.
    """
    results: Any = profile.profiler.kineto_results  # type: ignore[union-attr]
    changes: list[tuple[int, Change]] = []
    spans: list[Span] = []
    training_threads: set[int] = set()
    stack: list[tuple[Any, tuple[Any, ...]]] = [(e, (None, False, None, ())) for e in results.experimental_event_tree()]
    while stack:
        event, made_by = stack.pop()
        if event.name == "[memory]":
            fields = event.extra_fields
            if fields.alloc_size < 0 or made_by[0] != EXCHANGE:
                change = Change(event.start_time_ns, fields.ptr, fields.alloc_size, *made_by)
                changes.append((event.start_tid, change))
        elif event.name.startswith(PHASE):
            spans.append(Span(event.start_time_ns, event.end_time_ns, event.name.removeprefix(PHASE)))
            training_threads.add(event.start_tid)
        elif event.name.startswith("c10d::"):
            made_by = (EXCHANGE, *made_by[1:])
        elif made_by[0] != EXCHANGE and event.name.startswith(("aten::", "torch_nn::")) and event.name not in PLAIN:
            # Autograd numbers the operations that it records; those of a plain backward pass have none.
            is_forward = made_by[1] or event.extra_fields.sequence_number >= 0
            made_by = (event.name.split("::", 1)[1], is_forward, *_tensors_read(event.extra_fields.inputs))
        stack.extend((child, made_by) for child in event.children)
    return [change for thread, change in changes if change.size_bytes < 0 or thread in training_threads], spans


def history_changes(trace: Sequence[dict[str, Any]]) -> list[Change]:
    """The changes in one device's memory history, each block rounded up as CUDA's allocator does.

    Source: "device_traces" of `torch.cuda.memory._snapshot()`, torch 2.11 and 2.13.
    """
    signs = {"alloc": 1, "free_completed": -1}
    return [
        Change(
            entry["time_us"] * 1000,
            entry["addr"],
            signs[entry["action"]] * round_up(entry["size"], CUDA_BLOCK_BYTES),
            *_asked_by([frame["name"] for frame in entry.get("frames", ())]),
        )
        for entry in trace
        if entry["action"] in signs
    ]


def _asked_by(functions: Sequence[str]) -> tuple[str | None, bool]:
    """The innermost Python function, or the one of attention around it; and whether a module's forward pass asked.

    Autograd's own thread has no Python functions, save where checkpointing repeats a forward pass in it.
    """
    innermost = functions[0] if functions else None
    return next((name for name in functions if "attention" in name), innermost), "forward" in functions


def _tensors_read(inputs: Sequence[Any]) -> tuple[int | None, tuple[tuple[int, ...], ...]]:
    """Where the storage of an operation's first tensor lies, and the shapes of all."""
    tensors = [item for item in inputs if hasattr(item, "storage_data_ptr")]
    return tensors[0].storage_data_ptr if tensors else None, tuple(tuple(tensor.sizes) for tensor in tensors)


@contextlib.contextmanager
def memory_history(device: torch.device) -> Iterator[list[dict[str, Any]]]:
    """Record what CUDA's allocator does in the enclosed work; the list is filled at its end.

    Stacks of allocations only: with those of frees, the exception by which checkpointing ends a repeated forward pass
    early is lost, and the backward pass fails (torch 2.11).
    """
    trace: list[dict[str, Any]] = []
    torch.cuda.memory._record_memory_history("all", context="alloc", stacks="python", max_entries=HISTORY_ENTRIES)
    try:
        yield trace
        torch.cuda.synchronize(device)
        snapshot: dict[str, Any] = dict(torch.cuda.memory._snapshot(device))
        trace.extend(snapshot["device_traces"][device.index or 0])
    finally:
        torch.cuda.memory._record_memory_history(None)
