"""Allocations and frees of a real step: from torch's profiler on a CPU, from CUDA's memory history on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from trainables.memory.probe import Change, Span
from trainables.memory.timeline import CUDA_BLOCK_BYTES, round_up

PHASE = "phase:"
HISTORY_ENTRIES = 1_000_000  # assumed: far more than a step of the largest model makes
# Wrappers that only ask for memory: what is told is the operation that called them.
PLAIN = ("aten::empty", "aten::empty_strided", "aten::empty_like", "aten::zeros", "aten::resize_")


def profiled_changes(profile: torch.profiler.profile) -> tuple[list[Change], list[Span]]:
    """The changes and phases in a CPU profile taken with `profile_memory=True` and `record_shapes=True`.

    Source: kineto's event tree, whose allocation events hold address and bytes, below 0 for a free; torch 2.13.
    """
    results: Any = profile.profiler.kineto_results  # type: ignore[union-attr]
    changes: list[Change] = []
    spans: list[Span] = []
    stack: list[tuple[Any, tuple[Any, ...]]] = [(e, (None, False, None, ())) for e in results.experimental_event_tree()]
    while stack:
        event, made_by = stack.pop()
        if event.name == "[memory]":
            fields = event.extra_fields
            changes.append(Change(event.start_time_ns, fields.ptr, fields.alloc_size, *made_by))
        elif event.name.startswith(PHASE):
            spans.append(Span(event.start_time_ns, event.end_time_ns, event.name.removeprefix(PHASE)))
        elif event.name.startswith(("aten::", "torch_nn::")) and event.name not in PLAIN:
            # Autograd numbers the operations that it records; those of a plain backward pass have none.
            is_forward = made_by[1] or event.extra_fields.sequence_number >= 0
            made_by = (event.name.split("::", 1)[1], is_forward, *_tensors_read(event.extra_fields.inputs))
        stack.extend((child, made_by) for child in event.children)
    return changes, spans


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
