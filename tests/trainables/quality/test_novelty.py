"""What of a text the training set has already: against shares counted by hand."""

from __future__ import annotations

import pytest

from trainables.quality.judge import fit_judge
from trainables.quality.novelty import TrainingIndex
from trainables.quality.score import ScoredText, TextScores

EIGHT = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def test_words_in_spans_of_seven_are_covered() -> None:
    index = TrainingIndex([" ".join(EIGHT), "be still"])
    assert index.covered_shares([EIGHT])[0] == 1.0
    assert index.covered_shares([[*EIGHT[:6], "x"]])[0] == 0.0
    assert index.covered_shares([["x", *EIGHT[1:8], "y", "z"]])[0] == pytest.approx(0.7)
    assert index.covered_shares([["be", "still"], ["be"], []]).tolist() == [1.0, 0.0, 0.0]


def test_a_span_does_not_reach_over_the_end_of_a_line() -> None:
    index = TrainingIndex([" ".join(EIGHT)])
    assert index.covered_shares([EIGHT[:4], EIGHT[4:]]).tolist() == [0.0, 0.0]


def test_overlap_is_the_share_of_word_pairs_that_one_line_has() -> None:
    index = TrainingIndex([" ".join(EIGHT), "six seven x"])
    # Eight words have 7 + 6 + 5 pairs up to three words apart. The sixth is in 2 + 2 + 1 of them.
    changed = [*EIGHT[:5], "other", *EIGHT[6:]]
    assert index.overlap_shares([EIGHT, changed]).tolist() == [1.0, pytest.approx(13 / 18)]
    # With one put in after the fourth, three pairs across it are too far apart now, and it has 3 + 3 of its own.
    put_in = [*EIGHT[:4], "other", *EIGHT[4:]]
    assert index.overlap_shares([put_in]).tolist() == [pytest.approx(15 / 21)]
    # Of "five six seven x"'s six pairs each line has three: no line has more.
    assert index.overlap_shares([["five", "six", "seven", "x"]]).tolist() == [0.5]
    assert index.overlap_shares([["x"], [], ["two", "one"]]).tolist() == [0.0, 0.0, 0.0]
    assert index.overlap_shares([]).tolist() == []


def test_pair_that_stands_in_very_many_lines_points_out_none() -> None:
    many = [["of", "the", f"word{number}"] for number in range(33)]
    index = TrainingIndex([*map(" ".join, many), "one two"])
    assert index.overlap_shares([["of", "the"], ["of", "the", "word3"]]).tolist() == [0.0, 1.0]
    assert index.overlap_shares([["one", "two", "of", "the"]]).tolist() == [pytest.approx(1 / 5)]


def test_words_in_short_spans_are_counted() -> None:
    index = TrainingIndex(["a b c", "c d"])
    assert index.covered_words([["a", "b", "c", "d"], ["c", "a", "b"], ["b"], []], 2).tolist() == [4, 2, 0, 0]
    assert index.covered_words([["a", "b", "c", "d"]], 3).tolist() == [3]  # b c d runs over the end of a line


TRAIN = [
    f"The {a} that keeps the {b} shall find a quiet {c}."
    for a in ("heart", "hand", "soul")
    for b in ("law", "word")
    for c in ("house", "road", "night", "lamp")
]
FRESH = ["A small lamp is kept by the word of night.", "No road is quiet to the hand that waits."]
REFERENCE = [f"The {a} shall keep a quiet {c}." for a in ("heart", "hand", "soul", "word") for c in ("road", "lamp")]
BASE = ["any genus of small plants found in water", "any class of worms found in soil"]


def test_half_copies_are_vetoed() -> None:
    judge = fit_judge(TRAIN, REFERENCE, BASE)
    texts = [ScoredText(text=text, kind="seen") for text in [*TRAIN[:2], *FRESH]]
    parts = TextScores(texts, judge).parts()
    assert parts.copied_share == 0.5
    assert parts.novelty == 0.0
