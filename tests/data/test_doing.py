"""A program says from the first second what it does: seldom in a log, on one line of a terminal."""

from __future__ import annotations

import os
import pty
import sys
import time

import pytest

import data.doing
from data.doing import Teller, clock_text, doing, leaving_the_terminal, span_text, telling_what
from data.progress import progress


class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text", "clock"),
    [
        (0.2, "0 s", "0:00"),
        (99.4, "99 s", "1:39"),
        (200, "3 min 20 s", "3:20"),
        (3599.4, "59 min 59 s", "59:59"),
        (7_503, "2 h 05 min", "2:05:03"),
    ],
)
def test_times_are_said_as_a_person_says_them(seconds: float, text: str, clock: str) -> None:
    assert (span_text(seconds), clock_text(seconds)) == (text, clock)


def test_the_first_thing_is_told_at_once_and_what_follows_within_two_seconds_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with telling_what(), doing("importing"):
        assert capsys.readouterr().err == "   0:00  importing\n"
        with doing("reading"):
            pass
    assert capsys.readouterr().err == ""


def test_a_log_is_told_what_is_done_now_and_how_long_it_has_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    teller = Teller()
    for clock.now, text in ((0.0, "importing"), (1.0, "starting Ray")):
        teller.begin(text)
        teller.look()
    for clock.now in (1.9, 2.0, 5.9, 6.0):
        teller.look()
    teller.begin(lambda: f"{clock.now:.0f} of 12 trials ended")
    for clock.now in (7.9, 8.0, 11.9, 12.0):
        teller.look()
    assert capsys.readouterr().err.splitlines() == [
        "   0:00  importing",
        "   0:02  starting Ray",
        "   0:06  starting Ray, 5 s so far",
        "   0:08  8 of 12 trials ended",
        "   0:12  12 of 12 trials ended",
    ]


def test_a_run_of_an_hour_leaves_fewer_than_three_hundred_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    teller = Teller()
    teller.begin("training")
    for clock.now in range(3600):
        teller.look()
    times = capsys.readouterr().err.splitlines()
    # Every 4 s for 240 s: 61 lines. Then each pause is a 60th of the time so far, so time grows by 1/60 a line, rounded
    # up to the next second at which it is looked: at most ln(15) / ln(61 / 60) = 164 further ones.
    assert 150 < len(times) < 61 + 165


def test_a_program_that_is_quiet_at_first_says_nothing_of_what_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    with telling_what(quiet_seconds=60), doing("drawing"):
        pass
    assert capsys.readouterr().err == ""


def test_nothing_is_told_where_no_program_tells(capsys: pytest.CaptureFixture[str]) -> None:
    with doing("reading"), leaving_the_terminal():
        pass
    assert capsys.readouterr().err == ""


def test_how_far_work_has_come_is_part_of_what_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data.doing, "NEWS_SECONDS", 0.0)
    monkeypatch.setattr(data.doing, "LOOK_SECONDS", 3_600.0)
    with telling_what(), doing("importing"), progress("reading mine.txt") as told:
        told(70_000)
        assert data.doing._teller is not None
        data.doing._teller.look()
    assert capsys.readouterr().err == "   0:00  importing\n   0:00  reading mine.txt: 70,000 lines\n"


def test_a_terminal_shows_one_line_that_goes_and_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with telling_what(), doing("importing"):
            with leaving_the_terminal():
                assert data.doing._teller is not None
                data.doing._teller.look()
                shown = os.read(ours, 10_000).decode()
            assert "importing  0 s, 0 s in all" in shown
            assert shown.endswith("\x1b[2K\x1b[?25h") or shown.endswith("\x1b[2K"), repr(shown)
    os.close(ours)


def test_a_child_process_tells_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with telling_what(), doing("importing"):
        if (child := os.fork()) == 0:
            with doing("reading"):
                os._exit(0 if data.doing._teller is None else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert capfd.readouterr().err == "   0:00  importing\n"
