"""Form: whether a text opens, ends, is as long, and has as many capitals and signs as human lines."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

USUAL = 0.02  # a way to open or to end that fewer lines have is not theirs; assumed
LENGTH_QUANTILES = (0.01, 0.99)
LEAST_SHARE = 0.1  # of capitals or signs that is always allowed: a short line has one of ten characters; assumed


@dataclass(frozen=True, kw_only=True)
class LineForm:
    """How human lines open and end (kinds of characters), the range of their lengths in words, and of their signs.

    `most_capitals` and `most_signs` are shares of a text's characters but for spaces; letters, marks and digits are no
    signs.
    """

    openings: tuple[str, ...]
    endings: tuple[str, ...]
    fewest_words: int
    most_words: int
    most_capitals: float = 1.0
    most_signs: float = 1.0

    def score(self, text: str, word_count: int, ended: bool) -> float:
        """1 for a text that a person could have laid out, 0 for one that never ended, opens or ends otherwise.

        A text of fewer or more words than human lines have loses by its distance: all at none or at twice the most. So
        does one of more capitals or signs.
        """
        stripped = text.strip()
        if not (stripped and ended and _kind(stripped[0]) in self.openings and _kind(stripped[-1]) in self.endings):
            return 0.0
        if word_count < self.fewest_words:
            return word_count / self.fewest_words
        capitals, signs = _shares(stripped)
        return min(
            _within(word_count, self.most_words),
            _within(capitals, self.most_capitals),
            _within(signs, self.most_signs),
        )


def fit_form(lines: Sequence[str], word_counts: Sequence[int]) -> LineForm:
    """The form of held-out human lines: what at least `USUAL` of them do, and all but the longest and shortest."""
    lengths = sorted(word_counts)
    low, high = (lengths[round(share * (len(lengths) - 1))] for share in LENGTH_QUANTILES)
    capitals, signs = (
        sorted(shares)[round(LENGTH_QUANTILES[1] * (len(lines) - 1))]
        for shares in zip(*map(_shares, lines), strict=True)
    )
    return LineForm(
        openings=_usual([_kind(line.strip()[0]) for line in lines]),
        endings=_usual([_kind(line.strip()[-1]) for line in lines]),
        fewest_words=max(1, low),
        most_words=max(1, high),
        most_capitals=round(max(LEAST_SHARE, capitals), 9),
        most_signs=round(max(LEAST_SHARE, signs), 9),
    )


def _within(value: float, most: float) -> float:
    return min(1.0, max(0.0, 2 - value / most))


def _shares(text: str) -> tuple[float, float]:
    """The shares of capitals and of signs among the characters of `text`, but for spaces."""
    kinds = Counter(unicodedata.category(character) for character in "".join(text.split()))
    signs = sum(count for kind, count in kinds.items() if kind[0] not in "LNM")
    return kinds["Lu"] / max(1, kinds.total()), signs / max(1, kinds.total())


def _usual(kinds: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(kind for kind, count in Counter(kinds).items() if count >= USUAL * len(kinds)))


def _kind(character: str) -> str:
    """Letters and digits by their kind (upper case "Lu", lower case "Ll", …); any other character is its own kind."""
    category = unicodedata.category(character)
    return category if category[0] in "LN" else character
