"""Form and fluency of single texts, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from trainables.quality.fluency import FluencyModel, WordClasses
from trainables.quality.form import LineForm, fit_form
from trainables.quality.words import LOG_UNIT

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
