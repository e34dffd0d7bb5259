"""The judge of a sweep: everything that sample quality is measured with, fitted once, stored, and then frozen.

Fitted on the training quotations and on base text; its thresholds come from held-out human lines and from the same
lines with their words shuffled, never from any model's text. It is made of whole numbers and of texts, so that it is
the same, and says the same, on every machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from trainables.quality.fluency import FluencyModel, WordClasses
from trainables.quality.form import LineForm, fit_form
from trainables.quality.novelty import COPIED_SHARE, OVERLAP_SHARE, SHORT_SPANS, TrainingIndex
from trainables.quality.style import StyleJudge, fit_style_judge
from trainables.quality.words import words_of
from trainables.records.disk_cache import cache_key, load_document, source_digest, store_document

CACHE = "judges"
MEASURE = 3  # the formulas' own version: raised whenever the same samples would get another score
STYLE_LINES = 4_000  # of each kind; assumed: more move the held-out separation little
FLUENCY_LINES = 20_000
REFERENCE_LINES = 20_000  # held-out lines, evenly spread, that thresholds come from; assumed: more move them little
CHUNK_LINES = 4_096
CHUNK_CHARACTERS = 2**20
"""Of the texts that are scored at once, whichever comes first: memory stays bounded however long they are."""

SMALLEST = 0.05  # a threshold or a human mean lies at least so far above nothing; assumed

Scores = NDArray[numpy.float64]


@dataclass(frozen=True, kw_only=True)
class LineScores:
    """One number in [0, 1] a text: `adherence` is style times form, `fluency` order times known words.

    `covered` is the share of its words in verbatim spans of the training set, `copied` 1 for a copy or a near copy.
    `own_words` counts, for each of `SHORT_SPANS`, the words in no such span of the training set; `words` counts all.
    """

    style: Scores
    form: Scores
    adherence: Scores
    order: Scores
    known: Scores
    fluency: Scores
    covered: Scores
    copied: Scores
    own_words: Scores
    words: Scores


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where the scores begin and are full, and the means that held-out human lines reach.

    `style_full`: lower quartile of their style. `order_none`, `order_full`: nine of ten shuffled lines lie below, half
    of the human ones above. `weakest_none`, `weakest_full`: the same of the weakest words, three in four above.
    `copied_share`, `overlap_share`: a text covered, or taken from one line, to more than this is a copy.
    `human_own_words`: the share of their words in no span that the training set has, for each of `SHORT_SPANS`.
    """

    style_full: float
    order_none: float
    order_full: float
    weakest_none: float
    weakest_full: float
    copied_share: float
    overlap_share: float
    human_style: float = 1.0
    human_form: float = 1.0
    human_adherence: float = 1.0
    human_order: float = 1.0
    human_known: float = 1.0
    human_fluency: float = 1.0
    human_covered: float = 0.0
    human_copied: float = 0.0
    human_own_words: tuple[float, ...] = (0.0,) * len(SHORT_SPANS)


@dataclass(frozen=True, kw_only=True)
class QualityJudge:
    """`train_lines` and `base_lines` are words with single spaces; the rest is fitted from them and from references."""

    style: StyleJudge
    form: LineForm
    thresholds: Thresholds
    train_lines: tuple[str, ...]
    base_lines: tuple[str, ...]

    @cached_property
    def version(self) -> str:
        """The measure's version and a digest of the judge: scores compare only under the same."""
        digest = hashlib.blake2b(self.to_json().encode(), digest_size=6)
        return f"quality-{MEASURE}-{digest.hexdigest()}"

    @cached_property
    def human_words(self) -> list[list[str]]:
        """The training lines as words, in an order of no meaning: what samples' diversity is compared with."""
        lines = [line.split() for line in self.train_lines if line]
        random.Random(0).shuffle(lines)
        return lines

    def score(
        self, texts: Sequence[str], ended: Sequence[bool], progress: Callable[[int], None] | None = None
    ) -> LineScores:
        """The scores of `texts`, some thousands at a time; `progress` hears how many are done."""
        parts = []
        for chunk in _chunks(texts):
            parts.append(self._score_chunk(texts[chunk], ended[chunk]))
            if progress is not None:
                progress(chunk.stop)
        names = [field.name for field in dataclasses.fields(LineScores)]
        return LineScores(**{name: numpy.concatenate([getattr(p, name) for p in parts] or [[]]) for name in names})

    def _score_chunk(self, texts: Sequence[str], ended: Sequence[bool]) -> LineScores:
        limits, lines = self.thresholds, [words_of(text) for text in texts]
        rows = zip(texts, lines, ended, strict=True)
        style = numpy.clip(self.style.scores(texts) / limits.style_full, 0, 1)
        form = numpy.array([self.form.score(text, len(line), end) for text, line, end in rows], dtype=numpy.float64)
        order = numpy.minimum(
            _between(self._fluency.order_scores(lines), limits.order_none, limits.order_full),
            _between(self._weakest_scores(lines), limits.weakest_none, limits.weakest_full),
        )
        order = numpy.where([len(line) > 0 for line in lines], order, 0.0)
        known = self._fluency.known_shares(lines)
        covered = self._index.covered_shares(lines)
        copied = (covered > limits.copied_share) | (self._index.overlap_shares(lines) > limits.overlap_share)
        words = numpy.array([len(line) for line in lines], dtype=numpy.float64)
        own_words = numpy.stack([words - self._index.covered_words(lines, span) for span in SHORT_SPANS], axis=1)
        return LineScores(
            style=style,
            form=form,
            adherence=style * form,
            order=order,
            known=known,
            fluency=order * known,
            covered=covered,
            copied=copied.astype(numpy.float64),
            own_words=own_words,
            words=words,
        )

    @cached_property
    def _fluency(self) -> FluencyModel:
        lines = [*self.train_lines[:FLUENCY_LINES], *self.base_lines[:FLUENCY_LINES]]
        return FluencyModel(line.split() for line in lines)

    @cached_property
    def _classes(self) -> WordClasses:
        return WordClasses(line.split() for line in self.train_lines[:FLUENCY_LINES])

    @cached_property
    def _class_fluency(self) -> FluencyModel:
        return FluencyModel(self._classes.of(line.split()) for line in self.train_lines[:FLUENCY_LINES])

    def _weakest_scores(self, lines: Sequence[Sequence[str]]) -> Scores:
        return self._class_fluency.weakest_scores([self._classes.of(line) for line in lines])

    @cached_property
    def _index(self) -> TrainingIndex:
        return TrainingIndex(self.train_lines)

    def to_json(self) -> str:
        """The judge as JSON text."""
        document: dict[str, Any] = {
            "measure": MEASURE,
            "thresholds": dataclasses.asdict(self.thresholds),
            "form": dataclasses.asdict(self.form),
            "style_weights": self.style.weights.tolist(),
            "train_lines": self.train_lines,
            "base_lines": self.base_lines,
        }
        return json.dumps(document, ensure_ascii=True, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> QualityJudge:
        """The judge that `to_json` wrote. Raises: ValueError for one of another version of the measure."""
        document = json.loads(text)
        if document.get("measure") != MEASURE:
            raise ValueError(f"the judge is for measure {document.get('measure')}; this program has {MEASURE}.")
        limits = document["thresholds"] | {"human_own_words": tuple(document["thresholds"]["human_own_words"])}
        form = document["form"] | {name: tuple(document["form"][name]) for name in ("openings", "endings")}
        return QualityJudge(
            style=StyleJudge(weights=numpy.array(document["style_weights"], dtype=numpy.int64)),
            form=LineForm(**form),
            thresholds=Thresholds(**limits),
            train_lines=tuple(document["train_lines"]),
            base_lines=tuple(document["base_lines"]),
        )


def fitted_judge(train: Sequence[str], reference: Sequence[str], base_texts: Sequence[str]) -> QualityJudge:
    """`fit_judge`, or what it came to for the same texts before: the fit is exact, and takes seconds.

    Raises: ValueError when one of the three is empty.
    """
    sources = source_digest(Path(__file__).parent.glob("*.py"))
    key = cache_key(MEASURE, sources, list(train), list(reference), list(base_texts))
    document = load_document(CACHE, key)
    if document is not None:
        return QualityJudge.from_json(json.dumps(document))
    judge = fit_judge(train, reference, base_texts)
    store_document(CACHE, key, judge.to_json())
    return judge


def fit_judge(train: Sequence[str], reference: Sequence[str], base_texts: Sequence[str]) -> QualityJudge:
    """Fit a judge on what was trained on, with held-out human lines and base text; all without their keywords.

    Raises: ValueError when one of the three is empty.
    """
    for name, texts in (("training", train), ("reference", reference), ("base", base_texts)):
        if not any(words_of(text) for text in texts):
            raise ValueError(f"there are no words in the {name} texts; give one line or more.")
    reference = [text for text in reference if words_of(text)]
    reference = reference[:: -(-len(reference) // REFERENCE_LINES)]
    words = [words_of(text) for text in reference]
    unset = Thresholds(
        style_full=1.0,
        order_none=0.0,
        order_full=1.0,
        weakest_none=0.0,
        weakest_full=1.0,
        copied_share=1.0,
        overlap_share=1.0,
    )
    judge = QualityJudge(
        style=fit_style_judge(train[:STYLE_LINES], base_texts[:STYLE_LINES]),
        form=fit_form(reference, [len(line) for line in words]),
        thresholds=unset,
        train_lines=tuple(" ".join(words_of(text)) for text in train),
        base_lines=tuple(" ".join(words_of(text)) for text in base_texts[:FLUENCY_LINES]),
    )
    shuffled = _shuffled(words)
    order_none = _quantile(judge._fluency.order_scores(shuffled), 0.9)
    weakest_none = _quantile(judge._weakest_scores(shuffled), 0.9)
    limits = dataclasses.replace(
        unset,
        style_full=max(SMALLEST, _quantile(judge.style.scores(reference), 0.25)),
        order_none=order_none,
        order_full=max(order_none + SMALLEST, _quantile(judge._fluency.order_scores(words), 0.5)),
        weakest_none=weakest_none,
        weakest_full=max(weakest_none + SMALLEST, _quantile(judge._weakest_scores(words), 0.25)),
        copied_share=max(COPIED_SHARE, _quantile(judge._index.covered_shares(words), 0.99)),
        overlap_share=max(OVERLAP_SHARE, _quantile(judge._index.overlap_shares(words), 0.95)),
    )
    human = dataclasses.replace(judge, thresholds=limits).score(reference, [True] * len(reference))
    means = {
        f"human_{name}": max(SMALLEST, float(getattr(human, name).mean()))
        for name in ("style", "form", "adherence", "order", "known", "fluency")
    }
    means["human_covered"] = float(human.covered.mean())
    means["human_copied"] = float(human.copied.mean())
    limits = dataclasses.replace(limits, **means)
    shares = human.own_words.sum(axis=0) / max(1, human.words.sum())
    rounded = {name: round(value, 9) for name, value in dataclasses.asdict(limits).items() if isinstance(value, float)}
    fitted = Thresholds(**rounded, human_own_words=tuple(round(share, 9) for share in shares.tolist()))
    return dataclasses.replace(judge, thresholds=fitted)


def _chunks(texts: Sequence[str]) -> Iterator[slice]:
    """Stretches of `texts`, end to end: at most `CHUNK_LINES` of them and `CHUNK_CHARACTERS`, or one longer text."""
    start = characters = 0
    for place, text in enumerate(texts):
        if place - start == CHUNK_LINES or (place > start and characters + len(text) > CHUNK_CHARACTERS):
            yield slice(start, place)
            start, characters = place, 0
        characters += len(text)
    if texts:
        yield slice(start, len(texts))


def _between(values: Scores, none: float, full: float) -> Scores:
    """0 up to `none`, 1 from `full` on."""
    return numpy.clip((values - none) / (full - none), 0, 1)


def _shuffled(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    order = random.Random(0)
    return [order.sample(list(line), len(line)) for line in lines]


def _quantile(values: Scores, share: float) -> float:
    """The value that `share` of the sorted values lie below; one of them, never a point between two."""
    return float(numpy.sort(values)[round(share * (len(values) - 1))])
