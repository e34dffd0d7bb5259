"""When a sweep stops proposing."""

from __future__ import annotations

import dataclasses

import pytest

from sweeps.search.limits import Limits, cost_text, price_of
from tests.support.record_factory import default_facts, make_record

AIMS = default_facts().aims


def with_gpu_hours(number: int, hours: float):
    return dataclasses.replace(make_record(number), gpu_seconds=hours * 3600)


def test_without_limits_nothing_is_reached() -> None:
    assert Limits().reached([with_gpu_hours(n, 100) for n in range(50)], 1e9, AIMS) is None


def test_gpu_hours_of_all_records_count() -> None:
    limits = Limits(max_gpu_hours=2)
    assert limits.reached([with_gpu_hours(0, 1.0), with_gpu_hours(1, 0.9)], 0, AIMS) is None
    reason = limits.reached([with_gpu_hours(0, 1.0), with_gpu_hours(1, 1.0)], 0, AIMS)
    assert reason == "2.00 GPU-hours are used, --max-gpu-hours is 2"


def test_hours_are_those_of_this_run() -> None:
    assert Limits(max_hours=0.5).reached([], 1799, AIMS) is None
    assert "0.50 hours have passed" in (Limits(max_hours=0.5).reached([], 1800, AIMS) or "")


@pytest.mark.parametrize(("worse", "is_flat"), [(2, False), (3, True)])
def test_flat_is_a_row_of_trials_that_bring_nothing(worse: int, is_flat: bool) -> None:
    best = make_record(0, quality=0.9, peak_mib=10, speed=9000)
    others = [make_record(1 + n, quality=0.1, peak_mib=20, speed=100) for n in range(worse)]
    assert (Limits(flat_trials=3).reached([best, *others], 0, AIMS) is not None) is is_flat


def test_a_trial_that_brings_something_starts_the_count_anew() -> None:
    records = [make_record(n, quality=0.1 * (n + 1), peak_mib=20, speed=100) for n in range(6)]
    assert Limits(flat_trials=1).reached(records, 0, AIMS) is None


def test_price_follows_gpu_seconds() -> None:
    assert price_of(1800, 3.0) == 1.5
    assert price_of(1800, None) is None


def test_cost_is_told_for_all_trials() -> None:
    records = [dataclasses.replace(with_gpu_hours(n, 0.5), price=1.25) for n in range(3)]
    assert cost_text(records) == "1.50 GPU-hours, cost 3.75."
