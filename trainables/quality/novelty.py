"""Novelty: how much of a text stands word for word in the training set, and which texts are plainly copied.

Human lines share words with one another too (quotations, set phrases), so only what goes beyond them counts.
Sources: Carlini et al. 2023, "Quantifying memorization" (verbatim spans of the training set); McCoy et al. 2023,
"RAVEN" (n-gram novelty measured against that of human text).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy
from numpy.typing import NDArray

from trainables.quality.words import joined

SPAN_WORDS = 7
"""Words of a span that counts as verbatim. Measured on the shipped quotes: held-out lines are covered by such spans to
3%, by spans of six words to 5%, of four to 18%."""

COPIED_SHARE = 0.5  # a text covered to more than this is a copy; assumed, and never below what human lines reach
MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)
UNKNOWN = 0


class SpanIndex:
    """The spans of `SPAN_WORDS` words in a training set, and its shorter lines whole."""

    def __init__(self, lines: Iterable[Sequence[str]]) -> None:
        """`lines`: the training lines as words."""
        lines = [tuple(line) for line in lines]
        self._short = {line for line in lines if len(line) < SPAN_WORDS}
        self._ids = {word: index for index, word in enumerate(sorted({w for line in lines for w in line}), start=1)}
        flat, owner = self._flat(lines)
        self._spans = numpy.unique(_span_hashes(flat)[_whole_spans(owner)])

    def covered_shares(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """The share of each line's words that lie in a span of the training set; 0 for a line of no words."""
        flat, owner = self._flat(lines)
        found = numpy.zeros(len(flat), dtype=bool)
        starts = _whole_spans(owner).nonzero()[0]
        hits = starts[numpy.isin(_span_hashes(flat)[starts], self._spans)]
        for place in range(SPAN_WORDS):
            found[hits + place] = True
        covered = numpy.bincount(owner, weights=found, minlength=len(lines))
        shares = covered / numpy.maximum(1, [len(line) for line in lines])
        return numpy.where([tuple(line) in self._short for line in lines], 1.0, shares)

    def _flat(self, lines: Sequence[Sequence[str]]) -> tuple[NDArray[numpy.uint64], NDArray[numpy.int64]]:
        flat, owner = joined([self._ids.get(word, UNKNOWN) for word in line] for line in lines)
        return flat.astype(numpy.uint64), owner


def _span_hashes(flat: NDArray[numpy.uint64]) -> NDArray[numpy.uint64]:
    """A hash of the span that starts at each word, in 64 bits that wrap round; of no meaning near the end."""
    hashes = numpy.zeros(len(flat), dtype=numpy.uint64)
    for place in range(SPAN_WORDS):
        hashes = hashes * MULTIPLIER + numpy.roll(flat, -place)
        hashes ^= hashes >> numpy.uint64(29)
    return hashes


def _whole_spans(owner: NDArray[numpy.int64]) -> NDArray[numpy.bool_]:
    """Where a span starts that ends within the same line."""
    ends = numpy.roll(owner, 1 - SPAN_WORDS)
    whole = ends == owner
    whole[max(0, len(owner) - SPAN_WORDS + 1) :] = False
    return whole
