"""Where a worker's seconds go: parts within parts count once, and what begins is told."""

from __future__ import annotations

import pytest

from trainables.training import time_split
from trainables.training.time_split import TimeSplit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time_split, "time", clock)
    return clock


def test_a_part_within_another_counts_for_itself_alone(clock: Clock) -> None:
    split = TimeSplit()
    clock.now += 7  # nobody's
    with split.part("steps"):
        clock.now += 10
        with split.part("saving"):
            clock.now += 2
        clock.now += 5
    with split.part("steps"):
        clock.now += 1
    assert split.seconds == {"steps": 16.0, "saving": 2.0}


def test_an_error_ends_its_part(clock: Clock) -> None:
    split = TimeSplit()

    def fail() -> None:
        with split.part("steps"), split.part("rehearsal"):
            clock.now += 3
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    clock.now += 50
    assert split.seconds == {"rehearsal": 3.0, "steps": 0.0}


def test_what_runs_now_is_counted_so_far_and_was_told(clock: Clock) -> None:
    heard: list[str] = []
    split = TimeSplit(heard.append)
    with split.part("model_load"):
        clock.now += 4
        assert split.seconds == {"model_load": 4.0}
        assert heard == ["model_load"]
