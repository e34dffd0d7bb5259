"""Diversity: whether samples differ, from one another and within, as much as equally many human lines do.

Sources: Li et al. 2016 (distinct-n); Zhu et al. 2018, "Texygen" (self-BLEU); Welleck et al. 2020 (repeated n-grams
within one text); Papineni et al. 2002 (BLEU's clipped precision).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

Words = Sequence[str]
DISTINCT_ORDERS = (1, 2, 3)
BLEU_ORDERS = (1, 2, 3, 4)
REPEATED_ORDER = 2
BLOCK_LINES = 400
"""Lines that are compared with one another at most: distinct-n and self-BLEU change with the number of lines."""

MOST_LINES = 8 * BLOCK_LINES  # that are looked at; bounds the time for very many samples


@dataclass(frozen=True, kw_only=True)
class Variety:
    """Figures of one set of lines, each in [0, 1], more is more varied; they mean something beside human ones only."""

    different_lines: float
    distinct: float
    self_bleu_left: float
    unrepeated: float


def variety(lines: Sequence[Words]) -> Variety:
    """The figures of `lines`; all 0 where there is no word."""
    if not any(lines):
        return Variety(different_lines=0.0, distinct=0.0, self_bleu_left=0.0, unrepeated=0.0)
    return Variety(
        different_lines=len({tuple(line) for line in lines}) / len(lines),
        distinct=math.fsum(_distinct_share(lines, order) for order in DISTINCT_ORDERS) / len(DISTINCT_ORDERS),
        self_bleu_left=1 - self_bleu(lines),
        unrepeated=math.fsum(_distinct_share([line], REPEATED_ORDER) for line in lines) / len(lines),
    )


def diversity(lines: Sequence[Words], human_lines: Sequence[Words]) -> float:
    """The worst of the four figures of `lines` over that of as many human lines, in [0, 1].

    More lines than `BLOCK_LINES` are compared in blocks, each of which takes lines from beginning to end.
    """
    if not lines:
        return 0.0
    size = min(len(lines), len(human_lines), BLOCK_LINES)
    count = -(-len(lines) // size)
    blocks = [variety(lines[start::count]) for start in range(count)]
    human = variety(human_lines[: len(lines) // count])
    ratios = [
        math.fsum(getattr(block, name) for block in blocks) / count / max(getattr(human, name), 1e-9)
        for name in ("different_lines", "distinct", "self_bleu_left", "unrepeated")
    ]
    return min(1.0, *ratios, len({tuple(line) for line in lines}) / len(lines))


def self_bleu(lines: Sequence[Words]) -> float:
    """Mean BLEU of each line against all the others, in time linear in the words.

    For the clipped precision it is enough to know, for every n-gram, the line that has it most often and how often
    the next one has it. With so many references the brevity penalty is taken for 1, and one n-gram is added to both
    counts of every order (Lin & Och 2004), so that a short line is no exception.
    """
    if len(lines) < 2:
        return 0.0
    logs = [0.0] * len(lines)
    for order in BLEU_ORDERS:
        counts = [Counter(_ngrams(line, order)) for line in lines]
        best: defaultdict[Words, tuple[int, int, int]] = defaultdict(lambda: (0, -1, 0))
        for index, counter in enumerate(counts):
            for gram, count in counter.items():
                most, owner, second = best[gram]
                best[gram] = (count, index, most) if count > most else (most, owner, max(second, count))
        for index, counter in enumerate(counts):
            clipped = sum(
                min(count, best[gram][2] if best[gram][1] == index else best[gram][0])
                for gram, count in counter.items()
            )
            logs[index] += math.log((clipped + 1) / (sum(counter.values()) + 1)) / len(BLEU_ORDERS)
    # An empty line matches all the others.
    scores = (math.exp(value) if line else 1.0 for value, line in zip(logs, lines, strict=True))
    return round(math.fsum(scores) / len(lines), 9)  # the last digits of exp and log differ between machines


def _ngrams(line: Words, order: int) -> list[Words]:
    return [tuple(line[start : start + order]) for start in range(len(line) - order + 1)]


def _distinct_share(lines: Sequence[Words], order: int) -> float:
    """Different n-grams over all of them; 1 where the lines are too short to have any, 0 where they have no word."""
    grams = [gram for line in lines for gram in _ngrams(line, order)]
    if grams:
        return len(set(grams)) / len(grams)
    return float(any(lines))
