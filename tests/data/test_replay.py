"""Base text beside the quotes: as much as was asked for, none that is held out, the same for the same seed."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from data.quotes import load_quotes, load_science
from data.replay import draw_replay, replay_count
from data.splits import is_validation, remove_duplicates, split_quotes
from tests.support.record_factory import make_record
from trainables.records.trial_data import TrialData, trial_data

BASE = ("a: one.", "b: two.", "c: three.")


@pytest.fixture(scope="module")
def shipped() -> TrialData:
    return trial_data(split_quotes(remove_duplicates(load_quotes("shipped"))))


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (0.25, 50), (1.0, 200), (2.5, 500), (0.001, 0)])
def test_ratio_is_documents_of_base_text_for_each_quote(ratio: float, expected: int) -> None:
    assert replay_count(200, ratio) == expected


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 2.0])
def test_mix_has_every_quote_once_and_the_asked_share_of_base_text(shipped: TrialData, ratio: float) -> None:
    quotes = {quote.line for quote in shipped.quotes.train}
    lines = shipped.training_lines(ratio, seed=3)
    assert Counter(line for line in lines if line in quotes) == dict.fromkeys(quotes, 1)
    replayed = [line for line in lines if line not in quotes]
    assert len(replayed) == round(ratio * len(quotes))
    assert len(set(replayed)) == len(replayed)  # there are more lines of base text than these


def test_held_out_lines_are_never_replayed(shipped: TrialData) -> None:
    science = load_science()
    ratio = 3 * len(science) / len(shipped.quotes.train)  # every line that may be drawn, and more
    replayed = shipped.training_lines(ratio, seed=0)[len(shipped.quotes.train) :]
    assert len(replayed) == 3 * len(science)
    assert set(replayed) == {line for line in science if not is_validation(line)}
    assert set(replayed).isdisjoint(shipped.domain.base_validation)
    assert set(replayed).isdisjoint(quote.line for quote in shipped.quotes.validation)


def test_seed_alone_decides_the_draw(shipped: TrialData) -> None:
    assert shipped.training_lines(1.0, 5) == shipped.training_lines(1.0, 5)
    assert shipped.training_lines(1.0, 5) != shipped.training_lines(1.0, 6)


def test_more_replay_begins_with_the_same_lines() -> None:
    assert draw_replay(BASE, 7, 1)[:2] == draw_replay(BASE, 2, 1)


def test_no_line_comes_twice_before_each_came_once() -> None:
    drawn = draw_replay(BASE, 7, 0)
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == sorted(BASE)
    assert len(drawn) == 7


def test_replay_without_base_text_is_refused() -> None:
    assert draw_replay((), 0, 0) == []
    with pytest.raises(ValueError, match="no base text"):
        draw_replay((), 1, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("replay_ratio", -0.5), ("replay_ratio", float("nan")), ("replay_ratio", float("inf")), ("epochs", 0.0)],
)
def test_share_that_is_none_is_refused(name: str, value: float) -> None:
    settings = make_record(0).settings
    with pytest.raises(ValueError, match=f"^{name}={value}; it must be"):
        dataclasses.replace(settings, **{name: value})
