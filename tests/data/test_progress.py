"""A long piece of work says how far it has come, a short one nothing."""

from __future__ import annotations

import os
import pty
import sys

import pytest

import data.progress
from data.progress import LOOK_EVERY, progress, telling


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading mine.txt") as told:
        assert list(telling(range(5 * LOOK_EVERY), told)) == list(range(5 * LOOK_EVERY))
    assert capsys.readouterr().err == ""


def test_a_log_gets_lines_and_a_terminal_one_that_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data.progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(data.progress, "LOG_SECONDS", 0.0)
    with progress("reading mine.txt") as told:
        told(LOOK_EVERY)
        told(LOOK_EVERY + 1)  # within one look
        told(2 * LOOK_EVERY)
    assert capsys.readouterr().err == "reading mine.txt: 1,024 lines, 0 s\nreading mine.txt: 2,048 lines, 0 s\n"
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress("reading mine.txt") as told:
            told(LOOK_EVERY)
        shown = os.read(ours, 1_000).decode()
    os.close(ours)
    assert shown == "\r\033[Kreading mine.txt: 1,024 lines, 0 s\r\033[K"
