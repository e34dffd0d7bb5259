"""Novelty: what of a text the training set has already, as long spans, as pairs of words, and from a single line.

Human lines share words with one another too (quotations, set phrases), so only what goes beyond them counts.
Sources: Carlini et al. 2023, "Quantifying memorization" (verbatim spans of the training set); McCoy et al. 2023,
"RAVEN" (n-gram novelty for small n too, measured against that of human text); Broder 1997, "On the resemblance and
containment of documents" (near copies).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy
from numpy.typing import NDArray

from trainables.quality.words import Integers, joined

SPAN_WORDS = 7
"""Words of a span that counts as verbatim. Measured on the shipped quotes: held-out lines are covered by such spans to
3%, by spans of six words to 5%, of four to 18%."""

COPIED_SHARE = 0.5  # a text covered to more than this is a copy; assumed, and never below what human lines reach
OVERLAP_WORDS = 3
OVERLAP_SHARE = 0.4
"""A text that has more than this of its word triples from one training line is a near copy, such as a line with every
sixth word changed (0.55 of them). Measured on the shipped quotes: 9 in 10 held-out lines have less than 0.3."""

NGRAM_WORDS = (2, 3)  # the n-grams that a text should have some new ones of: a chain of pairs or triples has none
MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)
UNKNOWN = 0


class TrainingIndex:
    """What a training set holds: its spans, its n-grams, and which line each of its word triples stands in."""

    def __init__(self, lines: Iterable[Sequence[str]]) -> None:
        """`lines`: the training lines as words."""
        lines = [tuple(line) for line in lines]
        self._size = len(lines)
        self._short = {line for line in lines if len(line) < SPAN_WORDS}
        self._ids = {word: index for index, word in enumerate(sorted({w for line in lines for w in line}), start=1)}
        flat, owner = self._flat(lines)
        self._known = {words: numpy.unique(_ngrams(flat, owner, words)[1]) for words in (*NGRAM_WORDS, SPAN_WORDS)}
        places, triples = _ngrams(flat, owner, OVERLAP_WORDS)
        order = numpy.lexsort((owner[places], triples))
        self._triples, self._triple_lines = triples[order], owner[places][order]

    def covered_shares(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """The share of each line's words that lie in a span of the training set; 0 for a line of no words."""
        flat, owner = self._flat(lines)
        found = numpy.zeros(len(flat), dtype=bool)
        starts, spans = _ngrams(flat, owner, SPAN_WORDS)
        hits = starts[numpy.isin(spans, self._known[SPAN_WORDS])]
        for place in range(SPAN_WORDS):
            found[hits + place] = True
        covered = numpy.bincount(owner, weights=found, minlength=len(lines))
        shares = covered / numpy.maximum(1, [len(line) for line in lines])
        return numpy.where([tuple(line) in self._short for line in lines], 1.0, shares)

    def overlap_shares(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """The largest share of each line's word triples that one training line has; 0 for a line of fewer words."""
        flat, owner = self._flat(lines)
        places, triples = _ngrams(flat, owner, OVERLAP_WORDS)
        first = numpy.searchsorted(self._triples, triples, side="left")
        counts = numpy.searchsorted(self._triples, triples, side="right") - first
        # Every (triple of a line, training line that has it): the ranges first .. first + counts, end to end.
        ends = numpy.cumsum(counts)
        within = numpy.arange(ends[-1] if len(ends) else 0) - numpy.repeat(ends - counts, counts)
        sources = self._triple_lines[numpy.repeat(first, counts) + within]
        pairs = numpy.repeat(owner[places], counts) * self._size + sources
        met, times = numpy.unique(pairs, return_counts=True)
        most = numpy.zeros(len(lines), dtype=numpy.int64)
        numpy.maximum.at(most, met // max(1, self._size), times)
        totals = numpy.bincount(owner[places], minlength=len(lines))
        return numpy.minimum(1.0, most / numpy.maximum(1, totals))

    def ngram_counts(self, lines: Sequence[Sequence[str]], words: int) -> tuple[Integers, Integers]:
        """How many n-grams of `words` words each line has that the training set has not, and how many in all."""
        flat, owner = self._flat(lines)
        places, ngrams = _ngrams(flat, owner, words)
        of_line, new = owner[places], ~numpy.isin(ngrams, self._known[words])
        return numpy.bincount(of_line[new], minlength=len(lines)), numpy.bincount(of_line, minlength=len(lines))

    def _flat(self, lines: Sequence[Sequence[str]]) -> tuple[NDArray[numpy.uint64], Integers]:
        flat, owner = joined([self._ids.get(word, UNKNOWN) for word in line] for line in lines)
        return flat.astype(numpy.uint64), owner


def _ngrams(flat: NDArray[numpy.uint64], owner: Integers, words: int) -> tuple[Integers, NDArray[numpy.uint64]]:
    """Where each n-gram within one line starts, and a hash of it in 64 bits that wrap round."""
    hashes = numpy.zeros(len(flat), dtype=numpy.uint64)
    for place in range(words):
        hashes = hashes * MULTIPLIER + numpy.roll(flat, -place)
        hashes ^= hashes >> numpy.uint64(29)
    whole = numpy.roll(owner, 1 - words) == owner
    whole[max(0, len(owner) - words + 1) :] = False
    places = whole.nonzero()[0]
    return places, hashes[places]
