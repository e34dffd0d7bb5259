"""The parts of sample quality, one by one, against numbers worked out by hand."""

from __future__ import annotations

import json
import math

import numpy
import pytest
from sklearn.metrics import roc_auc_score

from data.domain import without_head
from data.quotes import load_quotes, load_science
from data.splits import is_validation, remove_duplicates, split_quotes
from trainables.quality import judge as judge_module
from trainables.quality.diversity import diversity, self_bleu, variety
from trainables.quality.judge import QualityJudge, fit_judge
from trainables.quality.measure import measure_quality
from trainables.quality.reference import ReferenceScore
from trainables.quality.sampling import SamplingSettings
from trainables.quality.score import ReferenceScores, ScoredText, TextScores, retention, spill_over
from trainables.quality.sense import ReferenceThresholds
from trainables.quality.style import fit_style_judge
from trainables.quality.words import LOG_UNIT, exact_log, words_of
from trainables.records.record import Evaluation, Sample

TRAIN = [
    f"The {a} that keeps the {b} shall find a quiet {c}."
    for a in ("heart", "hand", "soul")
    for b in ("law", "word")
    for c in ("house", "road", "night", "lamp")
]
REFERENCE = [f"The {a} shall keep a quiet {c}." for a in ("heart", "hand", "soul", "word") for c in ("road", "lamp")]
BASE = [
    f"any {a} of small {b} found in water" for a in ("genus", "order", "class") for b in ("plants", "worms", "cells")
]


@pytest.fixture(scope="module")
def judge() -> QualityJudge:
    return fit_judge(TRAIN, REFERENCE, BASE)


# Words


def test_ascii_words_are_those_of_any_text() -> None:
    assert words_of("Don't fear -- the 2nd Night!") == ["dont", "fear", "the", "2nd", "night"]
    assert words_of("Naïve “LOVE”") == ["naïve", "love"]
    assert words_of(" \n\x1b") == []


def test_logarithms_are_whole_units_within_half_of_one() -> None:
    found = exact_log(numpy.array([1.0, math.e, 0.5]))
    assert found.dtype == numpy.int64
    assert found.tolist() == [0, 2**20, round(math.log(0.5) * 2**20)]
    assert LOG_UNIT == 2**-20


# Style


def test_held_out_quotes_are_told_from_held_out_science() -> None:
    split, science = split_quotes(remove_duplicates(load_quotes("shipped"))), load_science()
    base = without_head([line for line in science if not is_validation(line)])[:1000]
    held_out_base = without_head([line for line in science if is_validation(line)])
    style = fit_style_judge([quote.text for quote in split.train][:1000], base)
    held_out = [quote.text for quote in split.validation]
    scores = style.scores(held_out + held_out_base)
    assert roc_auc_score([1] * len(held_out) + [0] * len(held_out_base), scores) > 0.99


def test_a_text_is_judged_the_same_in_any_company(judge: QualityJudge) -> None:
    together = judge.style.scores([*TRAIN, ""])
    assert together.tolist() == [float(judge.style.scores([text])[0]) for text in [*TRAIN, ""]]
    assert together[-1] == 0.0
    assert judge.style.scores([]).shape == (0,)


def test_style_is_the_mean_log_ratio_of_ngrams() -> None:
    # " a " has the 2-grams " a", "a " and the 3-gram " a ": 3 of "a a"'s n-grams each twice; 3 for "b" likewise.
    style = fit_style_judge(["a"], ["b"])
    # Each seen n-gram: (1 + 1) / (3 + F) on its own side against 1 / (3 + F) on the other.
    assert style.scores(["a", "b", "zzzz"]) == pytest.approx([math.log(2), -math.log(2), 0.0], abs=2 * LOG_UNIT)


# Diversity


def test_self_bleu_against_all_others_is_as_by_hand() -> None:
    lines = [["a", "b", "c", "d"], ["a", "b", "c", "e"], ["x", "y", "z", "w"]]
    # Line 1 shares 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, 0 of 1 quadruple with line 2; one is added everywhere.
    first = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    third = (1 / 5 * 1 / 4 * 1 / 3 * 1 / 2) ** 0.25
    assert self_bleu(lines) == pytest.approx((2 * first + third) / 3, abs=1e-9)


def test_clipped_counts_come_from_the_best_other_line() -> None:
    lines = [["a", "a", "a"], ["a", "a"], ["b"]]
    first = (3 / 4 * 2 / 3 * 1 / 2) ** 0.25  # two of its three "a", one of its two "a a", none of one triple
    second = 1.0
    third = (1 / 2) ** 0.25
    assert self_bleu(lines) == pytest.approx((first + second + third) / 3, abs=1e-9)


def test_variety_counts_different_lines_and_ngrams() -> None:
    found = variety([["a", "b", "a", "b"], ["a", "b", "a", "b"]])
    assert found.different_lines == 0.5
    assert found.distinct == pytest.approx((2 / 8 + 2 / 6 + 2 / 4) / 3)
    assert found.unrepeated == pytest.approx(2 / 3)
    assert found.self_bleu_left == 0.0


def test_the_more_copies_the_less_diversity_however_many_samples() -> None:
    human = [[f"w{i}", f"v{j}", f"u{i + j}", f"t{i * j}"] for i in range(30) for j in range(30)]
    assert diversity(human[:300], human) > 0.95
    for count in (100, 1000, 4000):
        assert diversity([human[i % 10] for i in range(count)], human) <= 0.11
    assert diversity([], human) == 0.0
    assert diversity([[]] * 20, human) == 0.0


# The judge


def test_a_judge_survives_json_bit_for_bit(judge: QualityJudge) -> None:
    again = QualityJudge.from_json(judge.to_json())
    assert again.version == judge.version
    texts, ended = [*TRAIN, *BASE, "", "<b>\x1b[31m"], [True] * (len(TRAIN) + len(BASE) + 2)
    for one, other in zip(
        vars(judge.score(texts, ended)).values(), vars(again.score(texts, ended)).values(), strict=True
    ):
        assert one.tobytes() == other.tobytes()


def test_the_same_lines_make_the_same_judge_and_others_another(judge: QualityJudge) -> None:
    assert fit_judge(TRAIN, REFERENCE, BASE).version == judge.version
    assert fit_judge(TRAIN[1:], REFERENCE, BASE).version != judge.version
    assert judge.version.startswith("quality-3-")


def test_a_judge_of_another_measure_is_refused(judge: QualityJudge) -> None:
    document = json.loads(judge.to_json()) | {"measure": 0}
    with pytest.raises(ValueError, match="the judge is for measure 0; this program has 3"):
        QualityJudge.from_json(json.dumps(document))


def test_texts_are_scored_in_stretches_of_bounded_length_with_the_same_scores(
    judge: QualityJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*TRAIN[:3], "", "long " * 100, TRAIN[4]]
    whole, told = judge.score(texts, [True] * 6), []
    monkeypatch.setattr(judge_module, "CHUNK_CHARACTERS", 3 * len(TRAIN[0]))
    monkeypatch.setattr(judge_module, "CHUNK_LINES", 2)
    apart = judge.score(texts, [True] * 6, told.append)
    assert told == [2, 4, 5, 6]  # two and two; a text that is longer than a stretch stands alone
    for one, other in zip(vars(whole).values(), vars(apart).values(), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_judge_of_very_few_lines_still_judges(lines: int) -> None:
    small = fit_judge(TRAIN[:lines], REFERENCE[:1], BASE[:1])
    texts = [ScoredText(text=text, kind="seen", batch=i) for i, text in enumerate(REFERENCE)]
    assert 0 <= TextScores(texts, small).parts().adherence <= 1


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(ValueError, match="no words in the reference texts"):
        fit_judge(TRAIN, ["--"], BASE)


# The whole


def test_retention_is_the_mean_of_two_losses_in_nats() -> None:
    assert retention(20.0, 40.0, 2.0, 2.5) == pytest.approx(math.exp(-(math.log(2) + 0.5) / 2))
    assert retention(20.0, 10.0, 2.0, 1.0) == 1.0


def test_less_style_off_domain_than_before_is_no_spill_over() -> None:
    assert spill_over(0.1, 0.3) == 0.0
    assert spill_over(0.5, 0.2) == pytest.approx(0.3)


def sample(kind: str, seed: int, text: str, base_text: str = BASE[0]) -> Sample:
    return Sample(prompt="x:", kind=kind, seed=seed, text=text, base_text=base_text, ended=True)  # pyright: ignore[reportArgumentType]


EVALUATION = Evaluation(
    quote_loss_before=5.0,
    quote_loss=3.0,
    science_perplexity_before=20.0,
    science_perplexity=40.0,
    off_domain_loss_before=2.0,
    off_domain_loss=2.0,
)
SAMPLING = SamplingSettings(temperature=0.7, top_p=0.9, seed=3, greedy=False)


def test_a_report_multiplies_its_parts(judge: QualityJudge) -> None:
    samples = [sample("seen" if i % 2 else "unseen", i, text) for i, text in enumerate(REFERENCE)]
    samples += [sample("off_domain", i, (BASE + REFERENCE)[6 + i]) for i in range(6)]  # three of six in the style
    report = measure_quality(samples, EVALUATION, judge, SAMPLING)
    assert report.style_off_domain == pytest.approx(0.5, abs=0.1)
    assert report.base_style_off_domain == 0.0
    assert report.retention == pytest.approx(math.sqrt(0.5))
    expected = report.adherence * report.fluency * report.diversity * report.novelty
    expected *= (1 - report.spill_over / 2) * math.sqrt(report.retention)
    assert report.sample_quality == pytest.approx(expected)
    assert report.standard_error is not None
    assert (report.sample_count, report.temperature, report.top_p, report.sampling_seed) == (14, 0.7, 0.9, 3)
    assert report.version == judge.version


def test_a_reading_multiplies_quality_and_stands_in_its_version(judge: QualityJudge) -> None:
    samples = [sample("seen", i, text) for i, text in enumerate(REFERENCE)]
    thresholds = ReferenceThresholds(human_nats=4.0, seam_none=1.0, seam_human=2.0, keyword_human=0.9)
    of_each = ReferenceScore(nats_per_token=4.25 + math.log(2), seam_gain=1.5, keyword_wins=0.5)
    readings = ReferenceScores(language_model="reader", scores=[of_each] * len(samples), thresholds=thresholds)
    plain = measure_quality(samples, EVALUATION, judge, SAMPLING)
    read = measure_quality(samples, EVALUATION, judge, SAMPLING, readings)
    assert (read.likely, read.one_piece, read.sense) == (pytest.approx(0.5), pytest.approx(0.5), 0.0)
    assert read.sample_quality == pytest.approx(plain.sample_quality * 0.5 * 0.5 / 2)
    assert (read.fluency, read.adherence, read.retention) == (plain.fluency, plain.adherence, plain.retention)
    assert read.version == f"quality-4-{judge.version.rpartition('-')[2]}-reader"
    assert (plain.language_model, plain.likely, plain.one_piece, plain.sense) == (None, None, None, None)


def test_one_batch_has_no_standard_error(judge: QualityJudge) -> None:
    scores = TextScores([ScoredText(text=text, kind="seen") for text in REFERENCE], judge)
    assert scores.standard_error(lambda parts: parts.adherence) is None


def test_the_standard_error_of_a_mean_is_that_of_its_batch_means(judge: QualityJudge) -> None:
    # Four batches of one text each, adherence 1, 0, 1, 0 of human lines' mean: s / sqrt(n), s² = 4 * 0.25 / 3.
    texts = [ScoredText(text=text, kind="seen", batch=i) for i, text in enumerate([REFERENCE[0], "", REFERENCE[0], ""])]
    error = TextScores(texts, judge).standard_error(lambda parts: parts.form)
    assert error == pytest.approx(math.sqrt(4 * 0.25 / 3 / 4))
