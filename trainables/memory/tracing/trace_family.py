"""A step's traces at every micro-batch and length, from those of a few: the same events, other sizes.

The bytes of a tensor of a step are a constant, plus so many a sequence, each so many a token and a pair of tokens,
where the kernels round a length up to a multiple of their own. So a few traces give the numbers, and two more must
agree: one whose length no rounding leaves alone, which tells the roundings apart, and one elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trainables.memory.tracing.timeline import CHUNKED, Allocation, MemoryTrace

Point = tuple[int, int]  # micro-batch size, sequence length
Sizes = np.ndarray  # of int64, one number an allocation

ROUNDINGS = (1, 8, 16, 32, 64, 128)  # the multiples to which kernels round lengths
# The lengths that are traced are multiples of 128, so that no rounding changes them; more than a few chunks long.
SHORT, MIDDLE, LONGEST = 256, 384, 2048
ODD_LENGTH = SHORT + 1  # which every rounding but the first changes, each to a length of its own
SHORTEST = 512  # positions of a model whose traces this gives
SMALLEST_BATCH = 2  # from which on the events are the same: a single sequence is spared copies that two need


class StepsDifferError(Exception):
    """The traces do not give the others: another tensor comes or goes, or grows as no length does."""


def nodes(attention: str, positions: int) -> list[Point]:
    """The micro-batches and lengths to trace. Raises: StepsDifferError for a model of too few positions."""
    if positions < SHORTEST:
        raise StepsDifferError(f"a model of {positions} positions has no length between.")
    return [(size, length) for size in (1, 2, 3) for length in _lengths(attention, positions)] + [
        (1, ODD_LENGTH),
        (2, ODD_LENGTH),
        _check_point(positions),
    ]


def _lengths(attention: str, positions: int) -> tuple[int, ...]:
    longest = min(positions, LONGEST) // 128 * 128
    return (SHORT, MIDDLE, longest) if attention == "eager" else (SHORT, longest)


def _check_point(positions: int) -> Point:
    return 5, min(positions, LONGEST) // 2 + 72


class TraceFamily:
    """The traces of one step by micro-batch and length.

    `traced` gives the trace at each of `nodes`; `chunk` the tokens of a chunk of the fused loss, of all tokens.
    Raises: StepsDifferError where the traces do not give the others.
    """

    def __init__(
        self, traced: Callable[[Point], MemoryTrace], attention: str, positions: int, chunk: Callable[[int], int]
    ) -> None:
        wanted = nodes(attention, positions)
        traces = {point: traced(point) for point in wanted}
        lengths = _lengths(attention, positions)
        self._traced, self._chunk = traced, chunk
        single = {point: trace for point, trace in traces.items() if point[0] == 1}
        several = {point: trace for point, trace in traces.items() if point[0] > 1}
        self._single = _Kin(single, (1,), lengths, chunk)
        self._several = _Kin(several, (2, 3), lengths, chunk)

    def at(self, micro_batch_size: int, sequence_length: int) -> MemoryTrace:
        """The trace there; one of so few tokens that the fused loss does not cut them is asked for."""
        kin = self._single if micro_batch_size < SMALLEST_BATCH else self._several
        if kin.is_chunked and not self._chunk(micro_batch_size * sequence_length):
            return self._traced((micro_batch_size, sequence_length))
        return kin.at(micro_batch_size, sequence_length)


class _Kin:
    """Traces of the same events: for each allocation, how its bytes follow from micro-batch and length."""

    def __init__(
        self,
        traces: Mapping[Point, MemoryTrace],
        batches: Sequence[int],
        lengths: Sequence[int],
        chunk: Callable[[int], int],
    ) -> None:
        self._first = first = next(iter(traces.values()))
        if any(trace.events != first.events for trace in traces.values()):
            raise StepsDifferError("the traces differ in their events.")
        self._labels = [a[1:] for a in first.allocations]
        self._chunk = chunk
        self._chunked = np.array([a.operation == CHUNKED for a in first.allocations])
        self.is_chunked = bool(self._chunked.any())
        if self.is_chunked and not all(chunk(size * length) for size, length in traces):
            raise StepsDifferError("the fused loss does not cut so few tokens.")
        sizes = {point: np.array([a.size_bytes for a in t.allocations], dtype=np.int64) for point, t in traces.items()}
        size, length = point = next(iter(sizes))
        self._token_bytes = np.where(self._chunked, sizes[point] // max(1, chunk(size * length)), 0)
        low = _by_length([sizes[batches[0], length] for length in lengths], lengths, ~self._chunked)
        if len(batches) > 1:
            high = _by_length([sizes[batches[1], length] for length in lengths], lengths, ~self._chunked)
            a_sequence = [b - a for a, b in zip(low, high, strict=True)]
            fixed = [a - batches[0] * more for a, more in zip(low, a_sequence, strict=True)]
        else:
            fixed, a_sequence = low, [np.zeros_like(low[0])] * len(low)
        self._fixed, self._a_sequence = fixed, a_sequence
        self._roundings = np.zeros(len(self._labels), dtype=np.int64)
        odd = next(point for point in sizes if point[1] == ODD_LENGTH)
        self._roundings = self._told_by(odd, sizes[odd])
        for point, known in sizes.items():
            if not np.array_equal(self._sizes(*point), known):
                raise StepsDifferError(f"a tensor at {point[0]} x {point[1]} tokens is not as those elsewhere tell.")

    def at(self, micro_batch_size: int, sequence_length: int) -> MemoryTrace:
        sizes = self._sizes(micro_batch_size, sequence_length).tolist()
        allocations = tuple(Allocation(size, *labels) for size, labels in zip(sizes, self._labels, strict=True))
        return MemoryTrace(allocations=allocations, events=self._first.events, block_bytes=self._first.block_bytes)

    def _sizes(self, micro_batch_size: int, sequence_length: int) -> Sizes:
        rounded = np.array([-(-sequence_length // multiple) * multiple for multiple in ROUNDINGS])[self._roundings]
        size_bytes = np.zeros(len(self._labels), dtype=np.int64)
        for power, (fixed, more) in enumerate(zip(self._fixed, self._a_sequence, strict=True)):
            size_bytes += (fixed + micro_batch_size * more) * rounded**power
        chunk_bytes = self._token_bytes * self._chunk(micro_batch_size * sequence_length)
        return np.where(self._chunked, chunk_bytes, size_bytes)

    def _told_by(self, point: Point, known: Sizes) -> np.ndarray:
        """For each allocation, the place in `ROUNDINGS` of the first that gives its size at a length of no multiple."""
        told = np.full(len(self._labels), -1)
        for place in range(len(ROUNDINGS)):
            self._roundings[:] = place
            told = np.where((told < 0) & (self._sizes(*point) == known), place, told)
        if (told < 0).any():
            raise StepsDifferError(f"a tensor at {point[0]} x {point[1]} tokens follows no rounding that is known.")
        return told


def _by_length(sizes: Sequence[Sizes], lengths: Sequence[int], counted: np.ndarray) -> list[Sizes]:
    """The numbers c of `c0 + c1 x length + c2 x length squared` through two or three sizes, where `counted`."""
    sizes = [np.where(counted, size, 0) for size in sizes]
    (first, second, *_), (start, end, *_) = sizes, lengths
    square = np.zeros_like(first)
    if len(sizes) > 2:
        third, far = sizes[2], lengths[2]
        bend = (third - second) * (end - start) - (second - first) * (far - end)
        square = _whole(bend, (far - end) * (end - start) * (far - start))
    slope = _whole(second - first, end - start) - square * (start + end)
    return [first - slope * start - square * start**2, slope, square]


def _whole(dividend: np.ndarray, divisor: int) -> np.ndarray:
    quotient, rest = np.divmod(dividend, divisor)
    if rest.any():
        raise StepsDifferError("a tensor grows by parts of a byte a token.")
    return quotient
