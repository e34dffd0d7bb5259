"""What is told of a running sweep: how far each trial is, and how long it and the sweep take yet."""

from __future__ import annotations

import dataclasses

import pytest
from rich.console import Console

from sweeps.watch.outlook import Outlook
from tests.support.record_factory import make_curve, make_record
from trainables.records.record import TrialRecord

A, B, C = "0000-c0ffee", "0001-c0ffee", "0002-c0ffee"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ended(trial_id: str, seconds: float, after: float) -> TrialRecord:
    record = make_record(0, trial_id=trial_id)
    assert record.report is not None
    parts = {"steps": seconds - after, "evaluation": after / 4, "sampling": after / 2, "scoring": after / 4}
    return dataclasses.replace(
        record, seconds=seconds, report=dataclasses.replace(record.report, seconds_by_part=parts)
    )


def test_a_trial_is_told_by_what_its_worker_does(clock: Clock) -> None:
    outlook, settings = Outlook(12, clock), make_record(0).settings
    assert outlook.text() == "0 of 12 trials ended; the next is being chosen"
    outlook.started(A, settings)
    clock.now = 7
    assert outlook.text() == "0 of 12 trials ended; 0000 starts its processes, 7 s"
    outlook.doing(A, "model_load")
    clock.now = 9
    assert outlook.text() == "0 of 12 trials ended; 0000 model load 2 s"
    outlook.doing(A, "base_figures", 30, 480)
    assert outlook.text() == "0 of 12 trials ended; 0000 base figures 30 of 480"


def test_steps_tell_how_long_the_rest_takes_and_base_figures_what_comes_after_them(clock: Clock) -> None:
    outlook, curve = Outlook(3, clock), make_curve(1e-3)
    outlook.started(A, make_record(0).settings)
    outlook.doing(A, "base_figures")
    clock.now = 20  # the base model's figures took 20 s: the same work is done after the last step
    outlook.doing(A, "rehearsal")
    outlook.progressed(A, curve[:2], 12)
    clock.now = 24  # 2 steps in 4 s, 8 to come: 16 s, and 20 s
    outlook.progressed(A, curve[:4], 12)
    outlook.doing(A, "steps")
    # 24 s and 36 s make a trial: two more, one at a time, take 120 s after it.
    assert outlook.text() == "0 of 3 trials ended; 0000 step 4 of 12, 36 s left; about 2 min 36 s left in all"
    clock.now = 40  # what no step was told of since is taken for done
    assert "20 s left" in outlook.text()


def test_what_has_ended_tells_of_what_is_to_come(clock: Clock) -> None:
    outlook, settings = Outlook(6, clock), make_record(0).settings
    for trial_id in (A, B):
        outlook.started(trial_id, settings)
    clock.now = 30
    outlook.ended(ended(A, 30, 8))
    assert outlook.text() == "1 of 6 trials ended; 0001 starts its processes, 30 s; about 2 min 00 s left in all"
    outlook.started(C, settings)
    outlook.doing(B, "sampling", 120, 480)
    clock.now = 33
    # B has 8 s after its last step, 3 of them over; C 30, 3 of them over; then 3 more, two at a time: 27 + 60.
    assert outlook.text() == (
        "1 of 6 trials ended; 0001 sampling 120 of 480, 5 s left; 0002 starts its processes, 3 s, 27 s left;"
        " about 87 s left in all"
    )


def test_of_many_trials_at_once_a_few_are_named(clock: Clock) -> None:
    outlook, settings = Outlook(64, clock), make_record(0).settings
    for number in range(7):
        outlook.started(f"{number:04d}-c0ffee", settings)
    assert "0003 starts" in outlook.text()
    assert "0004" not in outlook.text()
    assert "; 3 more run" in outlook.text()


def test_bars_have_a_line_for_the_sweep_and_each_running_trial(clock: Clock) -> None:
    outlook = Outlook(2, clock)
    outlook.started(A, make_record(0).settings)
    outlook.ended(ended(A, 30, 8))
    outlook.started(B, make_record(0).settings)
    clock.now = 15  # half of the second trial, and so three quarters of the sweep
    console = Console(width=100, color_system=None, force_terminal=True, _environ={})
    with console.capture() as capture:
        console.print(outlook.bars())
    sweep, trial = capture.get().splitlines()
    assert "1 of 2 trials ended, about 15 s left" in sweep
    assert "0001" in trial
    assert "starts its processes, 15 s, 15 s left" in trial
    assert (sweep.count("━") + sweep.count("╸"), trial.count("━") + trial.count("╸")) == (18, 12)
