"""Novelty: what of a text the training set has already, in long spans, in short ones, and from a single line.

Human lines share words with one another too (quotations, set phrases), so only what goes beyond them counts.
Sources: Carlini et al. 2023, "Quantifying memorization" (verbatim spans of the training set); Lu et al. 2025, "AI as
humanity's Salieri" (the share of words in no span that is known, for spans short and long, against that of human text);
McCoy et al. 2023, "RAVEN" (novelty of short n-grams); Lin 2004, "ROUGE" (pairs of words with a gap between them, which
outlast words that are put in, left out or changed).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from trainables.quality.words import Integers, joined

SPAN_WORDS = 7
"""Words of a span that counts as verbatim. Measured on the shipped quotes: held-out lines are covered by such spans to
3%, by spans of six words to 5%, of four to 18%."""

COPIED_SHARE = 0.5  # a text covered to more than this is a copy; assumed, and never below what human lines reach
SHORT_SPANS = (2, 3, 4)
"""Words of the spans in which some of a text's words should not stand: a chain of pairs, or spans set end to end, has
none. Measured on the shipped quotes: 22%, 57% and 82% of held-out lines' words stand in no such span."""

PAIR_REACH = 3  # words from the first of a pair to the second at most
OVERLAP_SHARE = 0.4
"""A text that has more than this of its pairs from one training line is a near copy, such as a line with every fourth
word changed (0.5 of them). Measured on the shipped quotes: 95 in 100 held-out lines have less than 0.38."""

LINES_PER_PAIR = 32
"""Training lines that a pair may stand in: one that more have, such as "of … the", points out no line and is left
alone (assumed). It also bounds the time."""

MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)
UNKNOWN = 0
CHUNK = 2**20  # words that are looked at at once: bounds what stands beside the index


class TrainingIndex:
    """What a training set holds: its spans, long and short, and which lines each of its pairs of words stands in."""

    def __init__(self, lines: Iterable[str]) -> None:
        """`lines`: the words of each training line, with single spaces."""
        self._ids: dict[str, int] = {}
        self._short: set[str] = set()
        flat, ends = array("I"), array("q")
        ids = self._ids
        for line in lines:
            words = line.split()
            if len(words) < SPAN_WORDS:
                self._short.add(" ".join(words))
            flat.extend([ids.setdefault(word, len(ids) + 1) for word in words])
            ends.append(len(flat))
        self._size = len(ends)
        words = numpy.frombuffer(flat, dtype=numpy.uint32)
        lengths = numpy.diff(numpy.frombuffer(ends, dtype=numpy.int64), prepend=0)
        owner = numpy.repeat(numpy.arange(len(lengths), dtype=numpy.int32), lengths)
        self._known = {size: _different(_ngrams(words, owner, size)[1]) for size in (*SHORT_SPANS, SPAN_WORDS)}
        self._pairs, self._pair_lines = _sorted_pairs(words, owner)

    def covered_shares(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """The share of each line's words that lie in a long span of the training set; 0 for a line of no words."""
        covered = self.covered_words(lines, SPAN_WORDS)
        shares = covered / numpy.maximum(1, [len(line) for line in lines])
        return numpy.where([" ".join(line) in self._short for line in lines], 1.0, shares)

    def covered_words(self, lines: Sequence[Sequence[str]], words: int) -> Integers:
        """How many of each line's words lie in a span of `words` words that the training set has."""
        flat, owner = self._flat(lines)
        found = numpy.zeros(len(flat), dtype=bool)
        starts, spans = _ngrams(flat, owner, words)
        hits = starts[_among(spans, self._known[words])]
        for place in range(words):
            found[hits + place] = True
        return numpy.bincount(owner[found], minlength=len(lines))

    def overlap_shares(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """The largest share of each line's pairs that one training line has; 0 for a line without any.

        A pair is two words in their order, `PAIR_REACH` words apart at most, each once a line.
        """
        flat, owner = self._flat(lines)
        pairs, of_line = _pairs(flat, owner)
        first = numpy.searchsorted(self._pairs, pairs, side="left")
        counts = numpy.searchsorted(self._pairs, pairs, side="right") - first
        telling = counts <= LINES_PER_PAIR
        first, counts, of_line = first[telling], counts[telling], of_line[telling]
        # Every (pair of a line, training line that has it): the ranges first .. first + counts, end to end.
        ends = numpy.cumsum(counts)
        within = numpy.arange(ends[-1] if len(ends) else 0) - numpy.repeat(ends - counts, counts)
        sources = self._pair_lines[numpy.repeat(first, counts) + within]
        met, times = numpy.unique(numpy.repeat(of_line, counts) * self._size + sources, return_counts=True)
        most = numpy.zeros(len(lines), dtype=numpy.int64)
        numpy.maximum.at(most, met // max(1, self._size), times)
        return most / numpy.maximum(1, numpy.bincount(of_line, minlength=len(lines)))

    def _flat(self, lines: Sequence[Sequence[str]]) -> tuple[NDArray[numpy.uint64], Integers]:
        flat, owner = joined([self._ids.get(word, UNKNOWN) for word in line] for line in lines)
        return flat.astype(numpy.uint64), owner


def _ngrams(flat: NDArray[Any], owner: NDArray[Any], words: int) -> tuple[Integers, NDArray[numpy.uint64]]:
    """Where each n-gram within one line starts, and a hash of it in 64 bits that wrap round."""
    count = max(0, len(flat) - words + 1)
    places = (owner[:count] == owner[words - 1 :][:count]).nonzero()[0]
    hashes = numpy.empty(len(places), dtype=numpy.uint64)
    for first in range(0, len(places), CHUNK):
        some = places[first : first + CHUNK]
        mixed = numpy.zeros(len(some), dtype=numpy.uint64)
        for place in range(words):
            mixed = _mixed(mixed, flat[some + place])
        hashes[first : first + len(some)] = mixed
    return places, hashes


def _pairs(flat: NDArray[numpy.uint64], owner: Integers) -> tuple[NDArray[numpy.uint64], Integers]:
    """A hash of each pair of words that stand near in one line, each once a line, and the number of that line."""
    pairs, of_line = _all_pairs(flat, owner)
    order = numpy.lexsort((pairs, of_line))
    pairs, of_line = pairs[order], of_line[order]
    once = numpy.ones(len(pairs), dtype=bool)
    once[1:] = (pairs[1:] != pairs[:-1]) | (of_line[1:] != of_line[:-1])
    return pairs[once], of_line[once]


def _sorted_pairs(flat: NDArray[Any], owner: NDArray[Any]) -> tuple[NDArray[numpy.uint64], NDArray[Any]]:
    """The pairs of `_pairs` in ascending order, each beside its line; lines ascend where pairs are equal."""
    pairs, of_line = _all_pairs(flat, owner)
    order = numpy.argsort(pairs, kind="stable")  # what is equal keeps the order of its lines
    pairs, of_line = pairs[order], of_line[order]
    del order
    once = numpy.ones(len(pairs), dtype=bool)
    once[1:] = (pairs[1:] != pairs[:-1]) | (of_line[1:] != of_line[:-1])
    return pairs[once], of_line[once]


def _all_pairs(flat: NDArray[Any], owner: NDArray[Any]) -> tuple[NDArray[numpy.uint64], NDArray[Any]]:
    """A hash of each pair of words that stand near in one line, and the number of that line, which ascends."""
    pairs, of_line = [], []
    for first in range(0, len(flat), CHUNK):
        words = flat[first : first + CHUNK + PAIR_REACH]
        lines = owner[first : first + CHUNK + PAIR_REACH]
        starts = min(CHUNK, len(flat) - first)
        # A row for each word, a column for each gap: read row by row, lines ascend.
        near = numpy.zeros((starts, PAIR_REACH), dtype=bool)
        hashes = numpy.zeros((starts, PAIR_REACH), dtype=numpy.uint64)
        for gap in range(1, PAIR_REACH + 1):
            count = max(0, min(starts, len(words) - gap))
            near[:count, gap - 1] = lines[:count] == lines[gap : gap + count]
            hashes[:count, gap - 1] = _mixed(words[:count].astype(numpy.uint64), words[gap : gap + count])
        pairs.append(hashes[near])
        of_line.append(numpy.repeat(lines[:starts], near.sum(axis=1)))
    if not pairs:
        return numpy.zeros(0, dtype=numpy.uint64), owner[:0]
    return numpy.concatenate(pairs), numpy.concatenate(of_line)


def _among(values: NDArray[numpy.uint64], known: NDArray[numpy.uint64]) -> NDArray[numpy.bool_]:
    """Which of `values` stand in the ascending `known`; numpy.isin would sort all of those again."""
    places = numpy.searchsorted(known, values)
    found = numpy.zeros(len(values), dtype=bool)
    within = places < len(known)
    found[within] = known[places[within]] == values[within]
    return found


def _different(hashes: NDArray[numpy.uint64]) -> NDArray[numpy.uint64]:
    """The different ones, in ascending order; several times sooner than numpy.unique's table for many of them."""
    hashes.sort()
    kept = numpy.ones(len(hashes), dtype=bool)
    kept[1:] = hashes[1:] != hashes[:-1]
    return hashes[kept]


def _mixed(one: NDArray[numpy.uint64], other: NDArray[Any]) -> NDArray[numpy.uint64]:
    hashes = one * MULTIPLIER + other.astype(numpy.uint64)
    return hashes ^ (hashes >> numpy.uint64(29))
