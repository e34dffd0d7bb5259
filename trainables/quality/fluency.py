"""Fluency: whether words stand in an order that a language would have, and whether they are words at all.

Order is judged by SLOR, the log-probability of a text under a trigram model less that under a unigram model, for each
word. Rare words cost nothing, since both models find them rare; shuffled words gain nothing from their company. It is
asked twice: of all words together, and of the weakest quarter of them under a model in which rarer words stand as their
endings. The second finds the seams between pieces that were learnt by heart, whose gains pay for them in the first.
Sources: Kneser & Ney 1995 and Chen & Goodman 1999 (interpolated smoothing, absolute discount); Brown et al. 1992
(n-grams of classes); Pauls & Klein 2012, Kann, Rothe & Filippova 2018 (SLOR as a measure of acceptability and fluency);
Lau, Clark & Lappin 2017 (the mean of the words' scores, and that of the weakest quarter).
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy
from numpy.typing import NDArray

from trainables.quality.words import LOG_UNIT, Integers, exact_log, joined, lookup, pack

ORDER = 3
DISCOUNT = 0.75  # Source: Kneser & Ney 1995 take it from the counts; 0.75 is the usual value
COMMON_WORDS = 150  # stand for themselves in the class model: nearly all of them form words; assumed
WEAKEST = 4  # a quarter of a line's words
RARE = 2  # a word of fewer occurrences in the fitting text shares its place with others of its shape
START, END = "<start>", "<end>"


class FluencyModel:
    """An interpolated Kneser-Ney trigram model over words, and the lexicon of the text that it was fitted on."""

    def __init__(self, lines: Iterable[Sequence[str]]) -> None:
        """Count lines of words, or of their classes; whole numbers only, so that every machine counts the same."""
        lines = list(lines)
        counts = Counter(word for line in lines for word in line)
        self.lexicon = frozenset(counts)
        kept = sorted(word for word, count in counts.items() if count >= RARE)
        shapes = sorted({_shape(word) for word in counts} | {_shape("")})
        self._ids = {word: index for index, word in enumerate([START, END, *kept, *shapes])}
        self._size = len(self._ids)
        self._count(self._columns([self._encode(line) for line in lines]))

    def order_scores(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """SLOR of each line of words, in nats a word (the end of the line counts as one); 0 for a line of none."""
        return self._means(lines, weakest=1)

    def weakest_scores(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """SLOR of the weakest quarter of each line's words (one at least), in nats a word; 0 for a line of none."""
        return self._means(lines, weakest=WEAKEST)

    def _means(self, lines: Sequence[Sequence[str]], weakest: int) -> NDArray[numpy.float64]:
        """The mean over the lowest of the words' gains: one in `weakest` of them."""
        if not lines:
            return numpy.zeros(0)
        encoded = [self._encode(line) for line in lines]
        columns = self._columns(encoded)
        _, owner = joined(row[ORDER - 1 :] for row in encoded)
        gains = exact_log(self._probability(columns)) - exact_log(self._unigram(columns[-1]))
        lengths = numpy.bincount(owner, minlength=len(lines))
        wanted = numpy.maximum(1, lengths // weakest)
        ranks = numpy.arange(len(owner)) - numpy.repeat(numpy.cumsum(lengths) - lengths, lengths)
        lowest = numpy.lexsort((gains, owner))[ranks < wanted[owner]]
        totals = numpy.zeros(len(lines), dtype=numpy.int64)
        numpy.add.at(totals, owner[lowest], gains[lowest])
        has_words = numpy.array([len(line) > 0 for line in lines])
        return numpy.where(has_words, totals / wanted * LOG_UNIT, 0.0)

    def known_shares(self, lines: Sequence[Sequence[str]]) -> NDArray[numpy.float64]:
        """The share of each line's words that the lexicon has; numbers count as known, a line of none as unknown."""
        known = (sum(word in self.lexicon or word.isdigit() for word in line) / max(1, len(line)) for line in lines)
        return numpy.fromiter(known, dtype=numpy.float64, count=len(lines))

    def _encode(self, line: Sequence[str]) -> list[int]:
        ids = self._ids
        words = [ids[word] if word in ids else self._id_of_shape(word) for word in line]
        return [ids[START]] * (ORDER - 1) + [*words, ids[END]]

    def _id_of_shape(self, word: str) -> int:
        return self._ids.get(_shape(word), self._ids[_shape("")])

    def _columns(self, encoded: Sequence[Sequence[int]]) -> list[Integers]:
        """Every trigram, as the columns of its first, second and third words."""
        return [joined(row[place : len(row) - ORDER + 1 + place] for row in encoded)[0] for place in range(ORDER)]

    def _count(self, columns: list[Integers]) -> None:
        """For each order: n-grams with their (continuation) counts, and contexts with their totals and kinds."""
        self._unigrams = numpy.bincount(columns[-1], minlength=self._size)
        self._tables: list[tuple[Integers, ...]] = []
        grams, counts = numpy.unique(pack(columns, self._size), return_counts=True)
        for order in range(ORDER, 0, -1):
            contexts, place = numpy.unique(grams // self._size, return_inverse=True)
            totals = numpy.zeros(len(contexts), dtype=numpy.int64)
            numpy.add.at(totals, place, counts)
            self._tables.insert(0, (grams, counts, contexts, totals, numpy.bincount(place)))
            # The count of a shorter n-gram is the number of words that it was seen after.
            grams, counts = numpy.unique(grams % self._size ** (order - 1), return_counts=True)

    def _probability(self, columns: list[Integers]) -> NDArray[numpy.float64]:
        probability = numpy.full(len(columns[-1]), 1 / self._size)
        for order, (grams, counts, contexts, totals, kinds) in enumerate(self._tables, start=1):
            wanted = pack(columns[ORDER - order :], self._size)
            context = wanted // self._size
            count, total = lookup(grams, counts, wanted), lookup(contexts, totals, context)
            seen = numpy.maximum(count - DISCOUNT, 0)
            shared = DISCOUNT * lookup(contexts, kinds, context) * probability
            probability = numpy.where(total > 0, (seen + shared) / numpy.maximum(total, 1), probability)
        return probability

    def _unigram(self, words: Integers) -> NDArray[numpy.float64]:
        return (self._unigrams[words] + 1) / (self._unigrams.sum() + self._size)


class WordClasses:
    """Words as classes: the commonest stand for themselves, all others as what they have in common with like ones."""

    def __init__(self, lines: Iterable[Sequence[str]]) -> None:
        counts = Counter(word for line in lines for word in line)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        self._common = frozenset(ranked[:COMMON_WORDS])

    def of(self, line: Sequence[str]) -> list[str]:
        """The class of each word of `line`."""
        return [word if word in self._common else _shape(word) for word in line]


@functools.lru_cache(maxsize=2**16)
def _shape(word: str) -> str:
    """What rare and unknown words have in common: a number, or how they end; the brackets keep it from being a word."""
    if word.isdigit():
        return "<number>"
    return f"<-{word[-2:]}>" if len(word) > 4 else f"<{len(word)}>"
