"""The tables of tests/benchmarks/memory_accuracy.py, on rows that were made up to be worked out by hand."""

from __future__ import annotations

from collections import Counter

from tests.benchmarks.accuracy_grid import VARIED, every_slice_early, grid
from tests.benchmarks.accuracy_table import confusion, table

GB = 10**9


def row(model: str, predicted_gb: float, measured_gb: float | None, capacity_gb: float = 80) -> dict[str, object]:
    settings = dict.fromkeys(VARIED, 0) | {"model": model}
    predicted = {"allocated_bytes": predicted_gb * GB, "reserved_bytes": predicted_gb * GB}
    if measured_gb is None:
        return {
            "settings": settings,
            "predicted": predicted,
            "measured": {"out_of_memory": True, "capacity_bytes": capacity_gb * GB},
        }
    measured = {"allocated_bytes": measured_gb * GB, "reserved_bytes": measured_gb * GB}
    return {"settings": settings, "predicted": predicted, "measured": measured}


# Errors of 1%, 2% and 10%.
ROWS = [row("a", 10.1, 10), row("a", 20.4, 20), row("b", 22.5, 25)]


def test_errors_are_told_whole_and_by_slice() -> None:
    lines = table(ROWS, VARIED).splitlines()
    # The 90th percentile of three lies at 0.9 x 2 = 1.8 of the way: 2% + 0.8 x 8% = 8.4%.
    assert lines[0].split() == ["allocated_bytes", "median", "2.000%", "p90", "8.400%", "worst", "10.000%", "3", "runs"]
    assert lines[1].split() == ["model", "a", "median", "1.500%", "p90", "1.900%", "worst", "2.000%", "2", "runs"]
    assert lines[2].split() == ["model", "b", "median", "10.000%", "p90", "10.000%", "worst", "10.000%", "1", "runs"]


def test_a_run_called_to_fit_a_cap_that_it_exceeds_is_a_false_fit() -> None:
    assert confusion(ROWS, 24) == "cap 24 GB: 2 fit, 0 do not, 1 false fits, 0 false refusals"
    assert confusion([row("a", 25, 23)], 24) == "cap 24 GB: 0 fit, 0 do not, 0 false fits, 1 false refusals"


def test_a_run_that_exhausted_its_card_speaks_of_caps_up_to_that_card_only() -> None:
    exhausted = [row("a", 30, None, capacity_gb=40)]
    assert confusion(exhausted, 24) == "cap 24 GB: 0 fit, 1 do not, 0 false fits, 0 false refusals"
    assert confusion(exhausted, 40) == "cap 40 GB: 0 fit, 0 do not, 1 false fits, 0 false refusals"
    assert confusion(exhausted, 80) is None


def test_a_run_under_a_cap_speaks_of_that_cap_alone_and_by_whether_it_ended() -> None:
    capped = row("a", 25, 23)
    capped["settings"] |= {"memory_cap_bytes": 24 * GB}  # pyright: ignore[reportOperatorIssue]
    capped["predicted"] |= {"fits": True}  # pyright: ignore[reportOperatorIssue]
    capped["measured"] = {"out_of_memory": True, "capacity_bytes": 24 * GB}
    assert confusion([capped], 24) == "cap 24 GB: 0 fit, 0 do not, 1 false fits, 0 false refusals"
    assert confusion([capped], 40) is None


def test_every_slice_of_the_gpu_grid_is_met_within_its_first_tenth() -> None:
    runs = list(grid(on_cuda=True))
    first = every_slice_early(runs)[: len(runs) // 10]
    for name in VARIED:  # a size that one capped run alone has is no slice
        slices = {value for value, count in Counter(getattr(run, name) for run in runs).items() if count > 2}
        assert slices <= {getattr(run, name) for run in first}


def test_what_is_done_is_not_run_again() -> None:
    runs = list(grid(on_cuda=False))
    left = every_slice_early(runs, runs[:5])
    assert len(left) == len(runs) - 5
    assert not set(left) & set(runs[:5])
