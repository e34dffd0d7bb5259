"""A frozen language model reads a trial's texts, by its name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from data.quotes import load_quotes
from data.splits import remove_duplicates, split_quotes
from trainables.model.models import ModelError
from trainables.quality import sense
from trainables.quality.reading import read_texts
from trainables.quality.score import ReferenceScores, ScoredText

READER = "nano-0.6m"
HELD_OUT = split_quotes(remove_duplicates(load_quotes("shipped"))).validation
HUMAN, OTHERS = HELD_OUT[:60], HELD_OUT[60:90]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def texts(*, are_shuffled: bool = False) -> list[ScoredText]:
    found = []
    for quote in OTHERS:
        words = quote.text.split()
        if are_shuffled:
            random.Random(1).shuffle(words)
        found.append(ScoredText(text=" ".join(words), kind="seen", keyword=quote.keyword))
    return found


def parts(readings: ReferenceScores) -> sense.ReferenceParts:
    return readings.thresholds.parts([score for score in readings.scores if score is not None])


def test_human_lines_are_likelier_and_more_of_one_piece_than_their_words_shuffled() -> None:
    human, shuffled = (parts(read_texts(READER, HUMAN, texts(are_shuffled=shuffled))) for shuffled in (False, True))
    assert human.likely > 0.9
    assert shuffled.likely < human.likely
    assert shuffled.nats_per_token > human.nats_per_token + 0.5
    assert shuffled.factor < human.factor / 2


def test_off_domain_texts_are_not_read() -> None:
    mixed = [ScoredText(text="Viruses are small.", kind="off_domain", keyword="virus"), *texts()]
    readings = read_texts(READER, HUMAN, mixed)
    assert readings.language_model == READER
    assert [score is None for score in readings.scores] == [True] + [False] * len(OTHERS)


def test_human_lines_are_read_once_for_all_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_texts(READER, HUMAN, texts())

    def fit_again(*_: object) -> None:
        raise AssertionError("the human lines were read again")

    monkeypatch.setattr(sense, "fit_reference", fit_again)
    assert read_texts(READER, HUMAN, texts()).thresholds == first.thresholds
    with pytest.raises(AssertionError, match="read again"):  # other lines are others
        read_texts(READER, HUMAN[1:], texts())


def test_an_unknown_reader_is_refused() -> None:
    with pytest.raises(ModelError, match="nano-99m"):
        read_texts("nano-99m", HUMAN, texts())
