"""What the report works out: the answer for each card, which settings mattered, anatomy, cost; two sweeps compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from analysis.report import main
from analysis.reporting.anatomy import anatomy
from analysis.reporting.card_answer import answers_by_card, cards_table
from analysis.reporting.comparison import settings_table, shared_trials, warnings
from analysis.reporting.importance import SHUFFLES, importances, permutation_losses
from analysis.reporting.parallel import parallel_coordinates
from analysis.reporting.report_sections import cost
from tests.analysis.reporting.test_report import Page, sweep_of
from tests.support.record_factory import MIB, make_record, write_sweep
from trainables.records.record import FailureKind, Interruption, MemoryPrediction, Outcome, TrialRecord

GIB = 2**30


def on_card(number: int, need_gib: float, quality: float, **changes: object) -> TrialRecord:
    """A trial whose need on a card was predicted."""
    size = int(need_gib * GIB)
    prediction = MemoryPrediction(
        allocated_bytes=size - GIB // 2,
        reserved_bytes=size - GIB // 4,
        device_bytes=size - 1,
        high_bytes=size,
        capacity_bytes=None,
        fits=True,
        peak_phase="backward",
        components={"weights": size // 2, "loss": size // 4},
        method="trace",
        gpu="a10",
    )
    return make_record(number, quality=quality, card_prediction=prediction, **changes)  # pyright: ignore[reportArgumentType]


def test_each_card_gets_the_best_trial_that_it_has_room_for() -> None:
    """A t4 has 15 GiB, an a10 22.5, an a100-40 40: as `trainables/memory/cards.py` has them."""
    records = [on_card(0, 14.9, 0.2), on_card(1, 22.4, 0.4), on_card(2, 39.0, 0.6), on_card(3, 200.0, 0.9)]
    found = {str(card.name): answer.best for answer in answers_by_card(sweep_of(records)) for card in answer.cards}
    numbers = {card: None if record is None else record.number for card, record in found.items()}
    assert (numbers["t4"], numbers["a10"], numbers["rtx4090"]) == (0, 1, 1)
    assert (numbers["a100-40"], numbers["h100"], numbers["h200"]) == (2, 2, 2)


def test_a_card_that_is_too_small_for_every_trial_is_said_to_be() -> None:
    page = Page(cards_table(sweep_of([on_card(0, 30.0, 0.5)])))
    assert page.tables[0][1][:3] == ["t4, a10, l4, rtx4090", "15.0 GiB to 24.0 GiB", "none fits"]
    assert page.tables[0][2][:4] == ["a100-40, l40s, h100, a100-80, h200", "40.0 GiB to 140 GiB", "0", "nano-1m"]
    assert "not measured" in page.text
    assert "30.0 GiB" in page.tables[0][2]


def test_trials_that_never_ran_here_are_named_and_never_recommended() -> None:
    unfit = on_card(1, 23.0, 0.9, outcome=Outcome.PREDICTED_NOT_TO_FIT)
    page = Page(cards_table(sweep_of([on_card(0, 10.0, 0.5), unfit])))
    assert {row[2] for row in page.tables[0][1:]} == {"0"}
    assert "1 trial was predicted not to fit where this ran" in page.text
    assert "from a rtx4090 up" in page.text  # 24 GiB, where an l4 has 22.5


def grid() -> list[TrialRecord]:
    """Quality that hangs on the learning rate alone, memory on the micro-batch alone."""
    rates, micro_batches = (1e-4, 3e-4, 1e-3, 3e-3), (2, 4, 8, 16)
    return [
        make_record(
            4 * row + column,
            rate=rate,
            quality=0.1 + 0.2 * row,
            micro_batch_size=size,
            batch_size=16,
            peak_mib=20 * size,
        )
        for row, rate in enumerate(rates)
        for column, size in enumerate(micro_batches)
    ]


def test_the_forest_finds_the_setting_that_a_result_hangs_on() -> None:
    found = {item.result: item for item in importances(grid())}
    assert set(found) == {"sample quality", "peak memory"}  # spill-over and speed are the same in all trials
    assert found["sample quality"].shares["learning rate"] > 0.95
    assert found["peak memory"].shares["micro-batch"] > 0.95
    for item in found.values():
        assert sum(item.shares.values()) == pytest.approx(1)
        assert 0.5 < item.explained <= 1


def test_a_micro_batch_that_follows_from_the_other_settings_is_none_that_matters() -> None:
    records = [dataclasses.replace(record, automatic_micro_batch=True) for record in grid()]
    found = {item.result: set(item.shares) for item in importances(records)}
    assert "micro-batch" not in found["sample quality"]


def test_shuffles_take_from_a_forest_what_sklearn_says_they_do() -> None:
    draw = np.random.default_rng(5)
    inputs = draw.random((30, 3))
    heights = inputs[:, 0] + 0.3 * inputs[:, 1] ** 2 + 0.1 * draw.random(30)
    forest = RandomForestRegressor(20, random_state=0).fit(inputs, heights)
    theirs = permutation_importance(forest, inputs, heights, n_repeats=SHUFFLES, random_state=0)
    assert permutation_losses(forest, inputs, heights) == pytest.approx(theirs["importances_mean"], rel=1e-9)


def test_few_trials_get_no_forest() -> None:
    assert importances(grid()[:7]) == []


def test_a_bar_of_the_anatomy_is_the_predicted_peak_and_the_mark_what_was_measured() -> None:
    record = make_record(0, peak_mib=100)
    assert record.prediction is not None
    whole = record.prediction.allocated_bytes
    parts = {"weights": whole // 4, "loss": whole - whole // 4}
    record = dataclasses.replace(record, prediction=dataclasses.replace(record.prediction, components=parts))
    figure = anatomy([record])
    assert figure is not None
    traces = {trace["name"]: trace for trace in figure.to_dict()["data"]}
    assert traces["weights"]["x"][0] + traces["loss"]["x"][0] == pytest.approx(whole / MIB)
    assert list(traces["peak, measured"]["x"]) == [100.0]
    assert all(list(traces[name]["text"]) == ["predicted"] for name in parts)
    assert anatomy([record], on_card=True) is None


def test_measured_components_are_a_hatched_bar_below_the_predicted_one() -> None:
    record = make_record(0, peak_mib=100)
    assert record.report is not None
    assert record.report.memory is not None
    memory = dataclasses.replace(record.report.memory, components={"weights": 60 * MIB, "loss": 40 * MIB})
    figure = anatomy([dataclasses.replace(record, report=dataclasses.replace(record.report, memory=memory))])
    assert figure is not None
    traces = {trace["name"]: trace for trace in figure.to_dict()["data"]}
    assert list(traces["weights"]["y"]) == ["nano-1m, micro-batch 4", "nano-1m, micro-batch 4, measured"]
    assert (traces["weights"]["x"][1], traces["loss"]["x"][1]) == (60.0, 40.0)
    assert list(traces["weights"]["marker"]["pattern"]["shape"]) == ["", "/"]
    assert "peak, measured" not in traces


def test_parallel_coordinates_leave_out_what_never_varies() -> None:
    figure = parallel_coordinates(sweep_of(grid()))
    assert figure is not None
    assert list(figure.to_dict()["layout"]["xaxis"]["ticktext"]) == ["Micro-batch", "Learning rate", "Peak", "Quality"]
    assert parallel_coordinates(sweep_of(grid()[:1])) is None


def test_cost_adds_up_by_outcome() -> None:
    lost = Interruption(kind=FailureKind.NODE_LOST, error="gone", seconds=360)
    made = [
        make_record(0, seconds=1800.0, gpu_seconds=3600.0, price=1.5, interruptions=(lost,)),
        make_record(1, seconds=1800.0, gpu_seconds=7200.0, price=3.0),
        make_record(2, outcome=Outcome.OUT_OF_MEMORY, seconds=360.0, gpu_seconds=360.0, price=0.25),
    ]
    page = Page(cost(made))
    assert page.tables[0][1:] == [
        ["finished", "2", "80,000", "1.00", "3.00", "4.50"],
        ["out of memory", "1", "40,000", "0.10", "0.10", "0.25"],
        ["all", "3", "120,000", "1.10", "3.10", "4.75"],
    ]
    assert "1 × node lost" in page.text
    assert "GPU-hours" not in Page(cost([make_record(0)])).text


def test_two_sweeps_stand_in_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_sweep(tmp_path / "one", grid(), name="one", trials=16)
    other = write_sweep(tmp_path / "other", grid()[:8], name="other<b>", seed=8, trials=16)
    assert main(["--compare", one, other, "--out", str(tmp_path / "both.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "both.html")
    page = Page((tmp_path / "both.html").read_text())
    results = next(table for table in page.tables if table[0][0] == "Result")
    assert results[0] == ["Result", "one", "other<b>", "Difference"]
    assert ["Trials", "16", "8", "−8"] in results
    assert ["Best sample quality", "0.700", "0.300", "−0.400"] in results
    settings = next(table for table in page.tables if table[0][0] == "Setting")
    assert settings[1:] == [["seed", "7", "8"]]
    drawn = [attributes["id"] for tag, attributes in page.elements if attributes.get("class") == "plot"]
    assert {"plot-pareto-0", "plot-pareto-1", "plot-memory-0", "plot-memory-1"} <= set(drawn)


def test_an_unfair_comparison_says_what_is_unfair_about_it() -> None:
    fast = [make_record(0, cuda=True)]
    assert "what counts memory" in warnings(sweep_of([make_record(0)]), sweep_of(fast))
    assert warnings(sweep_of(grid()), sweep_of(grid())) == ""


def test_trials_of_the_same_settings_are_paired() -> None:
    one, other = sweep_of(grid(), name="a"), sweep_of([make_record(9, rate=5e-4), grid()[3]], name="b")
    page = Page(shared_trials(one, other))
    assert [row[0] for row in page.tables[0][1:]] == ["3 / 3"]
    assert "the same options" in settings_table(sweep_of([]), sweep_of([]))


@pytest.mark.parametrize("kind", ["same", "empty", "missing", "both kinds", "neither"])
def test_a_comparison_that_cannot_be_made_is_one_line_and_writes_nothing(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_sweep(tmp_path / "one", grid()[:1], name="one")
    empty = write_sweep(tmp_path / "empty", [], name="empty")
    arguments = {
        "same": ["--compare", one, f"{one}/"],
        "empty": ["--compare", one, empty],
        "missing": ["--compare", one, str(tmp_path / "nowhere")],
        "both kinds": [one, "--compare", one, empty],
        "neither": [],
    }
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(arguments[kind]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert list((tmp_path / "here").iterdir()) == []
