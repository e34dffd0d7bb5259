"""PyTorch's out-of-memory message, matched with a traced step: which tensor had no room."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from data.errors import UserError
from trainables.memory.tracing.timeline import MemoryTrace

SIZE = r"([\d.]+) (bytes|KiB|MiB|GiB)"
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# As torch words it, to 2.0 and from 2.1 on. Source: malloc and format_size, c10/cuda/CUDACachingAllocator.cpp.
PATTERNS = {
    "requested_bytes": (rf"Tried to allocate {SIZE}",),
    "total_bytes": (rf"total capacity of {SIZE}", rf"{SIZE} total capacity"),
    "free_bytes": (rf"of which {SIZE} is free", rf"{SIZE} free"),
    "allocated_bytes": (rf"{SIZE} is allocated by PyTorch", rf"{SIZE} already allocated"),
    "reserved_bytes": (rf"{SIZE} reserved in total by PyTorch",),
    "unallocated_bytes": (rf"{SIZE} is reserved by PyTorch but unallocated",),
}


@dataclass(frozen=True, kw_only=True)
class OomMessage:
    """The figures of a message in bytes, as exact as it writes them; None for what it leaves out."""

    requested_bytes: int
    total_bytes: int | None
    free_bytes: int | None
    allocated_bytes: int | None
    reserved_bytes: int | None


def read_message(text: str) -> OomMessage:
    """The figures of PyTorch's message. Raises: UserError where there is no request in it."""
    found = {name: _first(patterns, text) for name, patterns in PATTERNS.items()}
    requested = found["requested_bytes"]
    if requested is None:
        raise UserError("oom: it has no 'Tried to allocate ...'; give PyTorch's whole message in quotes.")
    allocated, unallocated = found["allocated_bytes"], found["unallocated_bytes"]
    reserved = found["reserved_bytes"]
    if reserved is None and allocated is not None and unallocated is not None:
        reserved = allocated + unallocated
    return OomMessage(
        requested_bytes=requested,
        total_bytes=found["total_bytes"],
        free_bytes=found["free_bytes"],
        allocated_bytes=allocated,
        reserved_bytes=reserved,
    )


def held_against(message: OomMessage, trace: MemoryTrace) -> dict[str, Any]:
    """The requests of a step that the message may mean: of its size, nearest to what it says was allocated.

    Returns: the message's figures and `request`, None where the step makes no request of that size: then the settings
    are not those of the run. `allocated_bytes` of a request is what the step had allocated before it.
    """
    candidates = [
        (before, trace.allocations[event])
        for event, before in zip(trace.events, _levels_before(trace), strict=True)
        if event >= 0 and _shown(trace.allocations[event].size_bytes) == _shown(message.requested_bytes)
    ]
    figures = {name: getattr(message, name) for name in OomMessage.__dataclass_fields__}
    if not candidates:
        return figures | {"request": None}
    stated = message.allocated_bytes
    before, block = min(candidates, key=lambda pair: 0 if stated is None else abs(pair[0] - stated))
    return figures | {
        "request": {
            "phase": block.phase,
            "operation": block.operation,
            "component": block.component,
            "requested_bytes": block.size_bytes,
            "allocated_bytes": before,
            "requests_of_this_size": len(candidates),
        }
    }


def _levels_before(trace: MemoryTrace) -> list[int]:
    return [0, *list(trace.levels())[:-1]]


def _first(patterns: tuple[str, ...], text: str) -> int | None:
    for pattern in patterns:
        match = re.search(pattern, text)
        if match is not None:
            return round(float(match[1]) * UNITS[match[2]])
    return None


def _shown(size_bytes: int) -> str:
    """A size as torch writes it: two decimals of the largest unit that it reaches."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes >= UNITS[unit]:
            return f"{size_bytes / UNITS[unit]:.2f} {unit}"
    return f"{size_bytes} bytes"
