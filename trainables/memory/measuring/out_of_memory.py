"""What an out-of-memory error says about its moment."""

from __future__ import annotations

import re
import traceback

from trainables.records.record import OutOfMemory

# Source: c10/cuda/CUDACachingAllocator.cpp, torch 2.13: sizes are given in bytes, KiB, MiB or GiB with two decimals.
SIZE = r"([\d.]+) (bytes|KiB|MiB|GiB)"
REQUESTED = re.compile(rf"Tried to allocate {SIZE}")
ALLOCATED = re.compile(rf"Of the allocated memory {SIZE} is allocated by PyTorch")
UNALLOCATED = re.compile(rf"and {SIZE} is reserved by PyTorch but unallocated")
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
LONGEST_LINE = 160
# What says so without being torch's OutOfMemoryError: the driver itself, and libraries that ask it for a handle's room.
OUTSIDE = re.compile(
    r"CUDA error: out of memory|CU(BLAS|DNN|SOLVER)_STATUS_ALLOC_FAILED|NCCL .*out of memory", re.DOTALL
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a CUDA device is full."""
    return "CUDA out of memory" in str(error) or OUTSIDE.search(str(error)) is not None


def cuda_moment(error: BaseException, phase: str) -> OutOfMemory:
    """The moment of a CUDA out-of-memory error, as far as its message tells; sizes to two decimals of their unit.

    The operation is the line of Python that asked: the backward pass is one line, whatever asked within it.
    """
    text = str(error)
    requested, allocated, unallocated = (_bytes(p.search(text)) for p in (REQUESTED, ALLOCATED, UNALLOCATED))
    frames = traceback.extract_tb(error.__traceback__)
    return OutOfMemory(
        phase=phase,
        operation=(frames[-1].line or frames[-1].name)[:LONGEST_LINE] if frames else None,
        requested_bytes=requested,
        allocated_bytes=allocated,
        reserved_bytes=None if allocated is None or unallocated is None else allocated + unallocated,
    )


def _bytes(found: re.Match[str] | None) -> int | None:
    return None if found is None else round(float(found[1]) * UNITS[found[2]])
