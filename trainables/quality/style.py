"""The style judge: how much more a text looks like a quotation than like base text, from its character n-grams.

Naive Bayes over hashed n-grams: its weights come from counts alone, so that every machine fits the same judge, and
its scores are sums of whole numbers, so that every machine gives the same ones.
Source: Wang & Manning 2012, "Baselines and bigrams" (naive Bayes log-count ratios on short texts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from trainables.quality.words import LOG_UNIT, Integers, exact_log

FEATURES = 2**15
NGRAM_RANGE = (2, 4)
SMOOTHING = 1.0
CHUNK_LINES = 10_000  # bounds the memory of one call


@dataclass(frozen=True, kw_only=True)
class StyleJudge:
    """`weights` [FEATURES]: log of how much commoner an n-gram is in quotations, in whole `LOG_UNIT`s."""

    weights: Integers

    def scores(self, texts: Sequence[str]) -> NDArray[numpy.float64]:
        """Mean log-ratio of the n-grams of each text, in nats: above 0 like a quotation. An empty text scores 0."""
        if not texts:
            return numpy.zeros(0)
        parts = []
        for start in range(0, len(texts), CHUNK_LINES):
            counts = _ngrams(texts[start : start + CHUNK_LINES])
            totals = numpy.asarray(counts.sum(axis=1)).ravel()
            parts.append(counts @ self.weights / numpy.maximum(totals, 1) * LOG_UNIT)
        return numpy.concatenate(parts)


def fit_style_judge(quotes: Sequence[str], base_texts: Sequence[str]) -> StyleJudge:
    """Count the n-grams of quotations and of base texts (both without their keyword)."""
    wanted, base = (numpy.asarray(_ngrams(texts).sum(axis=0)).ravel() + SMOOTHING for texts in (quotes, base_texts))
    return StyleJudge(weights=exact_log(wanted / wanted.sum()) - exact_log(base / base.sum()))


def _ngrams(texts: Sequence[str]) -> csr_matrix:
    from sklearn.feature_extraction.text import HashingVectorizer

    plain: Any = None  # pyright takes the default, "l2", for the only type allowed
    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=NGRAM_RANGE, n_features=FEATURES, alternate_sign=False, norm=plain
    )
    return csr_matrix(vectorizer.transform(texts), dtype=numpy.int64)
