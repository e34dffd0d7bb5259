"""Which lines say nearly what an earlier one said: by the word triples that they share, in time and memory per line.

A triple that one line alone has can point at no other, and most are such: a table of counts tells them first. What is
left is kept as numbers, four bytes an occurrence.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy
from numpy.typing import NDArray

SHINGLE_WORDS = 3
SIMILARITY = 0.6
"""Jaccard similarity of word triples from which two lines count as one (assumed: it forgives one word in fifteen)."""

LEAST_SHARED = SIMILARITY / (1 + SIMILARITY) - 1e-9  # of the triples of both, counted together, in lines as similar

RUN_WORDS = 8
"""A run of as many words leads to lines too, where every triple is a common one, as in lines made by one pattern
(assumed: two lines of a dozen words that differ in the first or last have such a run in common)."""

LINES_PER_TRIPLE, LINES_PER_RUN = 32, 8
"""Lines that one triple or run leads to; one in more lines than that (an attribution, a refrain) points out no
duplicate, and following it would make the time quadratic. Near duplicates are missed only if all they share is such."""

TABLE_BITS = (16, 28)  # of the table of counts, at least and at most; eight places a triple, where there is room
CHUNK = 2**20
CACHED_LINES = 2**14  # whose triples are kept as sets
MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)

Numbers = NDArray[numpy.uint64]


class LineShingles:
    """The word triples of lines, each as a hash in 64 bits: one in 10**7 lines or more meets another's by chance."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._words = array("I")
        self._ends = array("Q", [0])

    def append(self, words: Iterable[str]) -> None:
        """Take in the words of one more line."""
        ids = self._ids
        self._words.extend([ids.setdefault(word, len(ids)) for word in words])
        self._ends.append(len(self._words))

    def near_duplicates(self, progress: Callable[[int], None] | None = None) -> list[bool]:
        """For each line whether it is close to one before it that is not so itself.

        `progress` hears how many are done. What comes later never changes what is said of an earlier line.
        """
        starts, run_starts = self._starts(SHINGLE_WORDS), self._starts(RUN_WORDS)
        hashes = numpy.empty(starts[-1] + run_starts[-1], dtype=numpy.uint64)  # one array, as it is what takes most
        triples = hashes[: starts[-1]]
        self._hash(SHINGLE_WORDS, starts, triples)
        self._hash(RUN_WORDS, run_starts, hashes[starts[-1] :])
        places, groups = _shared(hashes)
        bounds = numpy.searchsorted(places, starts), numpy.searchsorted(places, run_starts + len(triples))
        return _Follower(triples, starts, groups, bounds).follow(progress)

    def _starts(self, size: int) -> NDArray[numpy.int64]:
        """Where each line's stretches of `size` words begin among those of all, and where the last ends."""
        ends = numpy.frombuffer(self._ends, dtype=numpy.uint64).astype(numpy.int64)
        return numpy.concatenate([[0], numpy.cumsum(numpy.maximum(0, numpy.diff(ends) - size + 1))])

    def _hash(self, size: int, starts: NDArray[numpy.int64], hashes: Numbers) -> None:
        """Put the hashes of all stretches of `size` words into `hashes`, each line's where it begins in `starts`."""
        words = numpy.frombuffer(self._words, dtype=numpy.uint32)
        ends = numpy.frombuffer(self._ends, dtype=numpy.uint64).astype(numpy.int64)
        counts = numpy.diff(starts)
        for first in range(0, len(counts), CHUNK // 16):
            some = slice(first, first + CHUNK // 16)
            begins, lengths = ends[:-1][some], counts[some]
            within = numpy.arange(lengths.sum()) - numpy.repeat(numpy.cumsum(lengths) - lengths, lengths)
            at = numpy.repeat(begins, lengths) + within
            mixed = numpy.full(len(at), size, dtype=numpy.uint64)
            for place in range(size):
                mixed = (mixed + words[at + place] + numpy.uint64(1)) * MULTIPLIER
                mixed ^= mixed >> numpy.uint64(29)
            hashes[starts[first] : starts[first] + len(mixed)] = mixed


def _shared(hashes: Numbers) -> tuple[NDArray[numpy.int64], NDArray[numpy.int32]]:
    """The places in `hashes` whose value stands there more than once, and a number for the value at each."""
    least, most = TABLE_BITS
    bits = min(most, max(least, math.ceil(math.log2(8 * len(hashes) + 1))))
    shift = numpy.uint64(64 - bits)
    seen = numpy.zeros(2**bits, dtype=numpy.uint8)  # 0, 1, and 2 for more
    for start in range(0, len(hashes), CHUNK):
        slots, counts = numpy.unique(hashes[start : start + CHUNK] >> shift, return_counts=True)
        seen[slots] = numpy.minimum(2, seen[slots] + numpy.minimum(2, counts))
    parts = [
        start + (seen[hashes[start : start + CHUNK] >> shift] == 2).nonzero()[0]
        for start in range(0, len(hashes), CHUNK)
    ]
    del seen
    places = numpy.concatenate(parts) if parts else numpy.zeros(0, dtype=numpy.int64)
    _, groups, counts = numpy.unique(hashes[places], return_inverse=True, return_counts=True)
    is_shared = counts > 1  # some stood there alone and shared a place in the table
    numbers = numpy.cumsum(is_shared) - 1
    kept = is_shared[groups]
    return places[kept], numbers[groups[kept]].astype(numpy.int32)


def _joined_bits(bits: Numbers, starts: NDArray[numpy.int64]) -> Numbers:
    """The bits of each line's stretch of `bits`, all in one number."""
    joined = numpy.zeros(len(starts) - 1, dtype=numpy.uint64)
    filled = (starts[1:] > starts[:-1]).nonzero()[0]
    if len(filled):
        joined[filled] = numpy.bitwise_or.reduceat(bits, starts[filled])
    return joined


class _Follower:
    """Goes through the lines in order and follows what they share to the kept lines that have it."""

    def __init__(
        self,
        triples: Numbers,
        starts: NDArray[numpy.int64],
        groups: NDArray[numpy.int32],
        bounds: tuple[NDArray[numpy.int64], NDArray[numpy.int64]],
    ) -> None:
        """`groups` numbers what is shared; `bounds` says where each line's shared triples stand in it, and its runs."""
        self._triples, self._starts = triples, starts
        self._groups, self._bounds = groups, bounds
        room = numpy.minimum(numpy.bincount(groups), LINES_PER_TRIPLE) if len(groups) else groups
        # Of each group: where its lines stand in `_lines`, and how many stand there.
        self._firsts = array("q", (numpy.cumsum(room) - room).astype(numpy.int64).tobytes())
        self._counts = bytearray(len(room))
        self._lines = array("i", bytes(4 * int(room.sum())))
        bits = numpy.uint64(1) << (triples >> numpy.uint64(58))
        self._sketches = array("Q", _joined_bits(bits, starts).tobytes())  # of 64 bits, one for each triple of a line
        self._sizes = array("I", bytes(4 * (len(starts) - 1)))
        self._cached = functools.lru_cache(maxsize=CACHED_LINES)(self._shingles)

    def follow(self, progress: Callable[[int], None] | None) -> list[bool]:
        """For each line whether a kept one before it is close to it."""
        found = []
        for line, (start, end, run_start, run_end) in enumerate(self._stretches()):
            triples = set(self._groups[start:end].tolist()) if end > start else ()
            runs = set(self._groups[run_start:run_end].tolist()) if run_end > run_start else ()
            is_close = bool(triples) and self._is_close(line, triples, runs)
            if not is_close:
                self._keep(line, triples, LINES_PER_TRIPLE)
                self._keep(line, runs, LINES_PER_RUN)
            found.append(is_close)
            if progress is not None:
                progress(line + 1)
        return found

    def _stretches(self) -> Iterator[tuple[int, int, int, int]]:
        """Where each line's shared triples begin and end, and its shared runs."""
        triples, runs = self._bounds
        for first in range(0, len(triples) - 1, CHUNK // 16):  # some at a time, as numbers of Python take much room
            last = min(first + CHUNK // 16, len(triples) - 1)
            bounds = (triples[first:last], triples[first + 1 : last + 1], runs[first:last], runs[first + 1 : last + 1])
            yield from zip(*(bound.tolist() for bound in bounds), strict=True)

    def _is_close(self, line: int, triples: Iterable[int], runs: Iterable[int]) -> bool:
        met, common = self._met(triples, LINES_PER_TRIPLE)
        led_to, _ = self._met(runs, LINES_PER_RUN)
        if not met and not led_to:
            return False
        own, sketches, sizes = self._cached(line), self._sketches, self._sizes
        size, sketch = len(own), sketches[line]
        # What it shares of common triples does not show in the counts, nor what shares a bit in a sketch.
        least = LEAST_SHARED * (size + size * SIMILARITY) - common
        others = {other for other, count in Counter(met).items() if count >= least}
        others.update(led_to)
        doubled = size - sketch.bit_count()
        for other in others:
            if not sizes[other]:
                sizes[other] = len(self._cached(other))
            least = LEAST_SHARED * (size + sizes[other])
            if (sketch & sketches[other]).bit_count() + doubled >= least and len(own & self._cached(other)) >= least:
                return True
        return False

    def _met(self, groups: Iterable[int], most: int) -> tuple[list[int], int]:
        """The kept lines that `groups` lead to, as often as they do, and how many groups lead nowhere any more."""
        firsts, counts, lines = self._firsts, self._counts, self._lines
        common, met = 0, []
        for group in groups:
            count = counts[group]
            if count == most:
                common += 1
            elif count:
                met += lines[firsts[group] : firsts[group] + count]
        return met, common

    def _keep(self, line: int, groups: Iterable[int], most: int) -> None:
        for group in groups:
            count = self._counts[group]
            if count < most:
                self._lines[self._firsts[group] + count] = line
                self._counts[group] = count + 1

    def _shingles(self, line: int) -> set[int]:
        return set(self._triples[self._starts[line] : self._starts[line + 1]].tolist())
