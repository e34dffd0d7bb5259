"""The parts of sample quality, one by one, against numbers worked out by hand."""

from __future__ import annotations

import json
import math

import numpy
import pytest
from sklearn.metrics import roc_auc_score

from data.quotes import load_quotes, load_science
from data.splits import is_validation, remove_duplicates, split_quotes
from trainables.quality.diversity import diversity, self_bleu, variety
from trainables.quality.fluency import FluencyModel, WordClasses
from trainables.quality.form import LineForm, fit_form
from trainables.quality.judge import QualityJudge, fit_judge
from trainables.quality.measure import measure_quality
from trainables.quality.sampling import SamplingSettings
from trainables.quality.score import ScoredText, TextScores, retention, spill_over
from trainables.quality.style import fit_style_judge
from trainables.quality.words import LOG_UNIT, exact_log, words_of
from trainables.records import Evaluation, Sample
from trainables.trial_data import without_keyword

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
    base = without_keyword([line for line in science if not is_validation(line)])[:1000]
    held_out_base = without_keyword([line for line in science if is_validation(line)])
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


# Form

FORM = LineForm(openings=("Lu",), endings=(".", "?"), fewest_words=4, most_words=10)


@pytest.mark.parametrize(
    ("text", "words", "ended", "score"),
    [
        ("All is well here.", 4, True, 1.0),
        ("All is well here.", 4, False, 0.0),
        ("all is well here.", 4, True, 0.0),
        ("All is well here", 4, True, 0.0),
        ("So?", 1, True, 0.25),
        ("A … .", 15, True, 0.5),
        ("A … .", 20, True, 0.0),
        ("A … .", 500, True, 0.0),
        ("  ", 0, True, 0.0),
    ],
)
def test_form_is_open_end_and_length(text: str, words: int, ended: bool, score: float) -> None:
    assert FORM.score(text, words, ended) == score


def test_form_is_learned_from_what_two_in_a_hundred_lines_do() -> None:
    lines = ["Yes it is."] * 97 + ["Is it?"] * 2 + ["what!"]
    form = fit_form(lines, [3] * 97 + [2] * 2 + [1])
    # Of "Yes it is." one of eight characters is a capital and one a sign; of "Is it?" one of five, in two of 100 lines.
    assert form == LineForm(
        openings=("Lu",), endings=(".", "?"), fewest_words=2, most_words=3, most_capitals=0.2, most_signs=0.2
    )


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Ab cd ef gh.", 1.0),  # one capital and one sign of nine
        ("ABc de fghi.", 1.0),  # two of ten
        ("ABC de fghi.", 0.5),  # three of ten, half more than the most
        ("ABCD EF GHI.", 0.0),
        ("Ab -- ef ghi.", 0.5),  # three signs of ten
        ("A\u200bb\u200b \u200bcd.", 0.0),  # four of eight, three of which do not show
    ],
)
def test_more_capitals_or_signs_than_human_lines_have_cost_by_their_share(text: str, score: float) -> None:
    form = LineForm(openings=("Lu",), endings=(".",), fewest_words=1, most_words=10, most_capitals=0.2, most_signs=0.2)
    assert form.score(text, 3, ended=True) == pytest.approx(score)


# Fluency


def test_word_order_gains_what_context_tells() -> None:
    model = FluencyModel([["the", "cat", "sat"]] * 3 + [["a", "dog", "ran"]] * 3)
    right, wrong = model.order_scores([["the", "cat", "sat"], ["sat", "the", "cat"]])
    assert right > 1.0 > wrong
    assert model.order_scores([[]]).tolist() == [0.0]


def test_trigram_probability_is_interpolated_kneser_ney() -> None:
    model = FluencyModel([["a", "b"]] * 2)
    # Six words: start, end, a, b, and the shapes of "a" (or "b") and of "". Trigrams, twice each: s s a, s a b, a b e.
    # Each word follows one other, so every continuation count is 1 of 3 unigrams: p1 = (1 - .75) / 3 + .75 * 3/3 * 1/6.
    p1 = 0.25 / 3 + 0.75 / 6
    p2 = 0.25 / 1 + 0.75 * p1
    p3 = 1.25 / 2 + 0.75 / 2 * p2
    unigram = (2 + 1) / (6 + 6)
    assert model.order_scores([["a", "b"]])[0] == pytest.approx(math.log(p3 / unigram), abs=3 * LOG_UNIT)


def test_weakest_quarter_of_a_line_is_its_worst_words_alone() -> None:
    model = FluencyModel([["a", "b"]] * 2)
    # p1 and p3 as in the test above, where the three gains are alike. Of "b a" the b is the worst: it was never seen
    # after two starts, nor after one, so p = .75/2 * .75 * p1; the others' unseen contexts cost nothing.
    p1 = 0.25 / 3 + 0.75 / 6
    p3 = 1.25 / 2 + 0.75 / 2 * (0.25 + 0.75 * p1)
    wanted = [math.log(p3 / (3 / 12)), math.log(0.75 / 2 * 0.75 * p1 / (3 / 12))]
    assert model.weakest_scores([["a", "b"], ["b", "a"]]) == pytest.approx(wanted, abs=3 * LOG_UNIT)
    assert model.weakest_scores([[]]).tolist() == [0.0]


def test_rarer_words_stand_as_their_endings() -> None:
    common = [f"w{number}" for number in range(150)]
    classes = WordClasses([common * 2, ["walking", "talking", "ox", "1984"]])
    assert classes.of(["w7", "walking", "talking", "seeking", "ox", "1984"]) == [
        "w7",
        *["<-ng>"] * 3,
        "<2>",
        "<number>",
    ]


def test_known_words_are_those_of_the_fitting_text_and_numbers() -> None:
    model = FluencyModel([["the", "cat", "sat"]])
    assert model.known_shares([["the", "cat"], ["the", "blorf"], ["1984"], []]).tolist() == [1.0, 0.5, 1.0, 0.0]


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


def test_a_report_multiplies_its_parts(judge: QualityJudge) -> None:
    samples = [sample("seen" if i % 2 else "unseen", i, text) for i, text in enumerate(REFERENCE)]
    samples += [sample("off_domain", i, (BASE + REFERENCE)[6 + i]) for i in range(6)]  # three of six in the style
    evaluation = Evaluation(
        quote_loss_before=5.0,
        quote_loss=3.0,
        science_perplexity_before=20.0,
        science_perplexity=40.0,
        off_domain_loss_before=2.0,
        off_domain_loss=2.0,
    )
    settings = SamplingSettings(temperature=0.7, top_p=0.9, seed=3, greedy=False)
    report = measure_quality(samples, evaluation, judge, settings)
    assert report.style_off_domain == pytest.approx(0.5, abs=0.1)
    assert report.base_style_off_domain == 0.0
    assert report.retention == pytest.approx(math.sqrt(0.5))
    expected = report.adherence * report.fluency * report.diversity * report.novelty
    expected *= (1 - report.spill_over / 2) * math.sqrt(report.retention)
    assert report.sample_quality == pytest.approx(expected)
    assert report.standard_error is not None
    assert (report.sample_count, report.temperature, report.top_p, report.sampling_seed) == (14, 0.7, 0.9, 3)
    assert report.version == judge.version


def test_one_batch_has_no_standard_error(judge: QualityJudge) -> None:
    scores = TextScores([ScoredText(text=text, kind="seen") for text in REFERENCE], judge)
    assert scores.standard_error(lambda parts: parts.adherence) is None


def test_the_standard_error_of_a_mean_is_that_of_its_batch_means(judge: QualityJudge) -> None:
    # Four batches of one text each, adherence 1, 0, 1, 0 of human lines' mean: s / sqrt(n), s² = 4 * 0.25 / 3.
    texts = [ScoredText(text=text, kind="seen", batch=i) for i, text in enumerate([REFERENCE[0], "", REFERENCE[0], ""])]
    error = TextScores(texts, judge).standard_error(lambda parts: parts.form)
    assert error == pytest.approx(math.sqrt(4 * 0.25 / 3 / 4))
