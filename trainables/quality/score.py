"""From the scores of single texts to the parts of sample quality, the one number, and its standard error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from trainables.quality.diversity import MOST_LINES, diversity
from trainables.quality.judge import LineScores, QualityJudge
from trainables.quality.words import words_of

if TYPE_CHECKING:
    from trainables.quality.reference import ReferenceScore  # only named: it brings torch and transformers along
    from trainables.quality.sense import ReferenceParts, ReferenceThresholds

ALLOWED_COPIES = 0.1  # assumed: of 128 human lines, 2 to 8 of 100 look like copies by chance
BATCHES = 10  # disjoint batches that the standard error is taken from
Mask = NDArray[numpy.bool_]


@dataclass(frozen=True, kw_only=True)
class ScoredText:
    """A text with what its prompt tests; `batch` spreads the texts of a prompt evenly over `BATCHES` batches.

    `keyword` is asked for where a reference language model scores.
    """

    text: str
    kind: str
    ended: bool = True
    batch: int = 0
    keyword: str = ""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything in [0, 1], 1 what held-out human lines reach; None where there was no text to measure it on.

    `reference` is None where no reference language model scored.
    """

    style_seen: float | None
    style_unseen: float | None
    style_off_domain: float | None
    form: float
    adherence: float
    word_order: float
    known_words: float
    fluency: float
    diversity: float
    copied_share: float
    novelty: float
    reference: ReferenceParts | None = None


@dataclass(frozen=True, kw_only=True)
class ReferenceScores:
    """What a reference language model said of each text, None for the off-domain ones, and what that is worth."""

    language_model: str
    scores: Sequence[ReferenceScore | None]
    thresholds: ReferenceThresholds


def sample_quality(parts: Parts, spill_over: float, retention: float) -> float:
    """The product of the parts; spilled style costs half of it at most, lost science its square root.

    A product, because a mean lets one good part buy off a ruined one.
    """
    wanted = parts.adherence * parts.fluency * parts.diversity * parts.novelty
    if parts.reference is not None:
        wanted *= parts.reference.factor
    return wanted * (1 - spill_over / 2) * math.sqrt(retention)


class TextScores:
    """Texts scored once, and any parts of them made into `Parts`."""

    def __init__(
        self,
        texts: Sequence[ScoredText],
        judge: QualityJudge,
        progress: Callable[[int], None] | None = None,
        reference: ReferenceScores | None = None,
    ) -> None:
        self._judge = judge
        self._texts = texts
        self._reference = reference
        self._lines: LineScores = judge.score([t.text for t in texts], [t.ended for t in texts], progress)
        self._kinds = numpy.array([t.kind for t in texts], dtype="U10")
        self._batches = numpy.array([t.batch % BATCHES for t in texts], dtype=numpy.int64)

    def styles(self, without_batch: int | None = None) -> dict[str, float | None]:
        """The style of each kind of prompt's texts."""
        chosen, human = self._batches != without_batch, self._judge.thresholds.human_style
        return {
            kind: _mean(self._lines.style, chosen & (self._kinds == kind), human)
            for kind in ("seen", "unseen", "off_domain")
        }

    def parts(self, without_batch: int | None = None) -> Parts:
        """The parts of all texts, or of all but one batch."""
        chosen = self._batches != without_batch
        wanted = chosen & (self._kinds != "off_domain")
        lines, human = self._lines, self._judge.thresholds
        style = self.styles(without_batch)
        covered = _mean(lines.covered, wanted) or 0.0
        copied = _mean(lines.copied, wanted) or 0.0
        return Parts(
            style_seen=style["seen"],
            style_unseen=style["unseen"],
            style_off_domain=style["off_domain"],
            form=_mean(lines.form, wanted, human.human_form) or 0.0,
            adherence=_mean(lines.adherence, wanted, human.human_adherence) or 0.0,
            word_order=_mean(lines.order, wanted, human.human_order) or 0.0,
            known_words=_mean(lines.known, wanted, human.human_known) or 0.0,
            fluency=_mean(lines.fluency, wanted, human.human_fluency) or 0.0,
            diversity=self._diversity(wanted),
            copied_share=copied,
            novelty=_kept(covered, human.human_covered) * _veto(copied, human.human_copied) * self._freshness(wanted),
            reference=self._of_reference(wanted),
        )

    def standard_error(self, quality: Callable[[Parts], float]) -> float | None:
        """Of `quality`, by leaving out one batch at a time (the grouped jackknife, Shao & Tu 1995); None for one batch.

        It says how far other samples of the same model for the same prompts would score from these.
        """
        present = sorted(set(self._batches.tolist()))
        if len(present) < 2:
            return None
        values = [quality(self.parts(without_batch=batch)) for batch in present]
        mean = math.fsum(values) / len(values)
        return math.sqrt((len(values) - 1) / len(values) * math.fsum((value - mean) ** 2 for value in values))

    def ranked(self, count: int) -> list[ScoredText]:
        """The `count` best of the wanted texts taken singly (adherence times fluency), or the worst if negative."""
        single = self._lines.adherence * self._lines.fluency
        places = (self._kinds != "off_domain").nonzero()[0]
        order = places[numpy.argsort(-single[places], kind="stable")]
        chosen = order[:count] if count > 0 else order[count:][::-1]
        return [self._texts[place] for place in chosen]

    def _of_reference(self, wanted: Mask) -> ReferenceParts | None:
        if self._reference is None:
            return None
        scores = self._reference.scores
        return self._reference.thresholds.parts([scores[place] for place in wanted.nonzero()[0].tolist()])

    def _freshness(self, wanted: Mask) -> float:
        """1 where at least half as many words as in human lines stand in no known span, 0 where all do; the worst."""
        own, words = self._lines.own_words[wanted].sum(axis=0), self._lines.words[wanted].sum()
        shares = zip((own / max(1, words)).tolist(), self._judge.thresholds.human_own_words, strict=True)
        return min((min(1.0, 2 * share / human) for share, human in shares if human > 0), default=1.0)

    def _diversity(self, wanted: Mask) -> float:
        places = wanted.nonzero()[0]
        step = max(1, len(places) // MOST_LINES)
        lines = [words_of(self._texts[place].text) for place in places[::step][:MOST_LINES]]
        return diversity(lines, self._judge.human_words)


def spill_over(style_off_domain: float, base_style_off_domain: float) -> float:
    """Style taken on where it is not wanted: what the off-domain texts gained over the base model's."""
    return max(0.0, style_off_domain - base_style_off_domain)


def retention(perplexity_before: float, perplexity: float, loss_before: float, loss: float) -> float:
    """e to the minus nats a token that were lost on science: the mean of two losses, neither below nought.

    One is the rise of the loss on held-out science. The other is that on the base model's own off-domain texts, an
    estimate of the Kullback-Leibler divergence of the tuned model from the base model there.
    """
    science_lost = max(0.0, math.log(perplexity / perplexity_before))
    return math.exp(-(science_lost + max(0.0, loss - loss_before)) / 2)


def _mean(values: NDArray[numpy.float64], chosen: Mask, human: float = 1.0) -> float | None:
    """Mean of the chosen values over that of human lines, at most 1; None without any."""
    picked = values[chosen].tolist()
    return min(1.0, math.fsum(picked) / len(picked) / human) if picked else None


def _veto(copied: float, human: float) -> float:
    """1 while copies are no more than a tenth of the texts, or twice what human lines reach; 0 where they are half."""
    allowed = max(ALLOWED_COPIES, 2 * human)
    return min(1.0, max(0.0, (0.5 - copied) / (0.5 - allowed))) if allowed < 0.5 else 1.0


def _kept(share: float, human: float) -> float:
    """1 while a share is no larger than human lines', falling to 0 where it is whole."""
    return 1 - max(0.0, share - human) / (1 - human) if human < 1 else 1.0
