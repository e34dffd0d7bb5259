"""Base text mixed into the quotes, so that a model takes on their style without forgetting what it knew."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from data.documents import Documents, encode_documents

if TYPE_CHECKING:
    from data.tokenizer import LoadedTokenizer  # only named: it brings transformers along

T = TypeVar("T")


def replay_count(quotes: int, replay_ratio: float) -> int:
    """How many base-text documents stand beside `quotes` quotes: `replay_ratio` for each, to the nearest whole one."""
    return round(quotes * replay_ratio)


def draw_replay(base_lines: Sequence[T], count: int, seed: int) -> list[T]:
    """`count` lines of base text, the same for the same seed; none comes a second time before each came once.

    Fewer lines are always the first of more.
    Raises: ValueError if lines are asked for and there are none.
    """
    if count > 0 and not base_lines:
        raise ValueError("there is no base text to replay; give replay_ratio=0.")
    generator = random.Random(f"replay/{seed}")
    drawn: list[T] = []
    while len(drawn) < count:
        drawn += generator.sample(base_lines, len(base_lines))
    return drawn[:count]


class Mixture:
    """What trials train on, encoded: every quote once, and of the base text as much as a trial's ratio asks for."""

    def __init__(self, loaded: LoadedTokenizer, quote_lines: Iterable[str], base_lines: Sequence[str]) -> None:
        """Raises: data.errors.DataError for a quote with the tokenizer's separator in it."""
        self._loaded, self._base_lines = loaded, base_lines
        self._quotes = encode_documents(loaded, quote_lines)

    def documents(self, replay_ratio: float, seed: int) -> Documents:
        """The quotes in their order, then the base text that `draw_replay` draws by `seed`."""
        count = replay_count(len(self._quotes), replay_ratio)
        if not count:
            return self._quotes
        return self._quotes.followed_by(self._base, draw_replay(range(len(self._base_lines)), count, seed))

    @functools.cached_property
    def _base(self) -> Documents:
        return encode_documents(self._loaded, self._base_lines)
