"""Parts of sample quality that a reference language model adds: likely words, no seam, and sense under the keyword.

Where a reference model is named, quality is the n-gram measure's times these three (measure 4); where none is, it is
that measure's alone, bit for bit. What the model makes of human lines, and of the same lines spliced from halves, says
where the parts begin and are full; no model's text is asked.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.quality.reference import Pair, ReferenceModel, ReferenceScore
from trainables.records.disk_cache import cache_key, load_document, source_digest, store_document

MEASURE = 4
CACHE = "references"
HUMAN_LINES = 200  # held-out lines that the thresholds come from; assumed: three readings each, twice more spoiled
NATS_ALLOWED = 0.25  # a token, above human lines: two hundred lines, halved, lie up to 0.2 apart
BY_CHANCE = 0.5  # of the other keywords, a text that has nothing to do with any wins against so many
NONE_SHARE, FULL_SHARE = 0.25, 0.75
"""Where a part begins and is full, on the way from spoiled lines to human ones; assumed: what chance moves the mean of
a hundred human lines by costs nothing, and what is spoiled earns nothing."""


def measure_4_version(judge_version: str, language_model: str) -> str:
    """The version of scores that a language model had a part in: "quality-4-…-smollm2-135m" for the judge's "…-3-…"."""
    return f"quality-{MEASURE}-{judge_version.rpartition('-')[2]}-{language_model}"


@dataclass(frozen=True, kw_only=True)
class ReferenceParts:
    """Each in [0, 1], 1 what human lines reach; the last three are the means that they come from."""

    likely: float
    one_piece: float
    sense: float
    nats_per_token: float
    seam_gain: float
    keyword_wins: float

    @property
    def factor(self) -> float:
        """What the n-gram measure is multiplied by; no sense costs half, so that models without any still differ."""
        return self.likely * self.one_piece * (1 + self.sense) / 2


@dataclass(frozen=True, kw_only=True)
class ReferenceThresholds:
    """Means over human lines, and over spliced ones (`seam_none`)."""

    human_nats: float
    seam_none: float
    seam_human: float
    keyword_human: float

    def parts(self, scores: Sequence[ReferenceScore | None]) -> ReferenceParts:
        """The parts of texts scored; a text of fewer than two words (None) is as bad as one can be."""
        read = [score for score in scores if score is not None]
        share = len(read) / len(scores) if scores else 0.0
        if not read:
            return ReferenceParts(
                likely=0.0, one_piece=0.0, sense=0.0, nats_per_token=math.nan, seam_gain=0.0, keyword_wins=BY_CHANCE
            )
        nats, seam, keyword = _means(read)
        return ReferenceParts(
            likely=share * min(1.0, math.exp(self.human_nats + NATS_ALLOWED - nats)),
            one_piece=share * _between(seam, self.seam_none, self.seam_human),
            sense=share * _between(keyword, BY_CHANCE, self.keyword_human),
            nats_per_token=nats,
            seam_gain=seam,
            keyword_wins=keyword,
        )


def fit_reference(
    model: ReferenceModel, human: Sequence[Pair], progress: Callable[[int], None] | None = None
) -> ReferenceThresholds:
    """Thresholds from held-out human lines, some two hundred of them, evenly spread."""
    step = max(1, len(human) // HUMAN_LINES)
    chosen = list(human)[::step][:HUMAN_LINES]
    keywords = {keyword for keyword, _ in human}
    return thresholds_of(model.scores(chosen, keywords, progress), model.scores(spliced(chosen), keywords, progress))


def fitted_reference(model: ReferenceModel, human: Sequence[Pair]) -> ReferenceThresholds:
    """`fit_reference`, or what it came to for the same weights and lines before: it reads 400 texts."""
    key = cache_key(MEASURE, source_digest(Path(__file__).parent.glob("*.py")), model.digest, list(human))
    if (document := load_document(CACHE, key)) is not None:
        return ReferenceThresholds(**document)
    thresholds = fit_reference(model, human)
    store_document(CACHE, key, json.dumps(dataclasses.asdict(thresholds)))
    return thresholds


def thresholds_of(
    human: Sequence[ReferenceScore | None], seams: Sequence[ReferenceScore | None]
) -> ReferenceThresholds:
    """Thresholds from the scores of human lines and of spliced ones."""
    right, wrong = (_means([score for score in scores if score is not None]) for scores in (human, seams))
    return ReferenceThresholds(human_nats=right[0], seam_none=wrong[1], seam_human=right[1], keyword_human=right[2])


def spliced(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """The first half of each text with the second half of another."""
    others = _moved([text for _, text in pairs], seed)
    return [(keyword, halves(text, other)) for (keyword, text), other in zip(pairs, others, strict=True)]


def halves(one: str, other: str) -> str:
    """The first half of one text's words and the second half of another's."""
    first, second = one.split(), other.split()
    return " ".join(first[: len(first) // 2] + second[len(second) // 2 :])


def under_other_keywords(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """Each text under the keyword of another, which now and then is its own as well."""
    return [(keyword, text) for keyword, (_, text) in zip(_moved([k for k, _ in pairs], seed), pairs, strict=True)]


def _moved(values: Sequence[str], seed: int) -> list[str]:
    """The values in a drawn order, each one place on: none stays where it was, if there are two or more."""
    order = random.Random(f"moved/{seed}").sample(range(len(values)), len(values))
    moved = [""] * len(values)
    for place, source in zip(order, order[1:] + order[:1], strict=True):
        moved[place] = values[source]
    return moved


def _between(value: float, none: float, human: float) -> float:
    """0 up to a quarter of the way from `none` to `human`, 1 from three quarters on, and where there is no way."""
    if human <= none:
        return 1.0
    way = (value - none) / (human - none)
    return min(1.0, max(0.0, (way - NONE_SHARE) / (FULL_SHARE - NONE_SHARE)))


def _means(scores: Sequence[ReferenceScore]) -> tuple[float, float, float]:
    columns = zip(*((s.nats_per_token, s.seam_gain, s.keyword_wins) for s in scores), strict=True)
    nats, seam, keyword = (math.fsum(column) / len(scores) for column in columns)
    return nats, seam, keyword
