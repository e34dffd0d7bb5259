"""A trace replayed through the rules of PyTorch's CUDA caching allocator: what is reserved, and what fits.

Source: c10/cuda/CUDACachingAllocator.cpp, torch 2.13, one stream, default settings. Requests are rounded to 512 bytes.
Up to 1 MiB they come from segments of 2 MiB, below 10 MiB from segments of 20 MiB, larger ones from a segment of their
own, rounded to 2 MiB. The smallest free block that holds a request is taken and split; freed neighbours join. When the
card is full, segments that are wholly free go back to it, and the request is tried once more.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from trainables.memory.tracing.timeline import MemoryTrace, round_up

MIB = 2**20
BLOCK_BYTES = 512
SMALL_REQUEST_BYTES = 1 * MIB
SMALL_SEGMENT_BYTES = 2 * MIB
MEDIUM_SEGMENT_BYTES = 20 * MIB
LARGE_REQUEST_BYTES = 10 * MIB
LARGE_SEGMENT_STEP_BYTES = 2 * MIB


class OutOfMemoryError(Exception):
    """The card cannot hold a request, even after unused segments went back to it."""


@dataclass(eq=False)
class Block:
    """A stretch of a segment, handed out or free, between its neighbours in the same segment."""

    address: int
    size: int
    is_small: bool
    free: bool = True
    before: Block | None = None
    after: Block | None = None


@dataclass
class CachingAllocator:
    """The allocator's state. `capacity_bytes` bounds what it may reserve; None is no bound.

    Of free blocks of one size the lowest address is taken, and where the driver puts a segment is not known: with
    `addresses` None each lies above the last, else they are drawn.
    """

    capacity_bytes: int | None = None
    addresses: random.Random | None = None
    allocated_bytes: int = 0
    reserved_bytes: int = 0
    peak_allocated_bytes: int = 0
    peak_reserved_bytes: int = 0
    retries: int = 0
    _free: dict[bool, list[tuple[int, int]]] = field(default_factory=lambda: {True: [], False: []})
    _by_address: dict[int, Block] = field(default_factory=dict)
    _next_address: int = 0

    def allocate(self, size_bytes: int) -> Block:
        """A block for a request. Raises: OutOfMemoryError when the capacity does not hold it."""
        size = round_up(size_bytes, BLOCK_BYTES)
        is_small = size <= SMALL_REQUEST_BYTES
        block = self._take_best_fit(is_small, size) or self._new_segment(is_small, size)
        remainder = block.size - size
        if remainder >= BLOCK_BYTES if is_small else remainder > SMALL_REQUEST_BYTES:
            self._split(block, size)
        block.free = False
        self.allocated_bytes += block.size
        self.peak_allocated_bytes = max(self.peak_allocated_bytes, self.allocated_bytes)
        return block

    def release(self, block: Block) -> None:
        """Give a block back; it joins free neighbours and is kept for later requests."""
        self.allocated_bytes -= block.size
        block.free = True
        before, after = block.before, block.after
        if before is not None and before.free:
            self._remove(before)
            self._join(before, block)
            block = before
        if after is not None and after.free:
            self._remove(after)
            self._join(block, after)
        self._insert(block)

    def release_unused_segments(self) -> None:
        """Give every segment that is one free block back to the card, as `torch.cuda.empty_cache` does."""
        for entries in self._free.values():
            for _, address in list(entries):
                block = self._by_address[address]
                if block.before is None and block.after is None:
                    self._remove(block)
                    self.reserved_bytes -= block.size

    def _take_best_fit(self, is_small: bool, size: int) -> Block | None:
        entries = self._free[is_small]
        position = bisect_left(entries, (size, -1))
        if position == len(entries):
            return None
        block = self._by_address[entries[position][1]]
        self._remove(block)
        return block

    def _new_segment(self, is_small: bool, size: int) -> Block:
        if is_small:
            segment_bytes = SMALL_SEGMENT_BYTES
        elif size < LARGE_REQUEST_BYTES:
            segment_bytes = MEDIUM_SEGMENT_BYTES
        else:
            segment_bytes = round_up(size, LARGE_SEGMENT_STEP_BYTES)
        if self._is_over(segment_bytes):
            self.retries += 1
            self.release_unused_segments()
            if self._is_over(segment_bytes):
                raise OutOfMemoryError(
                    f"{size} bytes were asked for; {self.allocated_bytes} are allocated, {self.reserved_bytes}"
                    f" reserved, {self.capacity_bytes} is the capacity."
                )
        self.reserved_bytes += segment_bytes
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, self.reserved_bytes)
        above = 0 if self.addresses is None else self.addresses.getrandbits(24) << 48
        block = Block(above + self._next_address, segment_bytes, is_small)
        self._next_address += segment_bytes
        return block

    def _is_over(self, more_bytes: int) -> bool:
        return self.capacity_bytes is not None and self.reserved_bytes + more_bytes > self.capacity_bytes

    def _split(self, block: Block, size: int) -> None:
        rest = Block(block.address + size, block.size - size, block.is_small, before=block, after=block.after)
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        self._insert(rest)

    def _join(self, block: Block, after: Block) -> None:
        block.size += after.size
        block.after = after.after
        if after.after is not None:
            after.after.before = block

    def _insert(self, block: Block) -> None:
        insort(self._free[block.is_small], (block.size, block.address))
        self._by_address[block.address] = block

    def _remove(self, block: Block) -> None:
        entries = self._free[block.is_small]
        del entries[bisect_left(entries, (block.size, block.address))]
        del self._by_address[block.address]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The request that a card could not hold, and what was held at that moment, in bytes."""

    event: int
    phase: str
    operation: str
    requested_bytes: int
    allocated_bytes: int
    reserved_bytes: int


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What the allocator did with a trace. After a refusal the figures are those up to it.

    `block_sizes` are the bytes that each allocation took, up to 1 MiB more than asked for where a block is not split.
    """

    allocated_bytes: int
    reserved_bytes: int
    retries: int
    refusal: Refusal | None
    block_sizes: tuple[int, ...]

    @property
    def fits(self) -> bool:
        """Whether every request was met."""
        return self.refusal is None


def replay(
    trace: MemoryTrace,
    capacity_bytes: int | None = None,
    addresses: random.Random | None = None,
    levels: list[int] | None = None,
) -> Replay:
    """Put a CUDA trace's events through the allocator; time grows as events x log(free blocks).

    `capacity_bytes` is what the process may reserve: the card's memory less the context and other processes.
    `addresses` draws where segments lie; `levels` takes the bytes reserved after each event.
    """
    allocator = CachingAllocator(capacity_bytes, addresses)
    blocks: list[Block | None] = [None] * len(trace.allocations)
    sizes = [0] * len(trace.allocations)
    refusal = None
    for position, event in enumerate(trace.events):
        if levels is not None and position:
            levels.append(allocator.reserved_bytes)
        if event < 0:
            block = blocks[~event]
            assert block is not None
            allocator.release(block)
            blocks[~event] = None
            continue
        try:
            block = allocator.allocate(trace.allocations[event].size_bytes)
        except OutOfMemoryError:
            refusal = Refusal(
                event=position,
                phase=trace.allocations[event].phase,
                operation=trace.allocations[event].operation,
                requested_bytes=trace.allocations[event].size_bytes,
                allocated_bytes=allocator.allocated_bytes,
                reserved_bytes=allocator.reserved_bytes,
            )
            break
        blocks[event] = block
        sizes[event] = block.size
    if levels is not None:
        levels.append(allocator.reserved_bytes)
    return Replay(
        allocated_bytes=allocator.peak_allocated_bytes,
        reserved_bytes=allocator.peak_reserved_bytes,
        retries=allocator.retries,
        refusal=refusal,
        block_sizes=tuple(sizes),
    )
