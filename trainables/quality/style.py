"""The style judge: how likely a text is a quotation rather than base text, from its character n-grams.

Fitted once for a sweep, on training lines only, and then frozen: every trial is judged by the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit

FEATURES = 2**14
NGRAM_RANGE = (2, 4)
LINES_PER_CLASS = 2_000  # assumed: more lines move the held-out separation little


@dataclass(frozen=True, kw_only=True)
class StyleJudge:
    """Logistic regression over hashed character n-grams; `weights` [FEATURES], in float32."""

    weights: NDArray[numpy.float32]
    bias: float

    @property
    def version(self) -> str:
        """A digest of the judge's numbers: scores compare only under the same version."""
        digest = hashlib.blake2b(self.weights.tobytes(), digest_size=6)
        digest.update(repr(self.bias).encode())
        return f"style-{digest.hexdigest()}"

    def scores(self, texts: Sequence[str]) -> NDArray[numpy.float64]:
        """Probability in [0, 1] that each text is a quotation; an empty text scores 0."""
        if not texts:
            return numpy.zeros(0)
        logits = (_features(texts) @ self.weights).astype(numpy.float64) + self.bias
        filled = numpy.array([bool(text.strip()) for text in texts])
        return numpy.where(filled, expit(logits), 0.0)

    def to_json(self) -> str:
        """The judge as JSON text."""
        return json.dumps({"bias": self.bias, "weights": [float(w) for w in self.weights]})

    @staticmethod
    def from_json(text: str) -> StyleJudge:
        """The judge that `to_json` wrote."""
        document = json.loads(text)
        return StyleJudge(weights=numpy.array(document["weights"], dtype=numpy.float32), bias=document["bias"])


def fit_style_judge(quotes: Sequence[str], base_texts: Sequence[str]) -> StyleJudge:
    """Fit the judge on quotation texts against base texts (both without their keyword), the classes weighing the same.

    Source: logistic regression of scikit-learn, L2, lbfgs; deterministic.
    """
    from sklearn.linear_model import LogisticRegression

    texts = [*quotes[:LINES_PER_CLASS], *base_texts[:LINES_PER_CLASS]]
    labels = [1] * min(len(quotes), LINES_PER_CLASS) + [0] * min(len(base_texts), LINES_PER_CLASS)
    model = LogisticRegression(C=100.0, class_weight="balanced", max_iter=300)
    model.fit(_features(texts), labels)
    weights, bias = numpy.asarray(model.coef_)[0], numpy.asarray(model.intercept_)[0]
    return StyleJudge(weights=weights.astype(numpy.float32), bias=float(bias))


def _features(texts: Sequence[str]) -> csr_matrix:
    from sklearn.feature_extraction.text import HashingVectorizer

    number_type: Any = numpy.float32  # pyright takes the default, float64, for the only type allowed
    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=NGRAM_RANGE, n_features=FEATURES, alternate_sign=False, dtype=number_type
    )
    return csr_matrix(vectorizer.transform(texts))
