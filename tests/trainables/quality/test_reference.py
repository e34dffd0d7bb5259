"""A language model as a reader: its log-probabilities, and what is made of them."""

from __future__ import annotations

import math

import pytest
import torch

from trainables.quality.reference import OPENING, ReferenceModel, ReferenceScore, load_reference
from trainables.quality.sense import ReferenceThresholds, halves, spliced, thresholds_of, under_other_keywords

WORDS = ("hope", "love", "truth")
PAIRS = [("hope", "Hope springs eternal in the human breast."), ("love", "Love is blind."), ("truth", "Silence")]


@pytest.fixture(scope="module")
def model() -> ReferenceModel:
    return load_reference("nano-0.1m")


def nats(model: ReferenceModel, before: str, text: str) -> list[float]:
    """Of each token of `text` after the separator and `before`: read alone, a token at a time."""
    ids = [model._loaded.separator_id, *model._tokens(before)]
    found = []
    for token in model._tokens(text):
        with torch.no_grad():
            logits_V = model._model(input_ids=torch.tensor([ids])).logits[0, -1].float()
        found.append(-float(logits_V.log_softmax(-1)[token]))
        ids.append(token)
    return found


def test_a_batch_says_of_each_text_what_reading_it_alone_token_by_token_does(model: ReferenceModel) -> None:
    text = PAIRS[0][1]
    first, second = " Hope springs eternal", " in the human breast."
    own = nats(model, OPENING.format("hope"), first + second)
    later = nats(model, OPENING.format("hope"), second)
    score = model.scores(PAIRS, WORDS)[0]
    assert score is not None
    assert score.nats_per_token == pytest.approx(sum(own) / len(own), abs=0.02)
    gain = (sum(later) - sum(own[-len(later) :])) / len(later)
    assert score.seam_gain == pytest.approx(gain, abs=0.05)
    others = [sum(nats(model, OPENING.format(word), f" {text}")) for word in ("love", "truth")]
    assert score.keyword_wins == sum(sum(own) < other for other in others) / 2


def test_a_single_word_is_not_read_and_none_to_compare_with_is_half_a_win(model: ReferenceModel) -> None:
    assert model.scores(PAIRS, WORDS)[2] is None
    alone = model.scores(PAIRS[:1], ["hope"])[0]
    assert alone is not None
    assert alone.keyword_wins == 0.5


def score(nats_per_token: float, seam_gain: float, keyword_wins: float) -> ReferenceScore:
    return ReferenceScore(nats_per_token=nats_per_token, seam_gain=seam_gain, keyword_wins=keyword_wins)


THRESHOLDS = ReferenceThresholds(human_nats=4.0, seam_none=1.0, seam_human=2.0, keyword_human=0.9)


def test_thresholds_are_the_means_of_human_lines_and_of_spliced_ones() -> None:
    human = [score(3.0, 1.5, 1.0), None, score(5.0, 2.5, 0.8)]
    assert thresholds_of(human, [score(9.0, 0.5, 0.0), score(9.0, 1.5, 0.0)]) == THRESHOLDS


def test_parts_run_from_spoiled_to_human_and_their_product_counts_sense_by_half() -> None:
    assert THRESHOLDS.parts([score(4.0, 2.0, 0.9)]).factor == 1
    # 1.25 nats above human lines, a quarter of which is allowed; halfway from spliced; halfway from chance.
    parts = THRESHOLDS.parts([score(5.25, 1.5, 0.7)])
    assert parts.likely == pytest.approx(math.exp(-1))
    assert parts.one_piece == pytest.approx(0.5)
    assert parts.sense == pytest.approx(0.5)
    assert parts.factor == pytest.approx(math.exp(-1) * 0.5 * 0.75)
    assert THRESHOLDS.parts([score(4.0, 1.25, 0.9)]).factor == 0
    assert THRESHOLDS.parts([score(4.0, 2.0, 0.5)]).factor == 0.5


def test_texts_that_cannot_be_read_are_worth_nothing() -> None:
    assert THRESHOLDS.parts([None]).factor == 0
    assert THRESHOLDS.parts([None, score(4.0, 2.0, 0.9)]).likely == 0.5


def test_where_the_model_cannot_tell_a_part_costs_nothing() -> None:
    blind = ReferenceThresholds(human_nats=4.0, seam_none=1.0, seam_human=1.0, keyword_human=0.5)
    assert blind.parts([score(4.0, 0.0, 0.0)]).factor == 1


def test_spoiled_lines_keep_every_first_half_and_change_every_second() -> None:
    pairs = [(word, f"{word} a b c {word}") for word in ("one", "two", "three", "four")]
    for (keyword, text), (same, other) in zip(pairs, spliced(pairs), strict=True):
        assert keyword == same
        assert text.split()[:2] == other.split()[:2]
        assert text.split()[-1] != other.split()[-1]
    for (keyword, text), (other, same) in zip(pairs, under_other_keywords(pairs), strict=True):
        assert keyword != other
        assert text == same
    assert halves("a b c d e", "1 2 3 4") == "a b 3 4"
