"""Base text mixed into the quotes, so that a model takes on their style without forgetting what it knew."""

from __future__ import annotations

import random
from collections.abc import Sequence


def replay_count(quotes: int, replay_ratio: float) -> int:
    """How many base-text documents stand beside `quotes` quotes: `replay_ratio` for each, to the nearest whole one."""
    return round(quotes * replay_ratio)


def draw_replay(base_lines: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` lines of base text, the same for the same seed; none comes a second time before each came once.

    Fewer lines are always the first of more.
    Raises: ValueError if lines are asked for and there are none.
    """
    if count > 0 and not base_lines:
        raise ValueError("there is no base text to replay; give replay_ratio=0.")
    generator = random.Random(f"replay/{seed}")
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += generator.sample(base_lines, len(base_lines))
    return drawn[:count]
