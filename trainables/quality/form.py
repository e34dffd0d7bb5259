"""Form: whether a text opens, ends and is as long as human lines are."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

USUAL = 0.02  # a way to open or to end that fewer lines have is not theirs; assumed
LENGTH_QUANTILES = (0.01, 0.99)


@dataclass(frozen=True, kw_only=True)
class LineForm:
    """How human lines open and end (kinds of characters), and the range of their lengths in words."""

    openings: tuple[str, ...]
    endings: tuple[str, ...]
    fewest_words: int
    most_words: int

    def score(self, text: str, word_count: int, ended: bool) -> float:
        """1 for a text that a person could have laid out, 0 for one that never ended, opens or ends otherwise.

        A text of fewer or more words than human lines have loses by its distance: none at none or at twice the most.
        """
        stripped = text.strip()
        if not (stripped and ended and _kind(stripped[0]) in self.openings and _kind(stripped[-1]) in self.endings):
            return 0.0
        if word_count < self.fewest_words:
            return word_count / self.fewest_words
        return min(1.0, max(0.0, 2 - word_count / self.most_words))


def fit_form(lines: Sequence[str], word_counts: Sequence[int]) -> LineForm:
    """The form of held-out human lines: what at least `USUAL` of them do, and all but the longest and shortest."""
    lengths = sorted(word_counts)
    low, high = (lengths[round(share * (len(lengths) - 1))] for share in LENGTH_QUANTILES)
    return LineForm(
        openings=_usual([_kind(line.strip()[0]) for line in lines]),
        endings=_usual([_kind(line.strip()[-1]) for line in lines]),
        fewest_words=max(1, low),
        most_words=max(1, high),
    )


def _usual(kinds: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(kind for kind, count in Counter(kinds).items() if count >= USUAL * len(kinds)))


def _kind(character: str) -> str:
    """Letters and digits by their kind (upper case "Lu", lower case "Ll", …); any other character is its own kind."""
    category = unicodedata.category(character)
    return category if category[0] in "LN" else character
