"""What of a text the training set has already: against shares counted by hand."""

from __future__ import annotations

import pytest

from trainables.quality.judge import fit_judge
from trainables.quality.novelty import TrainingIndex
from trainables.quality.score import ScoredText, TextScores

EIGHT = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def test_words_in_spans_of_seven_are_covered() -> None:
    index = TrainingIndex([EIGHT, ["be", "still"]])
    assert index.covered_shares([EIGHT])[0] == 1.0
    assert index.covered_shares([[*EIGHT[:6], "x"]])[0] == 0.0
    assert index.covered_shares([["x", *EIGHT[1:8], "y", "z"]])[0] == pytest.approx(0.7)
    assert index.covered_shares([["be", "still"], ["be"], []]).tolist() == [1.0, 0.0, 0.0]


def test_a_span_does_not_reach_over_the_end_of_a_line() -> None:
    index = TrainingIndex([EIGHT])
    assert index.covered_shares([EIGHT[:4], EIGHT[4:]]).tolist() == [0.0, 0.0]


def test_overlap_is_the_share_of_word_triples_that_one_line_has() -> None:
    index = TrainingIndex([EIGHT, ["x"], ["five", "six", "seven", "nine"], [], ["y"], ["z"], ["v"], ["w"], ["u"]])
    changed = [*EIGHT[:5], "other", *EIGHT[6:]]  # of its six triples the first three are left
    assert index.overlap_shares([EIGHT, changed]).tolist() == [1.0, 0.5]
    # Its three triples stand in two lines, two in the one and two in the other: no line has more than two.
    assert index.overlap_shares([["four", "five", "six", "seven", "nine"]]).tolist() == [pytest.approx(2 / 3)]
    assert index.overlap_shares([["x"], [], ["one", "two"]]).tolist() == [0.0, 0.0, 0.0]
    assert index.overlap_shares([]).tolist() == []


def test_new_ngrams_are_those_that_no_line_has() -> None:
    index = TrainingIndex([["a", "b", "c"], ["c", "d"]])
    new, all_ = index.ngram_counts([["a", "b", "c", "d"], ["c", "a"], ["b"]], 2)
    assert (new.tolist(), all_.tolist()) == ([0, 1, 0], [3, 1, 0])
    new, all_ = index.ngram_counts([["a", "b", "c", "d"]], 3)  # b c d runs over the end of a line
    assert (new.tolist(), all_.tolist()) == ([1], [2])


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
